"""What `edge-dx-bridge serve` leaves behind: lines that survive a kill, reports, annotations."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edge_dx
import firmware_bridge
from edge_dx.ecg.events import as_json
from edge_dx.errors import EngineFailed, NotFound
from edge_dx.signal import Samples
from edge_dx.signal_model import SignalModel
from edge_dx.sources.samples import Synthetic
from edge_dx.wfdb import read_annotations
from firmware_bridge import Simulator
from firmware_bridge.__main__ import main
from firmware_bridge.errors import NotServed
from firmware_bridge.outputs import Output
from firmware_bridge.serve import Serving
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from firmware_bridge.simulator.streams import record_of

RATE_HZ, SECONDS, LONG_S = 250, 30, 60.0
OWN = ("run", "host_ns", "uncertainty_s")


@pytest.fixture(scope="module")
def record() -> RecordStream:
    """Half a minute of a made-up heart with early ventricular beats."""
    made = Synthetic(seconds=SECONDS, rate_hz=RATE_HZ, premature_every=7)
    mv = np.concatenate([block.mv for block in made.blocks()])[:, :1]
    return record_of("ecg", RATE_HZ, ["II"], mv)


@pytest.fixture(scope="module")
def model() -> Iterator[SignalModel]:
    with edge_dx.load("ecg-beats", "onnx-fp32", "onnx") as found:
        assert isinstance(found, SignalModel)
        yield found


def walk(path: Path, record: RecordStream) -> Path:
    """The record as a recording of the link."""
    with Simulator(SimulatedDevice([record]), "fast") as simulator:
        assert main(["record", simulator.tcp(), "-o", str(path), "--seconds", "2"]) == 0
    return path


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_what_was_printed_survives_a_kill(
    model: SignalModel, record: RecordStream, tmp_path: Path
) -> None:
    """Each line is whole, and they are the first of those that the record has from disk."""
    out = tmp_path / "events.jsonl"
    with Simulator(SimulatedDevice([record])) as simulator, out.open("wb") as file:
        running = subprocess.Popen(
            [sys.executable, "-m", "firmware_bridge", "serve", "ecg-beats", simulator.tcp(),
             "--variant", "onnx-fp32", "--engine", "onnx"],
            stdout=file, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        for _ in range(int(LONG_S * 20)):
            if out.read_bytes().count(b'"beat"') >= 2 or running.poll() is not None:
                break
            threading.Event().wait(0.05)
        running.send_signal(signal.SIGKILL)
        running.wait(LONG_S)
    told = out.read_text("utf-8")
    assert told.endswith("}\n")
    found = [json.loads(line) for line in told.splitlines()]
    found = [{k: v for k, v in line.items() if k not in OWN} for line in found
             if line["type"] not in ("link", "device")]  # fmt: skip
    stream = model.stream(rate_hz=RATE_HZ, leads=("II",), full_scale_mv=2**23 * 0.0005)
    _, events = stream.step(stream.start(), Samples(record.counts * 0.0005, 0))
    expected = [as_json(event, stream.info.rate_hz) for event in events]
    assert found == expected[: len(found)]
    assert [line["type"] for line in found].count("beat") >= 2


def test_a_recording_is_served_with_report_and_annotations_and_hears_no_verdicts(
    record: RecordStream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A device's words are no part of a path and no markup."""
    evil = msgspec.structs.replace(record.info, name="../<b>ecg")
    file = walk(tmp_path / "walk.edxr", RecordStream(evil, record.counts))
    capsys.readouterr()
    report, notes = tmp_path / "out" / "walk.html", tmp_path / "notes"
    assert main(["serve", "ecg-beats", str(file), "--report", str(report),
                 "--annotations", str(notes)]) == 0  # fmt: skip
    out, err = capsys.readouterr()
    assert "verdicts do not go back" in err
    assert "taken by the device" not in err
    assert [path.name for path in notes.iterdir()] == ["____b_ecg.edge"]
    beats = [line for line in map(json.loads, out.splitlines()) if line["type"] == "beat"]
    marks = read_annotations(notes / "____b_ecg.edge")
    assert {line["sample"] for line in beats} <= {mark.sample for mark in marks}
    page = report.read_text("utf-8")
    assert "&lt;b&gt;ecg" in page
    assert "<b>ecg" not in page
    assert json.loads(report.with_suffix(".json").read_text("utf-8"))


def test_an_output_that_cannot_be_written_is_told_and_exit_code_1(
    record: RecordStream, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = walk(tmp_path / "walk.edxr", record)
    (tmp_path / "full").write_text("no directory")
    assert main(["serve", "ecg-beats", str(file), "--report", str(tmp_path / "full" / "x.html")])
    assert "--report" in capsys.readouterr().err


class Kept:
    """An output that notes what it gets."""

    def __init__(self) -> None:
        self.heard, self.said = list[Samples](), list[Any]()
        self.closed: list[tuple[int, str | None]] = []
        self.length = 0

    def samples(self, samples: Samples) -> None:
        self.heard.append(samples)
        self.length += len(samples.mv)

    def event(self, event: Any) -> None:
        self.said.append(event)

    def close(self, last: int, ended: str | None) -> None:
        self.closed.append((last, ended))


def test_each_run_of_the_device_has_outputs_of_its_own(
    model: SignalModel, record: RecordStream
) -> None:
    runs: list[Kept] = []

    def make(run: int) -> Sequence[Output]:
        assert run == len(runs)
        runs.append(Kept())
        return runs[-1:]

    length, asked = len(record.counts), threading.Event()
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        serving = Serving(link, model, on_full="block")
        events = serving.events(lambda: serving.run == 1 and serving.heard_to >= length, make)
        for _ in events:
            if serving.heard_to >= 10 * RATE_HZ and not asked.is_set():
                asked.set()
                threading.Thread(target=link.restart).start()
    first, second = runs
    ((last, why),) = first.closed
    assert why == "the device was restarted"
    assert last == first.heard[-1].start + len(first.heard[-1].mv) - 1  # type: ignore[operator]
    assert second.closed == [(length - 1, None)]
    heard = np.concatenate([samples.mv for samples in second.heard])
    np.testing.assert_array_equal(heard, record.counts * 0.0005)
    stream = serving.signal
    state, expected = stream.step(stream.start(), Samples(heard, 0))
    assert second.said == expected + stream.finish(state)


def test_outputs_are_written_whatever_ends_it(model: SignalModel, record: RecordStream) -> None:
    kept = Kept()
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        events = Serving(link, model, on_full="block").events(outputs=lambda run: [kept])
        while not kept.said:
            next(events)
        events.close()  # as the end of a `for` that was left, or of the program
        assert kept.closed == [(kept.heard[-1].start + len(kept.heard[-1].mv) - 1,  # type: ignore[operator]
                                "stopped by hand")]  # fmt: skip

        def broken(run: int) -> Sequence[Output]:
            raise NotFound("no room")

        with pytest.raises(NotFound):
            next(Serving(link, model).events(outputs=broken))


def test_the_example_runs() -> None:
    example = Path(__file__).parents[2] / "examples" / "serve_wearable.py"
    done = subprocess.run([sys.executable, str(example), "--seconds", "40"], capture_output=True,
                          text=True, check=True, timeout=LONG_S)  # fmt: skip
    assert "judged from here on" in done.stdout
    assert "beat V" in done.stdout
    assert "gap: 10 samples never came" in done.stdout
    assert "the wearable was told" in done.stdout.splitlines()[-1]


def test_the_device_is_told_before_whoever_reads_the_events(
    model: SignalModel, record: RecordStream
) -> None:
    """And an engine that fails ends it with what it is, at the sample where it was."""
    device = SimulatedDevice([RecordStream(record.info, record.counts, repeat=True)])
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        events = Serving(link, model).events()
        for told in events:
            if told.as_json()["type"] == "beat":
                break
        for _ in range(int(LONG_S * 20)):  # nobody reads on
            if device.verdicts:
                break
            threading.Event().wait(0.05)
        assert device.verdicts[0]["index"] == told.as_json()["sample"]
        events.close()
        serving = Serving(link, model)

        def fails(*_: Any) -> Any:
            raise EngineFailed("the engine gave up")

        serving.signal.step = fails  # type: ignore[method-assign]
        with pytest.raises(NotServed, match=r"at sample \d+: the engine gave up"):
            list(serving.events())
        serving = Serving(link, model)
        serving.signal.finish = fails  # type: ignore[method-assign]
        with pytest.raises(NotServed, match=r"behind sample \d+: the engine gave up"):
            list(serving.events(lambda: serving.heard_to > 0))
