"""What a config file or a stage may say: frozen dataclasses whose fields know their meaning, unit and bounds.

Mappings read from YAML or a command line enter, checked and complete dataclasses leave; JSON schemas are made of them.
"""
