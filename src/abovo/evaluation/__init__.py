"""Measure a model: bits per byte, accuracies by log-likelihood, validation loss, and what it writes.

In go evaluation sets made from a corpus' validation documents (or names of public tasks), the packed rows and a model
folder; out comes evaluation.json, where each value stands beside its n, interval, baseline and protocol.
"""
