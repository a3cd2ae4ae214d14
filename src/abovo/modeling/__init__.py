"""Turn a model's configuration into a model with fresh weights and into its parameter count, and a model and a
beginning into what it writes.
"""
