"""From raw text to a corpus: what enters are files, packages or data sets named in config/corpora; what leaves are
cleaned documents without duplicates, equal or near, in an order that only the configuration decides, in shards with a
manifest.
"""
