"""A process that opens sources and tells what it read: one JSON line of settings in, one line of findings out.

It is one process for many readings, since importing the hub's libraries takes longer than all of them. Every reading
starts without anything that an earlier one cached.
"""

import hashlib
import json
import os
import shutil
import sys
import time
from pathlib import Path

STATUS = Path("/proc/self/status")
NAMED = {"licence": "CC0", "language": "en"}


def memory(key: str) -> int:
    """Resident memory now (VmRSS) or at its peak (VmHWM), in bytes; 0 where the system does not tell."""
    if not STATUS.exists():
        return 0
    return next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith(key)) * 1024


def forget() -> None:
    from huggingface_hub import HfFileSystem

    HfFileSystem.clear_instance_cache()
    shutil.rmtree(os.environ["HF_HOME"], ignore_errors=True)


def read(order: dict) -> dict:
    # The memory of imports does not count.
    import datasets  # noqa: F401
    import httpx2  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import tenacity  # noqa: F401

    from abovo.corpus import retry
    from abovo.corpus.sources import open_rows, open_source
    from abovo.errors import AbovoError
    from abovo.settings.corpus import Source
    from abovo.settings.instruction import Records
    from abovo.settings.keys import build

    # Waiting for a server that recovers at once would only make the tests slow.
    retry.FIRST_PAUSE = 0.02
    if STATUS.exists():
        Path("/proc/self/clear_refs").write_text("5")  # begin a new peak
    started, before = time.monotonic(), memory("VmRSS")
    digest, number, faults = hashlib.sha256(), 0, {}
    try:
        if order.get("rows"):
            place = {key: value for key, value in order["settings"].items() if key not in ("column", "documents")}
            rows = list(open_rows(build(Records, place)).read())
            return {"rows": [row.values["text"] for row in rows], "keys": sorted(rows[0].values)}
        source = open_source(build(Source, {**NAMED, **order["settings"]}), order.get("planned"))
        for unit in source.units[: order.get("units")]:
            found = source.read(unit, order.get("start", 0))
            for record in found:
                digest.update(f"{record.id}\t{record.text}\t{record.fault}\n".encode())
                number += 1
                if record.fault:
                    faults[record.fault] = faults.get(record.fault, 0) + 1
                if number == order.get("stop"):
                    break
            found.close()
            if number == order.get("stop"):
                break
        result = {"sha256": digest.hexdigest(), "records": number, "faults": faults}
        result |= {"revision": source.revision, "units": source.units}
    except AbovoError as error:
        result = {"error": str(error)}
    return result | {"seconds": time.monotonic() - started, "more_memory": memory("VmHWM") - before}


if __name__ == "__main__":
    for line in sys.stdin:
        forget()
        print(json.dumps(read(json.loads(line))), flush=True)
