"""Turn the YAML files of config/ into checked, complete settings: a dictionary per run, corpus, tokenizer or recipe."""
