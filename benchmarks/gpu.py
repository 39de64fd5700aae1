"""TensorRT on the GPU that is here: agreement, times, and what the engine cache does.

    python benchmarks/gpu.py [--bundle chest-tb] [--runs 500] [--out benchmarks/results/gpu.md]

Without a GPU it writes down why nothing was measured. Each tensorrt variant is built from nothing
(an empty cache), opened again from the cache, built a second time from nothing (two builds are not
the same to the bit), and compared with onnxruntime on the processor on the same inputs.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx import phantom
from edge_dx.backends import engine_state, open_backend
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.manifest import ImageInput, Variant
from edge_dx.shelf import find

ROOT = Path(__file__).parents[1]
HEADS = ("variant", "first build s", "from the cache s", "second build the same bytes",
         "largest difference logits", "allowed", "p50 ms", "p90 ms", "p99 ms",
         "batch of 8, ms per image", "processor p50 ms")  # fmt: skip


def pictures(bundle: Bundle, count: int) -> np.ndarray[Any, Any]:
    """(count, C, H, W) uint8: phantoms through the bundle's own preparation."""
    from edge_dx.image import compile_steps, to_tensor

    item = bundle.manifest.inputs[0]
    assert isinstance(item, ImageInput), "the reference model takes an image"
    prepare = compile_steps(item.prepare)
    return np.concatenate([to_tensor(prepare(phantom.draw(k).pixels)) for k in range(count)])


def percentiles(backend: Any, feed: np.ndarray[Any, Any], runs: int) -> np.ndarray[Any, Any]:
    took = []
    for turn in range(runs + 20):
        before = time.perf_counter_ns()
        backend.run({backend.inputs[0].name: feed})
        if turn >= 20:
            took.append((time.perf_counter_ns() - before) / 1e6)
    return np.percentile(took, [50, 90, 99])


def opened(bundle: Bundle, variant: Variant, engine: str, state: str) -> tuple[Any, float]:
    os.environ["XDG_STATE_HOME"] = state
    before = time.perf_counter()
    backend = open_backend(engine, bundle.manifest, variant, bundle.members[variant.file], 1)
    return backend, time.perf_counter() - before


def row(bundle: Bundle, variant: Variant, runs: int) -> str:
    films = pictures(bundle, 16)
    name = bundle.manifest.inputs[0].name
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        backend, build_s = opened(bundle, variant, "tensorrt", first)
        again, cached_s = opened(bundle, variant, "tensorrt", first)
        other, _ = opened(bundle, variant, "tensorrt", second)
        processor, _ = opened(bundle, variant, "onnx", first)
        assert again.built == backend.built, "the cache gave another engine"
        off = np.abs(
            backend.run({name: films})["logits"] - processor.run({name: films})["logits"]
        ).max()
        p50, p90, p99 = percentiles(backend, films[:1], runs)
        eight = percentiles(backend, films[:8], runs // 4)[0] / 8
        slow = percentiles(processor, films[:1], runs // 4)[0]
        same = "yes" if other.built == backend.built else "no"
    took = [f"{value:.3f}" for value in (p50, p90, p99, eight, slow)]
    cells = [variant.name, f"{build_s:.1f}", f"{cached_s:.2f}", same, f"{off:.4f}",
             f"{variant.tolerance['logits']:g}", *took]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="chest-tb")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "gpu.md")
    options = parser.parse_args()
    there, detail = engine_state("tensorrt")
    lines = ["# TensorRT on a GPU", ""]
    if there:
        from edge_dx.backends.tensorrt.memory import Cuda
        from edge_dx.backends.tensorrt.vendor import runtime

        gpu = Cuda(runtime())
        bundle = open_bundle(find(options.bundle))
        lines += [
            f"`python benchmarks/gpu.py --runs {options.runs}` on {gpu.gpu} (compute capability "
            f"{gpu.capability}), TensorRT {detail}, Python {platform.python_version()}. Host to "
            "device and back included.",
            "",
            f"| {' | '.join(HEADS)} |",
            f"| {' | '.join('---' for _ in HEADS)} |",
        ]
        variants = [v for v in bundle.manifest.variants if "tensorrt" in v.engines]
        lines += [row(bundle, variant, options.runs) for variant in variants]
    else:
        lines += [
            f"skipped: no GPU was at hand when this page was written ({detail}).",
            "",
            "Nothing here has been run on a GPU yet. What was done without one: the engine's whole "
            "path on a fake of TensorRT 10.3, 10.13, 10.16 and 11.4 "
            "(`tests/backends/tensorrt/`), and real builds of every `tensorrt-*` file of the "
            "shipped bundle ahead of time with TensorRT for RTX for compute capabilities 7.5, 8.0, "
            "8.6, 8.9 and 12.0, which proves that the parser and the builder take them and says "
            "nothing about their speed or their answers. Orin's 8.7 is not among them.",
            "",
            "Where a GPU is at hand: `python benchmarks/gpu.py` writes this page anew, and "
            "`python -m pytest tests/hardware` compares the GPU with the processor.",
        ]
    options.out.write_text("\n".join([*lines, ""]), "utf-8")
    print(options.out.read_text("utf-8"))


if __name__ == "__main__":
    main()
