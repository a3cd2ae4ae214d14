"""From a corpus to a tokenizer: what enters are training documents; what leaves are a SentencePiece model that gives
every text back unchanged, its manifest and card, and exports that give equal ids elsewhere. Chat templates turn
conversations into such ids.
"""
