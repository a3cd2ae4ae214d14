"""Where records lie: what corpora, instruction data and evaluation sets say of it alike."""

from dataclasses import dataclass

from abovo.settings.keys import key


@dataclass(frozen=True, kw_only=True)
class Place:
    """Files of this machine, or a data set of the hub."""

    paths: str | tuple[str, ...] = key(
        "File, folder or list of them: .txt .raw .md .jsonl .ndjson .json .csv .tsv, also packed as .gz or .zst, and"
        " .parquet (type local)",
        default=(),
    )
    missing: str | None = key(
        "What to do where a path is not there, told with the error (words; type local)", default=None, decides=False
    )
    dataset: str | None = key("Data set id on the hub, owner/name (type huggingface)", default=None)
    config: str | None = key("Configuration of the data set (type huggingface)", default=None)
    data_dir: str | None = key(
        "Folder of the data set that alone is read, such as data/python (type huggingface)", default=None
    )
    split: str = key("Split of the data set (type huggingface)", default="train")
    revision: str | None = key(
        "Branch, tag or commit; what it stands for is resolved once and recorded (type huggingface)", default=None
    )
    timeout: float = key(
        "A request is made again when nothing comes for so long (seconds; type huggingface)",
        default=30, above=0, maximum=1e7, decides=False,
    )  # fmt: skip
    give_up: float = key(
        "A request that fails again and again is given up after this (seconds; type huggingface)",
        default=300, above=0, maximum=1e7, decides=False,
    )  # fmt: skip
    deadline: float = key(
        "All reading of one job must end within this (seconds; type huggingface)",
        default=86400, above=0, maximum=1e7, decides=False,
    )  # fmt: skip
