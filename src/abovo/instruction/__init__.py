"""Turn conversations into rows of token ids with a label mask, which a model is fine-tuned on.

In go instruction data sets (made from a corpus' own facts, or records of any of several formats) and a tokenizer;
out come train.bin and val.bin, each with flags: which ids the assistant says, which begin a conversation.
"""
