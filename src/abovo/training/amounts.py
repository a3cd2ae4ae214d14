"""Say what training holds in memory, in numbers that whoever plans needs, too: arithmetic alone, without torch."""

# Tensors of a parameter's size, float32, that an optimizer keeps of it: those of parted.KEPT
MOMENTS = {"adamw": 2, "muon": 1}
# Rows per micro-batch for `auto` where nothing is measured: on a CPU, where more of them gain nothing, and DeepSpeed.
ROWS = 8
# The part of a GPU's memory that may be planned for; the rest is for what fragments and for other libraries.
PLANNED = 0.9
# Largest number of gradients that DeepSpeed exchanges at once.
BUCKET = 100_000_000
# Rows of logits that exist at once on a GPU.
LOGIT_ROWS = 16_384
# Logits that exist at once on a processor, whose cache they fit (bytes).
LOGIT_BYTES = 4 << 20
