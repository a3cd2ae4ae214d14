"""What a person reads at the end: figures, the results file and a summary on the screen.

In go manifests and metrics; out come SVG figures whose bytes depend on nothing else, results.json, and a table.
"""
