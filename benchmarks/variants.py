"""Variant × engine × threads of a bundle, side by side in one run: latency, size, memory, start.

    python benchmarks/variants.py [--bundle chest-tb] [--rounds 400] [--out FILE]

The graph alone: from the prepared image in memory to the outputs, through edge_dx's engines. The
floors are bare calls of onnxruntime, LiteRT and OpenVINO on the same files, without edge_dx around
them; torch runs the module that the files were made from. Every contender runs once in every round
in an order that rotates, so what else the machine does meets all of them alike; a ratio is the
median over rounds of the ratio to the floor of the same round. Every contender has a process of
its own; start-up and memory are those of fresh ones. Machines with two cores and
neighbours: mind the percentiles.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).parents[1]
SETTLE_S = 0.005
"""Threads of an engine spin for a while after its call, and would take a core from the next."""


class Contender(NamedTuple):
    """What is run."""

    name: str
    variant: str
    engine: str
    threads: int


def contenders(path: str) -> list[Contender]:
    from edge_dx.backends import engine_state
    from edge_dx.bundle import open_bundle

    found = [Contender("floor: bare onnxruntime", "onnx-int8", "bare-onnx", 1)]
    for variant, engine in (("onnx-fp32", "bare-onnx"), ("tflite-int8", "bare-tflite"),
                            ("onnx-int8", "bare-openvino")):  # fmt: skip
        package = {"bare-onnx": "onnx", "bare-tflite": "tflite", "bare-openvino": "openvino"}
        if engine_state(package[engine])[0]:
            found.append(Contender(f"bare {package[engine]}", variant, engine, 1))
    manifest = open_bundle(Path(path)).manifest
    for variant in manifest.variants:
        for engine in variant.engines:
            if engine_state(engine)[0]:
                found += [Contender("edge_dx", variant.name, engine, n) for n in (1, 2)]
    found += [Contender("torch eager", "module", "torch", n) for n in (1, 2)]
    return found


def file_sizes(path: str) -> dict[str, int]:
    """Variant → bytes of its file."""
    from edge_dx.bundle import open_bundle

    bundle = open_bundle(Path(path))
    return {v.name: len(bundle.members[v.file]) for v in bundle.manifest.variants}


def opened(path: str, contender: Contender) -> Callable[[], Any]:
    """A call of one inference."""
    from edge_dx.bundle import open_bundle

    bundle = open_bundle(Path(path))
    image = np.random.default_rng(0).integers(0, 256, (1, *bundle.manifest.inputs[0].shape))
    image = image.astype(np.uint8)
    if contender.engine == "torch":
        return torch_call(image, contender.threads)
    variant = bundle.manifest.variant(contender.variant)
    payload = bundle.members[variant.file]
    name = bundle.manifest.inputs[0].name
    if contender.engine == "bare-onnx":
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = contender.threads, 1
        session = ort.InferenceSession(payload, options, providers=["CPUExecutionProvider"])
        return lambda: session.run(None, {name: image})
    if contender.engine == "bare-tflite":
        from ai_edge_litert.interpreter import Interpreter

        runner = Interpreter(model_content=payload, num_threads=contender.threads)
        runner.allocate_tensors()
        given = runner.get_input_details()[0]["index"]
        wanted = [detail["index"] for detail in runner.get_output_details()]
        quantized = (image.astype(np.int16) - 128).astype(np.int8)

        def run() -> Any:
            runner.set_tensor(given, quantized)
            runner.invoke()
            return [runner.get_tensor(index) for index in wanted]

        return run
    if contender.engine == "bare-openvino":
        import io

        import openvino

        core = openvino.Core()
        how = {"INFERENCE_NUM_THREADS": contender.threads, "NUM_STREAMS": 1,
               "INFERENCE_PRECISION_HINT": "f32"}  # fmt: skip
        request = core.compile_model(
            core.read_model(model=io.BytesIO(payload)), "CPU", how
        ).create_infer_request()
        return lambda: request.infer({name: image})
    from edge_dx.backends import open_backend

    backend = open_backend(
        contender.engine, bundle.manifest, variant, payload, contender.threads
    )  # fmt: skip
    return lambda: backend.run({name: image})


def torch_call(image: np.ndarray[Any, Any], threads: int) -> Callable[[], Any]:
    import torch

    from export.network import load_network
    from export.recipe import read_recipe

    network, _ = load_network(read_recipe(ROOT / "export" / "zoo" / "chest_tb" / "recipe.toml"))
    given = torch.from_numpy(image)

    def run() -> Any:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        with torch.inference_mode():
            return network(given)

    return run


def child(path: str, contender: Contender) -> None:
    """One contender in this process: prints when its first answer was there, and its memory."""
    call = opened(path, contender)
    call()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    told = {"peak_mb": int(status["VmHWM"].split()[0]) * 1024 / 1e6, "done": time.time()}
    print(json.dumps(told))


def fresh(path: str, contender: Contender, times: int = 3) -> tuple[float, float]:
    """Median milliseconds from process start to the first answer, and peak MB."""
    starts, peaks = [], []
    for _ in range(times):
        before = time.time()
        done = subprocess.run(
            [sys.executable, __file__, "--bundle", path, "--child", json.dumps(contender)],
            capture_output=True, text=True, check=True, cwd=ROOT,
        )  # fmt: skip
        told = json.loads(done.stdout.splitlines()[-1])
        starts.append((told["done"] - before) * 1e3)
        peaks.append(told["peak_mb"])
    return float(np.median(starts)), float(np.median(peaks))


class Worker:
    """A contender in a process of its own: thread pools of several engines in one get in each
    other's way.
    """

    def __init__(self, path: str, contender: Contender) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--bundle", path, "--worker", json.dumps(contender)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        )  # fmt: skip
        self.ask()  # so that it is ready

    def ask(self) -> float:
        """Milliseconds of one inference."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def worker(path: str, contender: Contender) -> None:
    """Answers each line with a time; the second of two calls counts, as a device is warm."""
    call = opened(path, contender)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an engine prints is no answer
    for _ in range(10):
        call()
    for _ in sys.stdin:
        call()
        before = time.perf_counter_ns()
        call()
        print((time.perf_counter_ns() - before) / 1e6, file=out, flush=True)


def measured(
    path: str, everyone: list[Contender], rounds: int
) -> dict[Contender, np.ndarray[Any, Any]]:
    """Milliseconds of every round."""
    workers = {contender: Worker(path, contender) for contender in everyone}
    times: dict[Contender, list[float]] = {contender: [] for contender in everyone}
    for number in range(rounds):
        turn = number % len(everyone)
        for contender in everyone[turn:] + everyone[:turn]:
            time.sleep(SETTLE_S)
            times[contender].append(workers[contender].ask())
    for one in workers.values():
        one.close()
    return {contender: np.array(found) for contender, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bundle", default="chest-tb")
    parser.add_argument("--rounds", type=int, default=400)
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "variants.md")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()

    from edge_dx.shelf import find

    path = str(find(options.bundle))
    if options.child:
        child(path, Contender(*json.loads(options.child)))
        return
    if options.worker:
        worker(path, Contender(*json.loads(options.worker)))
        return
    everyone = contenders(path)
    times = measured(path, everyone, options.rounds)
    sizes = file_sizes(path)
    floor = times[everyone[0]]
    rows = []
    for contender in everyone:
        start, peak = fresh(path, contender)
        p50, p90, p99 = np.percentile(times[contender], [50, 90, 99])
        ratio = np.median(times[contender] / floor)
        size = f"{sizes[contender.variant] / 1e3:.0f}" if contender.variant in sizes else "–"
        rows.append(
            f"| {contender.name} | {contender.variant} | {contender.engine} | {contender.threads} "
            f"| {p50:.3f} | {p90:.3f} | {p99:.3f} | {ratio:.2f} | {size} | {peak:.0f} "
            f"| {start:.0f} |"
        )
        print(rows[-1], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(page(options.bundle, options.rounds, rows), "utf-8")
    print(options.out)


def page(bundle: str, rounds: int, rows: list[str]) -> str:
    from edge_dx import device
    from edge_dx.backends import ENGINES, engine_state

    versions = [
        f"{n} {engine_state(n)[1]}" for n in ENGINES if engine_state(n)[0] and n != "pretend"
    ]
    heads = ("who", "variant", "engine", "threads", "p50 ms", "p90 ms", "p99 ms", "× floor", "kB",
             "peak MB", "start ms")  # fmt: skip
    return "\n".join(
        [
            "# Variants, engines and threads",
            "",
            f"`python benchmarks/variants.py --bundle {bundle} --rounds {rounds}` on "
            f"{device.processor()} ({', '.join(device.instruction_sets())}), {os.cpu_count()} "
            f"cores, Python {platform.python_version()}; {versions}.",
            "",
            "The graph alone, one prepared image in memory to the outputs. Each contender has a "
            "process of its own, and all take turns: an engine is asked once in about 100 ms, so "
            "its second thread has gone to sleep and gains less than in a loop without a pause. "
            "× floor: median over rounds of the ratio to bare onnxruntime on the int8 file with "
            "one thread. Start: from the process's start to the first outputs, opening and "
            "checking the bundle included. skipped: TensorRT on a GPU, none was at hand; its "
            "files run on onnxruntime as a fallback, slower than those made for it.",
            "",
            f"| {' | '.join(heads)} |",
            f"| {' | '.join('---' for _ in heads)} |",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main()
