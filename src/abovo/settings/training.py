"""How a model is optimized: config/training/. Token budgets stand in the run and in the SFT recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """The optimizer and its values."""

    kind: Literal["adamw", "muon"] = key("adamw, or muon for the matrices of the blocks and adamw for the rest")
    learning_rate: float | Literal["auto"] = key(
        "Peak learning rate of adamw; auto: by the model's size and the token budget (Step Law)",
        default="auto", above=0,
    )  # fmt: skip
    betas: tuple[float, float] = key("Decay of adamw's moments", default=(0.9, 0.95), minimum=0, below=1)
    epsilon: float = key("Added to adamw's denominator", default=1.0e-8, above=0)
    weight_decay: float = key(
        "Decoupled weight decay of matrices; norms, biases and embeddings have none", default=0.1, minimum=0
    )
    weight_decay_schedule: Literal["constant", "linear", "learning_rate"] = key(
        "Weight decay over the run: constant, falling linearly to 0, or in proportion to the learning rate",
        default="constant",
    )
    muon_learning_rate: float = key("Peak learning rate of muon", default=0.02, above=0)
    muon_momentum: float = key("Momentum of muon after its warm-up from 0.85", default=0.95, minimum=0, below=1)
    muon_precision: Literal["auto", "fp32", "bf16"] = key(
        "Of muon's matrix products; auto: bf16 on GPUs, fp32 on processors", default="auto"
    )
    muon_momentum_warmup_steps: int = key("Steps over which muon's momentum rises (steps)", default=300, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The learning rate over the run, as a factor of its peak."""

    kind: Literal["wsd", "cosine", "constant"] = key("warm-up stable decay, cosine, or constant after the warm-up")
    warmup_steps: int = key("Linear rise from 0 to the peak (steps)", default=40, minimum=0)
    decay_share: float = key(
        "Last part of the run in which wsd falls (fraction of steps)", default=0.5, minimum=0, maximum=1
    )
    decay_shape: Literal["linear", "1-sqrt"] = key("Shape of wsd's fall", default="linear")
    final_share: float = key("Learning rate at the last step (fraction of the peak)", default=0.0, minimum=0, maximum=1)


@dataclass(frozen=True, kw_only=True)
class AuxiliarySchedule(Schedule):
    """The weight of an auxiliary loss over the run, as a factor of its peak."""

    kind: Literal["wsd", "cosine", "constant"] = key(
        "wsd: stable, then falling over `decay_share`; cosine; or constant", default="constant"
    )
    warmup_steps: int = key("Linear rise from 0 to the peak (steps)", default=0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class Auxiliary:
    """A loss on what a model does inside, which enters the gradient beside the cross-entropy."""

    weight: float = key("Its weight at the schedule's peak, beside a cross-entropy of weight 1; 0: none", minimum=0)
    schedule: AuxiliarySchedule = key("The weight over the run, as a factor of its peak", default=AuxiliarySchedule())


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """When a run ends before its budget is spent, with the weights of its best validation."""

    patience: int | None = key(
        "Validations in a row that bring nothing before the run ends; null for no early end", default=None, minimum=1
    )
    least_gain: float = key("What a validation loss must fall by to count as better (nats)", default=0.0, minimum=0)


@dataclass(frozen=True, kw_only=True)
class SpikeGuard:
    """When a run ends with an error because its loss stays high."""

    factor: float | None = key(
        "Times the median of the last losses above which a loss is too high; null for no guard", default=3.0, above=1
    )
    window: int = key("Losses that the median is of (steps)", default=500, minimum=1, maximum=10**6)
    steps: int = key("Steps in a row with a loss that is too high", default=50, minimum=1)


@dataclass(frozen=True, kw_only=True)
class Samples:
    """What the model makes of fixed prompts while it learns, in samples.jsonl."""

    prompts: tuple[str, ...] = key("Texts to be continued greedily", default=(), min_length=1)
    interval: int = key("Steps between samples", default=500, minimum=1)
    new_tokens: int = key("Longest continuation (tokens)", default=32, minimum=1, maximum=2**16)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How a model is optimized. Token budgets stand in the run (pretraining) and in the SFT recipe."""

    batch_tokens: int | Literal["auto"] = key(
        "Global batch, a multiple of the sequence length (tokens); auto: by the token budget (Step Law,"
        " arXiv:2503.04715)",
        default="auto", minimum=8,
    )  # fmt: skip
    micro_batch_sequences: int | Literal["auto"] = key(
        "Rows that go through the model at once (sequences); auto: the fastest that a GPU's memory holds, by"
        " measurement, 8 on a CPU and under DeepSpeed",
        default="auto", minimum=1, maximum=2**20,
    )  # fmt: skip
    optimizer: Optimizer = key("The optimizer and its values")
    schedule: Schedule = key("The learning rate over the run, as a factor of its peak")
    z_loss: float = key(
        "Weight of log(Z)^2 in the gradient, Z being the softmax's denominator; the losses that are reported leave it"
        " out",
        default=0.0, minimum=0,
    )  # fmt: skip
    auxiliary: Mapping[str, Auxiliary] = key(
        "Losses of the model's family that are minimised beside the cross-entropy, by their names (inl: distance, speed"
        " and energy of the trajectories); the losses that are reported leave them out",
        default={},
    )
    gradient_clip: float | None = key("Largest global gradient norm; null for none", default=1.0, above=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = key(
        "auto: bf16 on a GPU, fp16 on one without bf16 (T4, V100), fp32 on a CPU or an Apple GPU;"
        " fp16 scales the loss; weights and optimizer are float32 with any of them",
        default="auto",
    )
    activation_checkpointing: bool = key(
        "Whether blocks are computed again in the backward pass instead of kept (less memory, more time)",
        default=False,
    )
    compile: Literal["auto", "never"] = key(
        "auto: torch.compile for the blocks on a GPU, never on a CPU", default="auto"
    )
    log_interval: int = key(
        "Steps between rows of timings.jsonl and on the boards; metrics.jsonl has every step",
        default=10, minimum=1, decides=False,
    )  # fmt: skip
    validation_interval: int = key("Steps between validations", default=500, minimum=1)
    checkpoint_interval: int = key("Steps between checkpoints", default=500, minimum=1)
    tensorboard: bool = key("Whether TensorBoard files are written beside the metrics", default=True, decides=False)
    keep_last: int = key(
        "How many of the newest checkpoints are kept while the run lasts",
        default=2,
        decides=False,
        minimum=1,
        maximum=1000,
    )
    keep_every: int | None = key(
        "Checkpoints of multiples of so many steps are kept too, in checkpoints/ beside the model after the run; null"
        " for none",
        default=None, minimum=1,
    )  # fmt: skip
    early_stopping: EarlyStopping = key(
        "When a run ends before its budget is spent, with the weights of its best validation", default=EarlyStopping()
    )
    spike_guard: SpikeGuard = key("When a run ends with an error because its loss stays high", default=SpikeGuard())
    samples: Samples = key(
        "What the model makes of fixed prompts while it learns, in samples.jsonl", default=Samples(), decides=False
    )
    wandb: Literal["online", "offline"] | None = key(
        "Whether Weights & Biases shows the metrics: online, offline for a later wandb sync, or null for not at all",
        default=None,
        decides=False,
    )
