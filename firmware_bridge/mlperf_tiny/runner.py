"""The host that measures: any device that speaks MLPerf Tiny's protocol.

Unlike the reference runner it compares what the device holds with what was sent, takes only the
line `m-ready` itself for the end of an answer, skips what is no answer, and says why it gave up.
"""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from firmware_bridge.descriptor import Port
from firmware_bridge.errors import BadMessage, DeviceRefused, NoAnswer
from firmware_bridge.frames import LineFramer

PER_COMMAND = 31
"""Bytes in one `db` command: more do not fit the device's 80 characters."""
LOOPS = 5
MIN_SECONDS, MIN_INFERENCES = 10.0, 10
_TRIES = 3
_LAP = re.compile(r"m-lap-us-(\d+)")
_RESULTS = re.compile(r"m-results-\[([^\]]*)\]")
_NAME = r"m-name-dut-\[([^\]]*)\]"
_WRAP_US = 2**32
_QUIET_S = 0.1


@dataclass(frozen=True)
class Measured:
    """One `infer` command.

    Attributes:
        inferences: that were timed.
        seconds: by the device's own clock.
        results: the last one's outputs, as the device prints them.
    """

    inferences: int
    seconds: float
    results: tuple[float, ...]

    @property
    def per_second(self) -> float:
        """Inferences."""
        return self.inferences / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Score:
    """A performance run.

    Attributes:
        per_second: median over the inputs.
        measured: each input's.
        faults: why it is no valid result by the benchmark's rules; empty where it is one.
    """

    per_second: float
    measured: tuple[Measured, ...]
    faults: tuple[str, ...]


class Runner:
    """Measures a device.

    Args:
        port: that it is on.
        timeout_s: for an answer, beyond the time that inferences take.
    """

    def __init__(self, port: Port, timeout_s: float = 2.0) -> None:
        self._port, self._timeout_s = port, timeout_s
        self._lines = LineFramer(4096)
        self._waiting: list[str] = []

    def command(self, text: str, timeout_s: float | None = None) -> list[str]:
        """The lines that answer a command, without the last.

        Raises:
            NoAnswer: `m-ready` did not come in time.
            DeviceRefused: a line says `e-[…]`.
        """
        self._drain()
        self._port.write(f"{text}%".encode("ascii"))
        wait_s = self._timeout_s if timeout_s is None else timeout_s
        until, found = time.monotonic() + wait_s, list[str]()
        while True:
            line = self._line(until)
            if line is None:
                raise NoAnswer(
                    f"no m-ready after {text[:20]!r} within {wait_s:g} s; is it an MLPerf Tiny "
                    "device, and in performance mode?"
                )
            if line == "m-ready":
                break
            found.append(line)
        refused = next((line for line in found if line.startswith("e-[")), None)
        if refused is not None:
            raise DeviceRefused(f"the device refused {text[:20]!r}: {refused[3:-1]}", 0, 0)
        return found

    def name(self) -> str:
        """What it calls itself.

        Raises:
            BadMessage: it does not say it.
        """
        for _ in range(_TRIES - 1):
            try:
                return self._one(_NAME, self.command("name"))
            except BadMessage:  # a board that was reset by opening its port says m-ready itself
                while self._port.read(_QUIET_S):
                    pass
        return self._one(_NAME, self.command("name"))

    def model(self) -> str:
        """Which of the benchmark's models it runs."""
        return self._one(r"m-model-\[([^\]]*)\]", self.command("profile"))

    def load(self, data: bytes) -> None:
        """Loads an input, and reads it back.

        Raises:
            BadMessage: after three tries the device still holds something else.
            DeviceRefused: it takes no input of this size.
        """
        for _ in range(_TRIES):
            try:
                told = self.command(f"db load {len(data)}")
                if full := next((line for line in told if "exceeds maximum" in line), None):
                    raise DeviceRefused(f"the device takes no {len(data)} bytes: {full}", 0, 0)
                for at in range(0, len(data), PER_COMMAND):
                    told = self.command(f"db {data[at : at + PER_COMMAND].hex()}")
                if "m-load-done" in told and self.loaded() == data:
                    return
            except DeviceRefused as error:
                held = str(error)
                if "digit" not in held:  # a lost digit is worth another try; no room is not
                    raise
        raise BadMessage(
            f"after {_TRIES} tries the device holds other than the {len(data)} bytes that were "
            "sent; lower the speed, or look at the cable"
        )

    def loaded(self) -> bytes:
        """What the device holds."""
        found = bytearray()
        for line in self.command("db print"):
            if line.startswith("m-buffer-"):
                try:
                    found += bytes.fromhex(line.removeprefix("m-buffer-").replace("-", ""))
                except ValueError:
                    return b""
        return bytes(found)

    def infer(self, inferences: int, warmups: int = 0, timeout_s: float = 60.0) -> Measured:
        """Runs inferences on what was loaded.

        Raises:
            BadMessage: the answer lacks its times or results.
        """
        lines = self.command(f"infer {inferences} {warmups}", timeout_s)
        laps = [int(told[1]) for line in lines if (told := _LAP.fullmatch(line))]
        results = [told[1] for line in lines if (told := _RESULTS.fullmatch(line))]
        try:
            values = tuple(float(value) for value in results[-1].split(","))
        except (IndexError, ValueError):
            values = ()
        if len(laps) != 2 or not values:
            raise BadMessage("the answer to infer lacks its times or results; try again")
        return Measured(inferences, (laps[1] - laps[0]) % _WRAP_US * 1e-6, values)

    def performance(self, inputs: Sequence[bytes], inferences: int, warmups: int = 1) -> Score:
        """The median over inputs, as the benchmark scores it.

        Args:
            inputs: five of them, for a valid result.
            inferences: for each; as many as take ten seconds, and at least ten.
            warmups: before each.
        """
        found = []
        for data in inputs:
            self.load(data)
            found.append(self.infer(inferences, warmups, timeout_s=600.0))
        faults = []
        if len(inputs) != LOOPS:
            faults.append(f"{len(inputs)} inputs, not {LOOPS}")
        short = [m for m in found if m.seconds < MIN_SECONDS and m.inferences < MIN_INFERENCES]
        if short:
            faults.append(
                f"{len(short)} took less than {MIN_SECONDS:g} s with less than {MIN_INFERENCES} "
                "inferences"
            )
        median = statistics.median(m.per_second for m in found) if found else 0.0
        return Score(median, tuple(found), tuple(faults))

    def _one(self, pattern: str, lines: list[str]) -> str:
        for line in lines:
            told = re.fullmatch(pattern, line)
            if told:
                return told[1]
        raise BadMessage(f"the device answers {lines[:3]}, not as MLPerf Tiny asks")

    def _drain(self) -> None:
        """What is still on its way belongs to an earlier command."""
        while data := self._port.read(0.0):
            self._lines.feed(data)
        self._waiting.clear()
        self._lines.reset()

    def _line(self, until: float) -> str | None:
        while not self._waiting:
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._waiting += [
                frame.payload.decode("ascii", "replace").strip("\0 ")
                for frame in self._lines.feed(self._port.read(left))
            ]
        return self._waiting.pop(0)
