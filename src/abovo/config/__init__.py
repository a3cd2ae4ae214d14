"""Turn the YAML files of config/ into runs with all their parts, and those into what each job is told and made from."""
