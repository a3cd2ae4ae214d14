"""The chain of the demonstration at reduced size: its settings, and the files that must come out with equal bytes."""

from abovo.provenance.hashing import sha256_file

TARGET = "results/sft/nano/results.json"
# Small enough for minutes on two cores, large enough that every stage has several batches, documents and checkpoints.
REDUCED = ",".join(
    [
        "nano.corpus.tokens=400_000",
        "nano.tokenizer.vocabulary_size=1024",
        "nano.tokens=61_440",
        "nano.checkpoints.at=[10_000]",
        "nano.training.validation_interval=20",
        "nano.training.checkpoint_interval=4",
        "nano.training.schedule.warmup_steps=4",
        "nano.sft.tokens=40_960",
        "nano.sft.method=lora",
        "nano.evaluation.validation_bytes=60_000",
        "nano.evaluation.yesno_rows=60",
        "nano.evaluation.choice_rows=20",
        "nano.evaluation.offered_rows=40",
        "nano.evaluation.conversations=20",
        "nano.evaluation.new_tokens=8",
        "nano.sft.training.checkpoint_interval=4",
    ]
)
DATA = [
    "results/corpora/nano/manifest.json",
    "results/tokenizers/nano-4k/spm.model",
    "results/tokenizers/nano-4k/TOKENIZER_CARD.md",
    "results/packed/nano/nano-4k/256/train.bin",
    "results/packed/nano/nano-4k/256/val.bin",
    "results/packed/nano/nano-4k/256/manifest.json",
    "results/instruction/speech-facts/nano-4k/train.bin",
    "results/instruction/speech-facts/nano-4k/train.mask",
]
MODELS = [
    "results/pretrain/nano/model/model.safetensors",
    "results/pretrain/nano/checkpoints/chck_10K/model.safetensors",
    "results/pretrain/nano/metrics.jsonl",
    "results/pretrain/nano/manifest.json",
    "results/sft/nano/adapter/adapter_model.safetensors",
    "results/sft/nano/model/model.safetensors",
    "results/sft/nano/manifest.json",
]


def hashes(workflow, names):
    return {name: sha256_file(workflow.folder / name) for name in names}
