"""Turn the manifest of an instruction set into a page in Markdown: what was taken, and what was left out and why."""

from collections.abc import Mapping
from typing import Any

from abovo.reporting.tables import markdown_table

SPLITS = {"train": "training", "val": "held out"}
# Column -> the count of a split that it holds.
COUNTED = {
    "conversations": "conversations", "shortened": "shortened", "parted": "parted", "tokens": "tokens",
    "learnt tokens": "labels", "rows": "rows", "rows of several": "shared_rows",
}  # fmt: skip


def instruction_card(data: Mapping[str, Any]) -> str:
    """What the page says of the set that `data` is the manifest of."""
    counts, settings = data["counts"], data["parameters"]
    sources = counts["sources"]
    packed = []
    for split, name in SPLITS.items():
        own = counts[split]
        packed.append([name, *(f"{own[key]:,}" for key in COUNTED.values()), f"{own['padded_share']:.1%}"])
    read = [
        [name, one["format"] + (f" ({one['found']})" if "found" in one else ""), f"{one['records']:,}",
         f"{one['conversations']:,}", f"{one['tokens']:,}", f"{one['share']:.1%}"]
        for name, one in sources.items()
    ]  # fmt: skip
    left_out = [[name, why, f"{count:,}"] for name, one in sources.items() for why, count in one["left_out"].items()]
    unread = [[name, key, f"{count:,}"] for name, one in sources.items() for key, count in one["unread_keys"].items()]
    parts = [
        "# Instruction set\n",
        f"Rows of {data['sequence_length']:,} tokens, chat template {settings['template']['name']}; held out by the"
        f" {data['split_by']} of a conversation, or with its document where it was made of one.\n",
        markdown_table(["split", *COUNTED, "padding"], packed),
        "## Sources\n",
        markdown_table(["source", "format", "records", "conversations", "tokens", "share of tokens"], read),
        "## Left out\n",
        markdown_table(["source", "reason", "count"], left_out) if left_out else "Nothing.\n",
    ]
    if unread:
        parts += ["## Keys of records that are not read\n", markdown_table(["source", "key", "records"], unread)]
    if "overlap" in data:
        rows = [[name, _looked_for(one)] for name, one in data["overlap"]["tasks"].items()]
        parts += ["## Tasks whose rows were looked for\n", markdown_table(["task", "rows"], rows)]
    return "\n".join(parts)


def _looked_for(task: Mapping[str, Any]) -> str:
    return f"absent: {task['absent']}" if "absent" in task else f"{task['rows']:,} ({task['too_short']:,} too short)"
