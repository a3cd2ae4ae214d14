"""From documents to rows of token ids: what enters are a corpus and a tokenizer; what leaves are two bins (training and
validation) that numpy alone can read, with a manifest that says whose ids they are.
"""
