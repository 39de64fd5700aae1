"""edge_dx beside its floor and its peers, in one run, interleaved, as ratios with their spread.

    python benchmarks/runtime.py [--rounds 60] [--out benchmarks/results/runtime.md]

Every contender runs once in every round, in an order that rotates, so that a noisy moment hits
all of them; what is reported is the median over rounds of the ratio to the floor of the same
round, with the 5th and 95th percentile. One thread each. Targets stand beside the figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper, shape_inference
from peers import PEERS, _member

from edge_dx import device, phantom
from edge_dx.shelf import find

Times = dict[str, list[float]]

_PLATE = (2140, 1760)
_PLATE_TITLE = "2140 × 1760 PNG file (a 43 × 35 cm plate at 0.2 mm)"


def interleaved(calls: dict[str, Callable[[], Any]], rounds: int, repeat: int = 8) -> Times:
    """Milliseconds per call of each contender, one median of `repeat` per round."""
    names = list(calls)
    for call in calls.values():
        for _ in range(5):
            call()
    times: Times = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            laps = []
            for _ in range(repeat):
                start = time.perf_counter_ns()
                calls[name]()
                laps.append(time.perf_counter_ns() - start)
            times[name].append(float(np.median(laps)) / 1e6)
    return times


def ratio(times: Times, name: str, base: str) -> tuple[float, float, float]:
    """Median, 5th and 95th percentile over rounds of `name` relative to `base`."""
    found = np.array(times[name]) / np.array(times[base])
    return float(np.median(found)), *map(float, np.percentile(found, [5, 95]))


def cold(names: list[str], bundle: str, film: str, rounds: int) -> tuple[Times, Times]:
    """Milliseconds from process start to the first result, and peak resident MB, per contender."""
    wall: Times = {name: [] for name in names}
    peak: Times = {name: [] for name in names}
    script = str(Path(__file__).with_name("peers.py"))
    for number in range(rounds + 1):  # the first round fills the page cache and the proof memory
        for name in names:
            start = time.perf_counter_ns()
            done = subprocess.run(
                [sys.executable, script, name, bundle, film],
                capture_output=True, text=True, check=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
            took = (time.perf_counter_ns() - start) / 1e6
            if number:
                wall[name].append(took)
                peak[name].append(json.loads(done.stdout)["peak_mb"])
    return wall, peak


def macs(payload: bytes) -> int:
    """Multiply-accumulates of the convolutions and the head, for one image."""
    model = shape_inference.infer_shapes(onnx.load_from_string(payload))
    sizes = {i.name: list(i.dims) for i in model.graph.initializer}
    shapes = {
        v.name: [d.dim_value or 1 for d in v.type.tensor_type.shape.dim]
        for v in [*model.graph.value_info, *model.graph.output, *model.graph.input]
    }
    total = 0
    for node in model.graph.node:
        if node.op_type == "Conv":
            out = shapes[node.output[0]]
            total += int(np.prod(out[1:])) * int(np.prod(sizes[node.input[1]][1:]))
        elif node.op_type == "Gemm":
            total += int(np.prod(sizes[node.input[1]]))
    return total


def int8_peak() -> float:
    """This core's int8 multiply-accumulates per second: the best of some large QLinearConv."""
    best = 0.0
    for channels, side in ((128, 56), (256, 28), (512, 28)):
        payload = _quantized_conv(channels, side)
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        session = ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
        feed = {"x": np.random.default_rng(0).integers(0, 255, (1, channels, side, side), np.uint8)}
        laps = []
        for _ in range(60):
            start = time.perf_counter_ns()
            session.run(None, feed)
            laps.append(time.perf_counter_ns() - start)
        best = max(best, channels * channels * 9 * side * side / (float(np.min(laps)) / 1e9))
    return best


def _quantized_conv(channels: int, side: int) -> bytes:
    weights = np.random.default_rng(0).integers(-127, 127, (channels, channels, 3, 3), np.int8)
    constants = {
        "s": np.array(0.02, np.float32), "z": np.array(128, np.uint8), "w": weights,
        "ws": np.array(0.01, np.float32), "wz": np.array(0, np.int8),
    }  # fmt: skip
    node = helper.make_node(
        "QLinearConv", ["x", "s", "z", "w", "ws", "wz", "s", "z"], ["y"], pads=[1, 1, 1, 1]
    )
    shape = [1, channels, side, side]
    graph = helper.make_graph(
        [node], "peak",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, shape)],
        [numpy_helper.from_array(v, k) for k, v in constants.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="chest-tb")
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--cold-rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/runtime.md"))
    options = parser.parse_args()
    bundle = str(find(options.bundle))

    with tempfile.TemporaryDirectory() as directory:
        small, large = Path(directory, "film.png"), Path(directory, "plate.png")
        phantom.write_png(phantom.draw(seed=1, size=384), small)
        phantom.write_png(phantom.draw(seed=1, size=_PLATE), large)
        wall, peak = cold(
            ["floor-int8", "edge_dx-int8", "torch", "plain-int8"],
            bundle, str(small), options.cold_rounds,
        )  # fmt: skip
        peers = {name: cls(bundle) for name, cls in PEERS.items()}
        for peer in peers.values():
            peer.setup()
        warm = {}
        for title, film in (("384 × 384 PNG file", small), (_PLATE_TITLE, large)):
            calls = {n: (lambda p=p, f=str(film): p(f)) for n, p in peers.items()}
            warm[title] = interleaved(calls, options.rounds)
    grey = phantom.draw(seed=1, size=384).pixels
    arrays = {n: (lambda p=p: p.from_array(grey)) for n, p in peers.items() if n != "plain-int8"}
    warm["384 × 384 array in memory"] = interleaved(arrays, options.rounds)
    tensor = np.ascontiguousarray(grey[: peers["floor-int8"].side, : peers["floor-int8"].side])
    graph = {
        name: (lambda s=peers[name].session: s.run(None, {"image": tensor[None, None]}))
        for name in ("floor-int8", "floor-fp32")
    }
    warm["the graph alone"] = interleaved(graph, options.rounds)

    files = {v: _member(bundle, f"variants/{v}.onnx") for v in ("onnx-int8", "onnx-fp32")}
    text = report(warm, wall, peak, files, macs(files["onnx-fp32"]), int8_peak(), options.rounds)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(text)
    print(text)
    return 0


def report(
    warm: dict[str, Times], wall: Times, peak: Times, files: dict[str, bytes], work: int,
    ceiling: float, rounds: int,
) -> str:  # fmt: skip
    """The figures as Markdown, targets beside them."""

    def row(times: Times, name: str, base: str) -> str:
        middle, low, high = ratio(times, name, base)
        return f"{np.median(times[name]):.2f} | {middle:.2f} | {low:.2f} to {high:.2f}"

    lines = [
        "# Runtime benchmark", "",
        f"`python benchmarks/runtime.py` on {device.processor()} "
        f"({', '.join(device.instruction_sets())}), Python {platform.python_version()}, "
        f"onnxruntime {ort.__version__}, one thread, {rounds} interleaved rounds. The floor is "
        "OpenCV's imread, one resize and a bare onnxruntime session; floor-prepared does the "
        "model's whole preparation (border crop, resize, CLAHE, stretch) in place of the resize.",
        "",
    ]  # fmt: skip
    for title, times in warm.items():
        lines += [f"## Per image: {title}", "",
                  "| contender | ms (median) | × the int8 floor | 5 % to 95 % of rounds |",
                  "| --- | --- | --- | --- |"]  # fmt: skip
        lines += [f"| {name} | {row(times, name, 'floor-int8')} |" for name in times]
        lines.append("")
    lines += [
        "## Process start to first result",
        "",
        "| contender | ms (median) | × the floor | 5 % to 95 % |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {name} | {row(wall, name, 'floor-int8')} |" for name in wall]
    lines += [
        "",
        "## Peak resident memory of that process",
        "",
        "| contender | MB (median) | × the floor | 5 % to 95 % |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| {name} | {row(peak, name, 'floor-int8')} |" for name in peak]
    alone = warm["the graph alone"]
    speed = 1 / ratio(alone, "floor-int8", "floor-fp32")[0]
    rate = work / (float(np.median(alone["floor-int8"])) / 1e3)
    size = len(files["onnx-int8"]) / len(files["onnx-fp32"])
    targets = [
        ("edge_dx / floor, int8, from a 384 × 384 file",
         ratio(warm["384 × 384 PNG file"], "edge_dx-int8", "floor-int8")[0], "≤", 1.10),
        ("edge_dx / floor with the same preparation, int8, 384 × 384 file",
         ratio(warm["384 × 384 PNG file"], "edge_dx-int8", "floor-prepared-int8")[0], "≤", 1.10),
        ("edge_dx / floor, fp32, from a 384 × 384 file",
         ratio(warm["384 × 384 PNG file"], "edge_dx-fp32", "floor-fp32")[0], "≤", 1.10),
        ("edge_dx / floor, int8, from a 2140 × 1760 file",
         ratio(warm[_PLATE_TITLE], "edge_dx-int8", "floor-int8")[0], "≤", 1.10),
        ("edge_dx / floor, int8, from an array",
         ratio(warm["384 × 384 array in memory"], "edge_dx-int8", "floor-int8")[0], "≤", 1.10),
        ("int8 faster than fp32, graph alone", speed, "≥", 1.5),
        ("int8 / fp32 file size", size, "≤", 0.30),
        ("start to first result / floor", ratio(wall, "edge_dx-int8", "floor-int8")[0], "≤", 1.5),
        ("start to first result / torch", ratio(wall, "edge_dx-int8", "torch")[0], "≤", 0.25),
        ("peak memory / floor", ratio(peak, "edge_dx-int8", "floor-int8")[0], "≤", 1.3),
        ("peak memory / torch", ratio(peak, "edge_dx-int8", "torch")[0], "≤", 0.4),
    ]  # fmt: skip
    lines += ["", "## Targets", "", "| figure | found | to reach | |", "| --- | --- | --- | --- |"]
    for name, found, sign, target in targets:
        met = found <= target if sign == "≤" else found >= target
        verdict = "reached" if met else "NOT reached"
        lines.append(f"| {name} | {found:.2f} | {sign} {target:.2f} | {verdict} |")
    lines += ["", f"The graph does {work / 1e6:.1f} million multiply-accumulates per image; the "
              f"int8 file achieves {rate / 1e9:.0f} GMAC/s, {rate / ceiling:.0%} of this core's "
              f"int8 peak of {ceiling / 1e9:.0f} GMAC/s (3 × 3 QLinearConv).", ""]  # fmt: skip
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
