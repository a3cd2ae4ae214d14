"""The one table of special pieces and their ids, the same in SentencePiece, in packed bins and in every export."""

UNK, BOS, EOS, PAD, IM_START, IM_END, NEWLINE, TAB = range(8)

# Piece of each special id, in the order of the ids.
PIECES = ("<unk>", "<s>", "</s>", "<pad>", "<|im_start|>", "<|im_end|>", "\n", "\t")

# Pieces that SentencePiece keeps whole wherever they stand in a text.
USER_DEFINED = PIECES[IM_START:]
