"""Turn a model's configuration into a transformers model with fresh weights, and into its parameter count."""
