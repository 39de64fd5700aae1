"""What a stream costs: processor time, streams per core, latency, memory, and a day of signal.

    python benchmarks/streams.py BUNDLE [--rounds 15] [--hours 24] [--records DIR] [--out FILE]

Processor time of the process (not wall time: the figures are of one core), one thread, signal of
one lead at 360 samples per second, 36 samples (100 ms) at a time. Every contender runs in every
round, in an order that rotates, so that a noisy moment hits all of them; told are medians over the
rounds, and the ratio to the floor of the same round. `benchmarks/stream_peers.py` says what the
contenders do. The signal is made up (`edge_dx.sources.samples.Synthetic`), 70 beats per minute,
every seventh of them premature, each stream at a place of its own; latencies are of the
recordings in --records where given.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from stream_peers import Contender, Edge, Floor, Torch, Window, asked

import edge_dx
from edge_dx import device
from edge_dx.ecg.events import Beat
from edge_dx.ecg.stream import SignalStream
from edge_dx.manifest import Stream
from edge_dx.signal import Samples
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import Synthetic, open_samples

Array = Any
RATE, HOP, SECONDS = 360, 36, 97
TOGETHER = (1, 8, 64, 256)
WARM_HOPS, WINDOW_S = 60, 10.0
TARGETS = {"step": 300, "step_joined": 1000}
"""Streams per core, alone and side by side."""


def signals(streams: int) -> list[Array]:
    """(hops, samples, 1) of each stream: one signal, each from a place of its own."""
    made = Synthetic(rate_hz=RATE, seconds=SECONDS, premature_every=7, seed=1)
    mv = np.concatenate([block.mv for block in made.blocks()])[:, :1]
    hops = len(mv) // HOP
    cut = mv[: hops * HOP].reshape(hops, HOP, 1)
    return [np.roll(cut, -(stream * 37) % hops, axis=0) for stream in range(streams)]


def opened(bundle: str, variant: str | None) -> SignalModel:
    model = edge_dx.load(bundle, variant=variant, allow_unsigned=True)
    assert isinstance(model, SignalModel), "a bundle of streams"
    return model


def contenders(model: SignalModel, streams: int) -> dict[str, Contender]:
    """By name; all of them warm."""
    stream = model.stream(rate_hz=RATE, leads=("II",))
    given = signals(streams)
    found: dict[str, Contender] = {}
    for how in ("step", "step_many", "step_joined"):
        if how == "step" or streams > 1:
            found[how] = Edge(stream, given, how)
    last = next(reversed(found.values()))
    for _ in range(WARM_HOPS):
        for contender in found.values():
            contender.hop()
    assert isinstance(last, Edge), "they all are"
    calls = asked(model, last, len(given[0]))
    found["floor"] = Floor(model, streams, calls)
    found["torch"] = Torch(streams, calls)
    if streams <= 8:
        found["window"] = Window(given, RATE, WINDOW_S)
    return found


def timed(calls: dict[str, Contender], rounds: int, streams: int) -> dict[str, list[float]]:
    """Microseconds of processor time per second of signal and stream, a value per round."""
    hops = max(10, 200 // streams)
    names = list(calls)
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds + 1):  # the first round fills the caches
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            many = hops if name != "window" else max(2, hops // 20)
            begin = time.process_time_ns()
            for _ in range(many):
                calls[name].hop()
            spent = (time.process_time_ns() - begin) / 1e3
            if number:
                found[name].append(spent / many * 10 / streams)
    return found


def costs(model: SignalModel, rounds: int) -> list[str]:
    lines = [
        f"### {model.variant.name}", "",
        "| streams | contender | µs per stream-second | × the floor | 5 % to 95 % of rounds "
        "| streams per core |",
        "| --- | --- | --- | --- | --- | --- |",
    ]  # fmt: skip
    for streams in TOGETHER:
        found = timed(contenders(model, streams), rounds, streams)
        for name, values in found.items():
            own = float(np.median(values))
            ratios = np.array(values) / np.array(found["floor"])
            low, high = np.percentile(ratios, [5, 95])
            lines.append(
                f"| {streams} | {name} | {own:.0f} | {np.median(ratios):.2f} "
                f"| {low:.2f} to {high:.2f} | {1e6 / own:,.0f} |"
            )
    return [*lines, ""]


def steps(stream: SignalStream, minutes: int) -> list[str]:
    """How long single calls of `step` take, one stream alone."""
    given, state = signals(1)[0], stream.start()
    wall, own = [], []
    gc.collect()
    for hop in range(minutes * 600):
        chunk = given[hop % len(given)]
        begin, spent = time.perf_counter_ns(), time.thread_time_ns()
        state, _ = stream.step(state, chunk)
        wall.append(time.perf_counter_ns() - begin)
        own.append(time.thread_time_ns() - spent)
    lines = ["| | p50 | p99 | p99.9 | largest |", "| --- | --- | --- | --- | --- |"]
    for name, values in (("processor time, ms", own), ("wall time, ms", wall)):
        told = np.percentile(np.array(values[WARM_HOPS:]) / 1e6, [50, 99, 99.9, 100])
        lines.append(f"| {name} | " + " | ".join(f"{value:.2f}" for value in told) + " |")
    return lines


def resident_kb() -> int:
    """Of this process, now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


def memory(stream: SignalStream) -> list[str]:
    """State of one stream, and what a thousand of them weigh."""
    given, many = signals(1)[0], 1000
    one = stream.start()
    for hop in given[:200]:
        one, _ = stream.step(one, hop)
    arrays = one.to_arrays()
    gc.collect()
    before = resident_kb()
    joined = stream.join([stream.start()] * many)
    for hop in given[:100]:
        joined, _ = stream.step_joined(joined, [hop] * many)
    gc.collect()
    grown = resident_kb() - before
    return [
        f"State of one stream: {sum(a.nbytes for a in arrays.values()) / 1024:.1f} KB in "
        f"{len(arrays)} arrays. {many} streams side by side: {grown / many:.1f} KB of resident "
        "memory each, what is in use during a step included.",
    ]  # fmt: skip


def day(stream: SignalStream, hours: float) -> list[str]:
    """Hours of signal through one stream, with a gap and a loose electrode every hour."""
    given, state, index, told = signals(1)[0], stream.start(), 0, 0
    rows = ["| hours of signal | resident MB | state KB | beats | alarms, gaps, other events |",
            "| --- | --- | --- | --- | --- |"]  # fmt: skip
    begin, beats = time.process_time(), 0
    marks = [hours * part / 8 for part in range(1, 9)]
    off = np.ones((HOP, 1), np.bool_)
    for hop in range(int(hours * 36_000)):
        if hop % 36_000 == 18_000:
            index += 4000  # eleven seconds that never came
        loose = off if 30_000 <= hop % 36_000 < 30_020 else None
        state, events = stream.step(state, Samples(given[hop % len(given)], index, loose))
        index += HOP
        found = sum(isinstance(event, Beat) for event in events)
        beats, told = beats + found, told + len(events) - found
        if hop + 1 >= marks[0] * 36_000:
            rows.append(f"| {marks.pop(0):g} | {resident_kb() / 1024:.1f} | "
                        f"{state.bytes / 1024:.1f} | {beats} | {told} |")  # fmt: skip
    spent = time.process_time() - begin
    faster = hours * 3600 / spent
    return [*rows, "", f"{spent:.0f} s of processor time: {faster:,.0f} times faster than life."]


def latencies(model: SignalModel, records: Path | None) -> list[str]:
    """From the R peak to the certain beat, in milliseconds."""
    told = model.bundle.manifest.stream
    assert isinstance(told, Stream), "a bundle of streams"
    lines = [
        "| answer | beats | p1 | p50 | p99 | largest |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for network in told.beats:
        late: list[float] = []
        for mv, rate, lead in recordings(records):
            stream = model.stream(rate_hz=rate, leads=(lead,), answer=network.answer)
            state, hop = stream.start(), max(1, round(float(rate) / 10))
            for at in range(0, len(mv), hop):
                state, events = stream.step(state, mv[at : at + hop])
                late += [(event.certain_at - event.sample) / float(rate) * 1e3
                         for event in events if isinstance(event, Beat)]  # fmt: skip
        found = np.percentile(late, [1, 50, 99, 100]) if late else np.zeros(4)
        lines.append(f"| {network.answer} | {len(late)} | "
                     + " | ".join(f"{value:.0f}" for value in found) + " |")  # fmt: skip
    return lines


def recordings(folder: Path | None) -> list[tuple[Array, Any, str]]:
    """(mv, rate, lead) of ten minutes each."""
    if folder is None:
        made = Synthetic(rate_hz=RATE, seconds=600, premature_every=7, seed=2)
        return [(np.concatenate([block.mv for block in made.blocks()])[:, :1], RATE, "II")]
    found = []
    for header in sorted(folder.glob("*.hea"))[:8]:
        source = open_samples(header)
        mv = np.concatenate([block.mv for block in source.blocks()])[: int(600 * source.rate_hz)]
        found.append((mv[:, :1], source.rate_hz, source.leads[0]))
    return found


def main() -> None:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("bundle", nargs="?", default="ecg-beats")
    reader.add_argument("--variants", default="onnx-int8,onnx-fp32")
    reader.add_argument("--rounds", type=int, default=15)
    reader.add_argument("--minutes", type=int, default=10, help="of single steps")
    reader.add_argument("--hours", type=float, default=24.0, help="of one stream; 0 for none")
    reader.add_argument("--records", type=Path)
    reader.add_argument("--out", type=Path, default=Path("benchmarks/results/streams.md"))
    asked_for = reader.parse_args()
    names = asked_for.variants.split(",")
    model = opened(asked_for.bundle, names[0])
    stream = model.stream(rate_hz=RATE, leads=("II",))
    lines = [
        "# Streams", "",
        f"`python benchmarks/streams.py` on {device.processor()} "
        f"({', '.join(device.instruction_sets())}), Python {platform.python_version()}, "
        f"numpy {np.__version__}, onnxruntime {ort.__version__}, torch {torch.__version__}, one "
        f"thread. {stream.info.bundle}, one lead, 36 samples (100 ms at {RATE} Hz) at a time, "
        f"{asked_for.rounds} interleaved rounds, load average {os.getloadavg()[0]:.1f} at the "
        "beginning. The floor is the bare networks: onnxruntime sessions asked as often and for as "
        "many rows as edge_dx asked, and nothing else.", "",
        "## Processor time", "",
    ]  # fmt: skip
    for name in names:
        own = opened(asked_for.bundle, name)
        lines += costs(own, asked_for.rounds)
        own.close()
    lines += [
        f"Targets: {TARGETS['step']} streams per core alone, {TARGETS['step_joined']} side by "
        "side.", "", "## One call of `step`", "",
        f"One stream alone, {names[0]}, {asked_for.minutes} minutes of signal.", "",
        *steps(stream, asked_for.minutes), "",
        "## Memory", "", *memory(stream), "",
    ]  # fmt: skip
    if asked_for.hours:
        lines += [
            f"{asked_for.hours:g} hours of signal through one stream; every hour 11 s never came "
            "and the electrode was off for 2 s.", "",
            *day(stream, asked_for.hours), "",
        ]  # fmt: skip
    which = "a made-up signal" if asked_for.records is None else "eight recordings, 10 minutes each"
    lines += [
        "## From the R peak to the certain beat", "",
        f"Milliseconds of signal, of {which}; samples arrive 100 ms at a time.", "",
        *latencies(model, asked_for.records),
    ]  # fmt: skip
    asked_for.out.write_text("\n".join(lines) + "\n", "utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
