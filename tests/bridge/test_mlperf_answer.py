"""A bundle measured as an MLPerf Tiny device: by our runner, and as the official one does it."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from firmware_bridge import Simulator
from firmware_bridge.__main__ import main
from firmware_bridge.errors import DeviceRefused, NotServed
from firmware_bridge.mlperf_tiny import Dut, Runner
from firmware_bridge.mlperf_tiny.serve import Answering, OwnModel, answering, own_model
from firmware_bridge.port import open_port

LONG_S = 60.0
Values = np.ndarray[Any, np.dtype[Any]]


@pytest.fixture(scope="module")
def chest() -> Iterator[edge_dx.Model]:
    with edge_dx.load("chest-tb", "onnx-fp32", "onnx") as found:
        yield found


@pytest.fixture(scope="module")
def pictures() -> list[Values]:
    """Prepared pictures: (1, 1, 256, 256) uint8, smooth and dark at the border like a film."""
    found = []
    for seed in range(5):
        coarse = np.random.default_rng(seed).integers(40, 255, (8, 8))
        grey = np.kron(coarse, np.ones((32, 32))).astype(np.uint8)
        found.append(grey[None, None])
    return found


def scores(model: edge_dx.Model, pictures: Sequence[Values]) -> list[float]:
    """What the engine gives, by hand: the logistic function of its one output."""
    logits = [float(model.backend.run({"image": p})["logits"][0, 0]) for p in pictures]
    return [1 / (1 + np.exp(-logit)) for logit in logits]


def test_a_bundle_is_measured_by_our_runner(chest: edge_dx.Model, pictures: list[Values]) -> None:
    with Simulator(answering(OwnModel(chest))) as device:
        port = open_port(device.tcp())
        try:
            runner = Runner(port)
            assert runner.name() == "edge-dx"
            assert runner.model() == "chest-tb"
            score = runner.performance([p.tobytes() for p in pictures], 10)
        finally:
            port.close()
    assert score.faults == ()
    assert score.per_second > 0
    found = [one.results[0] for one in score.measured]
    assert found == pytest.approx(scores(chest, pictures), abs=6e-4)  # three decimals go over it
    assert len(set(found)) == len(found)


class Official:
    """Goes about it as the benchmark's own runner: it trusts, and waits five seconds for a line."""

    def __init__(self, path: str) -> None:
        serial = pytest.importorskip("serial", reason="pyserial is not installed")
        self._port = serial.Serial(path, 115200, timeout=0.1)

    def close(self) -> None:
        self._port.close()

    def _line(self) -> str:
        text, until = "", time.monotonic() + 5.0
        while time.monotonic() < until:
            char = self._port.read(1).decode()
            if char == "\n":
                return text
            if char not in ("", "\r", "\0"):
                text += char
        raise AssertionError("no line for five seconds")

    def command(self, text: str) -> list[str]:
        self._port.write(text.encode())
        self._port.write(b"%")
        found = [self._line()]
        while "m-ready" not in found[-1]:
            found.append(self._line())
        return found

    def measure(self, data: bytes, runs: int, warmups: int) -> tuple[float, list[float]]:
        """Inferences per second, and the results."""
        self.command(f"db load {len(data)}")
        for at in range(0, len(data), 31):
            told = self.command(f"db {data[at : at + 31].hex()}")
        assert "m-load-done" in told
        told = self.command(f"infer {runs} {warmups}")
        laps = [int(line.removeprefix("m-lap-us-")) for line in told if "m-lap-us" in line]
        (results,) = (found for line in told if (found := re.match(r"m-results-\[(.*)\]$", line)))
        return runs / (laps[1] - laps[0]) * 1e6, [float(v) for v in results[1].split(",")]


def test_a_bundle_is_measured_as_the_official_runner_does(
    chest: edge_dx.Model, pictures: list[Values]
) -> None:
    with Simulator(answering(OwnModel(chest, "vww01"), vendor="a cart")) as device:
        host = Official(device.pty())
        try:
            assert host.command("name") == ["m-name-dut-[a cart]", "m-ready"]
            profile = host.command("profile")
            assert profile[1:] == ["m-model-[vww01]", "m-ready"]
            assert host.command("timestamp")[0].startswith("m-lap-us-")
            rate, found = host.measure(pictures[0].tobytes(), 10, 2)
        finally:
            host.close()
    assert rate > 0
    assert found == pytest.approx(scores(chest, pictures[:1]), abs=6e-4)


def test_what_it_cannot_do_is_answered_and_no_stale_result_stays(
    chest: edge_dx.Model, pictures: list[Values]
) -> None:
    own = OwnModel(chest)
    dut = Dut(own, max_input=own.max_input)
    assert dut.receive(b"results%") == b"e-[nothing was inferred]\r\nm-ready\r\n"
    own.load(pictures[0].tobytes())
    own.infer()
    assert own.results()
    told = dut.receive(b"db load 3%db 010203%infer 1 0%results%").decode().split("\r\n")
    assert "e-[chest-tb takes 65536 bytes, not 3]" in told
    assert told[-3:] == ["e-[nothing was inferred]", "m-ready", ""]
    assert not [line for line in told if line.startswith("m-results")]


class Breaks:
    """Fails where it is told to."""

    name = "breaks"

    def __init__(self, where: str) -> None:
        self.where, self.seen = where, list[str]()

    def load(self, data: bytes) -> None:
        del data

    def infer(self) -> None:
        self.seen.append("infer")
        if self.where == "infer":
            raise ValueError("the engine\r\nm-ready\nfailed")

    def results(self) -> Sequence[float]:
        if self.where == "results":
            raise ValueError("output logits is not finite")
        return [0.5]


@pytest.mark.parametrize("where", ["infer", "results"])
def test_an_inference_that_fails_is_refused_in_one_line(where: str) -> None:
    told = Dut(Breaks(where), clock_us=lambda: 0).receive(b"db load 1%db 00%infer 1 0%")
    found = told.decode().split("\r\n")
    assert found[-3].startswith("e-[")
    assert found[-2:] == ["m-ready", ""]
    assert sum("m-ready" in line for line in found if not line.startswith("e-[")) == 3
    assert b"m-results" not in told


def test_lines_leave_before_the_device_is_busy() -> None:
    """The official runner waits five seconds for a line, not for the whole answer."""
    model = Breaks("nowhere")
    device = Answering(Dut(model, clock_us=lambda: 0))
    assert device.next_due_us is None
    device.receive(b"infer 3 2%name%")
    assert device.next_due_us == 0
    first = device.take()
    assert first == b"m-warmup-start-2\r\n"
    assert model.seen == []
    second = device.take()
    assert second.endswith(b"m-infer-start-3\r\n")
    assert len(model.seen) == 2
    third = device.take()
    assert third.startswith(b"m-lap-us-0\r\nm-lap-us-0\r\n")
    assert len(model.seen) == 5
    assert device.take() == b"m-name-dut-[edge-dx]\r\nm-ready\r\n"
    assert device.take() == b""
    assert device.next_due_us is None


def test_what_cannot_be_measured_is_refused(chest: edge_dx.Model) -> None:
    with pytest.raises(NotServed, match="edge-dx-bridge serve ecg-beats"), own_model("ecg-beats"):
        pass
    with pytest.raises(NotServed, match="no-such"), own_model("no-such"):
        pass
    for name in ("a]b", "50%", "a\nb", "naïve"):
        with pytest.raises(NotServed, match="printable ASCII"):
            OwnModel(chest, name)


def test_more_than_the_device_has_room_for_is_refused_at_once(chest: edge_dx.Model) -> None:
    with Simulator(answering(OwnModel(chest))) as device:
        port = open_port(device.tcp())
        try:
            with pytest.raises(DeviceRefused, match="exceeds maximum of 65536"):
                Runner(port).load(bytes(65537))
        finally:
            port.close()


def test_the_command_answers_and_the_command_measures(
    tmp_path: Path, pictures: list[Values], capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "x.npy", np.concatenate(pictures))
    device = subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge", "mlperf", "--answer", "chest-tb",
         "--model-name", "tb01", "--variant", "onnx-fp32", "--seconds", str(LONG_S)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert device.stdout is not None
        told = device.stdout.readline()
        found = re.match(r"tb01 answers on (\S+); inputs of 65536 bytes", told)
        assert found, told
        assert main(["mlperf", found[1], "--input", str(tmp_path / "x.npy")]) == 0
    finally:
        device.kill()
        device.communicate()
    out = capsys.readouterr().out
    assert "edge-dx: tb01" in out
    assert out.count("inferences/s") == 6


def test_the_command_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["mlperf", "socket://127.0.0.1:1"]) == 1
    assert "--input to measure, or --answer BUNDLE" in capsys.readouterr().err
    assert main(["mlperf", "--answer", "ecg-beats"]) == 1
    assert "judges a signal" in capsys.readouterr().err
