"""What a person sees: the start and end of a script, log lines and progress lines.

Nothing in here changes a byte of an artifact, so these modules do not enter any fingerprint.
"""
