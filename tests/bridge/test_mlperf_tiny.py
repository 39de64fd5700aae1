"""MLPerf Tiny in both roles: each against the other, over good cables and bad ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.descriptor import Port
from firmware_bridge.errors import BadMessage, DeviceRefused, LinkLost, NoAnswer
from firmware_bridge.faults import BadPort, Lane, Plan
from firmware_bridge.memory import pair
from firmware_bridge.mlperf_tiny import MAX_INPUT, Dut, Runner

SIZE = 100


class Sums:
    """Sums and mean of the input: an inference that a test can check."""

    name = "ecg01"

    def __init__(self) -> None:
        self.ran = 0
        self._data = b""

    def load(self, data: bytes) -> None:
        if len(data) != SIZE:
            raise ValueError(f"the model takes {SIZE} bytes")
        self._data = data

    def infer(self) -> None:
        self.ran += 1

    def results(self) -> Sequence[float]:
        return [sum(self._data), sum(self._data) / max(len(self._data), 1)]


def ticking() -> Callable[[], int]:
    """A clock of 1 ms per look, that wraps within the test."""
    now = [2**32 - 1500]

    def clock() -> int:
        now[0] += 1000
        return now[0] % 2**32

    return clock


@pytest.fixture
def cable() -> Iterator[Callable[[Plan | None], tuple[Runner, Sums]]]:
    ports: list[Port] = []

    def make(plan: Plan | None = None) -> tuple[Runner, Sums]:
        host, device = pair()
        ports.append(host)
        model = Sums()
        dut = Dut(model, clock_us=ticking())

        def live() -> None:
            try:
                device.write(dut.boot())
                while True:
                    device.write(dut.receive(device.read(1.0)))
            except LinkLost:
                pass

        threading.Thread(target=live, daemon=True).start()
        return Runner(host if plan is None else BadPort(host, plan), timeout_s=0.5), model

    yield make
    for port in ports:
        port.close()


def test_it_is_measured(cable: Callable[..., tuple[Runner, Sums]]) -> None:
    runner, model = cable()
    assert runner.name() == "edge-dx"
    assert runner.model() == "ecg01"
    data = bytes(range(SIZE))
    runner.load(data)
    assert runner.loaded() == data
    found = runner.infer(20, 3)
    assert model.ran == 23
    assert found.seconds == pytest.approx(0.001), "also where the device's clock wraps"
    assert found.per_second == pytest.approx(20_000)
    assert found.results == (4950.0, 49.5)


def test_a_performance_run_is_judged_by_the_benchmarks_rules(
    cable: Callable[..., tuple[Runner, Sums]],
) -> None:
    runner, _ = cable()
    inputs = [bytes([n] * SIZE) for n in range(5)]
    score = runner.performance(inputs, 10)
    assert score.faults == ()
    assert score.per_second == pytest.approx(10_000)
    assert [m.results[0] for m in score.measured] == [0, 100, 200, 300, 400]
    assert runner.performance(inputs[:2], 9).faults == (
        "2 inputs, not 5", "2 took less than 10 s with less than 10 inferences"
    )  # fmt: skip


def test_what_was_garbled_is_loaded_again(cable: Callable[..., tuple[Runner, Sums]]) -> None:
    """Bits that flip within digits make other digits, and only the read-back shows it."""
    data = bytes(range(SIZE))
    wrong = right = 0
    for seed in range(12):
        runner, _ = cable(Plan(seed=seed, to_device=Lane(flip=2e-4)))
        try:
            runner.load(data)
        except (BadMessage, NoAnswer, DeviceRefused):
            continue
        right += 1
        wrong += runner.infer(1).results != (4950.0, 49.5)
    assert right >= 6
    assert wrong == 0


def test_the_devices_refusals_are_told(cable: Callable[..., tuple[Runner, Sums]]) -> None:
    runner, _ = cable()
    runner.load(bytes(7))
    with pytest.raises(DeviceRefused, match="the model takes 100 bytes"):
        runner.infer(1)
    with pytest.raises(DeviceRefused, match="Unknown command: dance"):
        runner.command("dance")
    with pytest.raises(DeviceRefused, match=f"exceeds maximum of {MAX_INPUT}"):
        runner.load(bytes(MAX_INPUT + 1))


def test_nobody_there() -> None:
    host, _ = pair()
    with pytest.raises(NoAnswer, match="no m-ready after 'name'"):
        Runner(host, timeout_s=0.05).name()


def talk(dut: Dut, *commands: str) -> list[str]:
    told = dut.receive("".join(f"{command}%" for command in commands).encode())
    return told.decode().split("\r\n")[:-1]


def test_the_answers_are_those_of_the_reference_firmware() -> None:
    dut = Dut(Sums(), vendor="v", clock_us=lambda: 7)
    assert dut.boot() == b"m-timestamp-mode-performance\r\nm-lap-us-7\r\nm-init-done\r\nm-ready\r\n"
    assert talk(dut, "name") == ["m-name-dut-[v]", "m-ready"]
    assert talk(dut, "profile") == [
        "m-profile-[ULPMark for tinyML Firmware V0.0.1]", "m-model-[ecg01]", "m-ready"
    ]  # fmt: skip
    assert talk(dut, "timestamp") == ["m-lap-us-7", "m-ready"]
    assert talk(dut, "db load 10") == ["m-[Expecting 10 bytes]", "m-ready"]
    assert talk(dut, "db 0001020304050607") == ["m-ready"]
    assert talk(dut, "db 08FFaabb") == ["m-load-done", "m-ready"]
    assert talk(dut, "db print") == [
        "m-buffer-00-01-02-03-04-05-06-07", "m-buffer-08-ff", "m-ready"
    ]  # fmt: skip
    assert talk(dut, "db 0") == ["e-[Insufficent number of hex digits]", "m-ready"]
    assert talk(dut, "db load 4", "db 0x")[-2:] == ["e-[Invalid hex digit '0x']", "m-ready"]
    assert talk(dut, "db") == ["e-[Command 'db' requires a subcommand]", "m-ready"]
    assert talk(dut, "infer 0") == ["e-[Inference iterations must be >0]", "m-ready"]
    assert talk(dut, "infer 1 -1") == ["e-[Inference warmup must be >=0]", "m-ready"]
    dut.receive(b"db load 100%" + b"".join(b"db " + b"01" * 25 + b"%" for _ in range(4)))
    assert talk(dut, "infer 2") == [
        "m-warmup-start-10", "m-warmup-done", "m-infer-start-2", "m-lap-us-7", "m-lap-us-7",
        "m-infer-done", "m-results-[100.000,1.000]", "m-ready",
    ]  # fmt: skip
    told = dut.receive(b"db load 27649%")
    assert told == b"Supplied buffer size 27649 exceeds maximum of 27648\nm-ready\r\n"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=120), max_size=10))
def test_random_commands_are_answered_and_nothing_is_kept(pieces: list[bytes]) -> None:
    dut = Dut(Sums(), clock_us=lambda: 0)
    told = b"".join(dut.receive(piece) for piece in pieces)
    assert told.count(b"m-ready") == b"".join(pieces).count(b"%")
    assert len(dut._command) <= 80
