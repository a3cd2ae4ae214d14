"""Which bytes made which bytes: hashes, manifests, atomic writes, and products kept under their fingerprint.

In go a job's inputs, settings and code; out come files with a manifest that names the sha256 of each.
"""
