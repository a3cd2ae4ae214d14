"""A finished model in use: a model's folder enters; answers to a person at a terminal, to programs that speak OpenAI's
protocol and to a page in a browser leave. Nothing in here changes a file of a run.
"""
