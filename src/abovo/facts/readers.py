"""Say what the texts are that each kind of facts is made of: the reader of packages that gives them."""

READERS = {"era": "speeches", "speech": "speeches", "functions": "docstrings"}
