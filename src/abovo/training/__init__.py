"""Train a model: data order, optimizers, schedules, the loop, checkpoints, and the one job that joins them.

In go packed bins, a tokenizer, a start and a recipe; out come metrics and a model in the Hugging Face layout. Batch k
is a pure function of (bins, seed, k), and a run that is killed at any step ends with the weights of one that was not.
"""
