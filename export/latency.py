"""How long one inference takes, and how much memory it needs, on the machine of the export."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from edge_dx import manifest as contract
from edge_dx.backends import Backend
from edge_dx.manifest import AnyInput, AnyOutput
from export.errors import ExportError
from export.running import Made, draft_manifest, draft_variant

_BLOCKS, _WARM_UP, _RUNS = 5, 10, 100


class Latency(NamedTuple):
    """Milliseconds of one inference with one thread."""

    p50_ms: float
    p90_ms: float
    p99_ms: float


def latencies(
    backends: Mapping[str, Backend],
    feeds: Mapping[str, np.ndarray[Any, Any]],
    blocks: int = _BLOCKS,
) -> dict[str, Latency]:
    """Percentiles of one study's inference with one thread.

    The backends take turns, so that whatever else the machine does meets all of them alike; of
    several blocks the least disturbed one counts, by the sum of the medians.
    """
    one = {name: array[:1] for name, array in feeds.items()}
    measured = []
    for _ in range(blocks):
        took: dict[str, list[int]] = {name: [] for name in backends}
        for turn in range(_WARM_UP + _RUNS):
            for name, backend in backends.items():
                before = time.perf_counter_ns()
                backend.run(one)
                if turn >= _WARM_UP:
                    took[name].append(time.perf_counter_ns() - before)
        measured.append({n: np.percentile(times, [50, 90, 99]) for n, times in took.items()})
    quiet = min(measured, key=lambda block: sum(float(found[0]) for found in block.values()))
    return {
        name: Latency(*(round(float(value) / 1e6, 4) for value in found))
        for name, found in quiet.items()
    }


def peak_memory_mb(
    made: Made, inputs: tuple[AnyInput, ...], outputs: tuple[AnyOutput, ...]
) -> float:
    """Largest resident size of a process that loads the file and runs it a few times, in MB.

    A process of its own: this one holds torch.

    Raises:
        ExportError: the process failed.
    """
    with tempfile.TemporaryDirectory() as directory:
        (Path(directory) / "file").write_bytes(made.payload)
        draft = msgspec.structs.replace(
            draft_manifest(inputs, outputs), variants=(draft_variant(made),)
        )
        (Path(directory) / "manifest.json").write_bytes(contract.encode(draft))
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, directory, made.engine],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    if done.returncode:
        told = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise ExportError(f"{made.name}: measuring its memory failed ({told[0]})")
    return float(json.loads(done.stdout))


# VmHWM and not `ru_maxrss`: that one still counts the parent, from before the exec.
_CHILD = """
import sys
from pathlib import Path
import msgspec, numpy as np
from edge_dx.backends import input_specs, open_backend
from edge_dx.manifest import Manifest
here, engine = Path(sys.argv[1]), sys.argv[2]
manifest = msgspec.json.decode((here / "manifest.json").read_bytes(), type=Manifest)
variant = manifest.variants[0]
backend = open_backend(engine, manifest, variant, (here / "file").read_bytes(), 1)
feeds = {s.name: np.zeros((1, *s.shape[1:]), s.dtype) for s in input_specs(manifest)}
for _ in range(5):
    backend.run(feeds)
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(int(status["VmHWM"].split()[0]) * 1024 / 1e6)
"""
