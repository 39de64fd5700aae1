"""The device under test, without I/O: command bytes in, lines out, as the reference firmware.

    name% profile% timestamp% help% db load N% db HH…% db print% infer N W% results%

Lines end in CR LF, and each command's answer in `m-ready`. A command longer than 80 bytes is cut
off, as there. W is 10 where it is not said, as in the reference's code (its help text says 0).

The official runner gives up where no line comes for five seconds, so `answers` gives each piece of
an answer away before the device is busy again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

MAX_INPUT = 96 * 96 * 3
MAX_COMMAND = 80
FIRMWARE = "ULPMark for tinyML Firmware V0.0.1"
MAX_INFERENCES = 10_000_000
_PER_LINE = 8


class DutModel(Protocol):
    """What is measured.

    Attributes:
        name: of the benchmark's model, `kws01`, `ic01`, `ad01`, `vww01`, or one's own.
    """

    name: str

    def load(self, data: bytes) -> None:
        """Takes the input tensor's bytes.

        Raises:
            ValueError: they are not as many as the model takes.
        """

    def infer(self) -> None:
        """One inference on what was loaded.

        Raises:
            ValueError: it failed.
        """

    def results(self) -> Sequence[float]:
        """The last inference's outputs.

        Raises:
            ValueError: there was none, or it gave nothing that can be right.
        """


class Dut:
    """Answers as a device does.

    Args:
        model: what is measured.
        vendor: what `name%` says.
        clock_us: microseconds, never going back.
        max_input: bytes that it takes; the reference firmware's, where that is not more.
    """

    def __init__(
        self,
        model: DutModel,
        vendor: str = "edge-dx",
        clock_us: Callable[[], int] = lambda: time.monotonic_ns() // 1000,
        max_input: int = 0,
    ) -> None:
        self._model, self._vendor, self._clock_us = model, vendor, clock_us
        self._max_input = max(max_input, MAX_INPUT)
        self._command = bytearray()
        self._buffer = bytearray()
        self._size = 0
        self._out: list[str] = []

    def boot(self) -> bytes:
        """What it says when it starts."""
        self._say("m-timestamp-mode-performance", self._lap(), "m-init-done", "m-ready")
        return self._taken()

    def receive(self, data: bytes) -> bytes:
        """The answers to the commands that these bytes complete."""
        return b"".join(self.answers(data))

    def answers(self, data: bytes) -> Iterator[bytes]:
        """The same piece by piece, each before what takes long; to be taken to the end."""
        for byte in data:
            if byte == ord("%"):
                command = self._command.decode("ascii", "replace")
                self._command.clear()
                yield from self._obey(command)
            elif len(self._command) < MAX_COMMAND:
                self._command.append(byte)

    def _taken(self) -> bytes:
        told = "".join(self._out).encode("ascii", "replace")
        self._out.clear()
        return told

    def _say(self, *lines: str) -> None:
        self._out += [f"{line}\r\n" for line in lines]

    def _lap(self) -> str:
        return f"m-lap-us-{self._clock_us()}"

    def _obey(self, command: str) -> Iterator[bytes]:
        words = command.split()
        match words:
            case ["name", *_]:
                self._say(f"m-name-dut-[{self._vendor}]")
            case ["timestamp", *_]:
                self._say(self._lap())
            case ["profile", *_]:
                self._say(f"m-profile-[{FIRMWARE}]", f"m-model-[{self._model.name}]")
            case ["help", *_]:
                self._say(FIRMWARE, "", "help, name, timestamp, profile",
                          "db load N, db HH[HH]*, db print", "infer N [W=10], results")  # fmt: skip
            case ["db", *rest]:
                self._db(rest)
            case ["infer", *rest]:
                try:
                    yield from self._infer(rest)
                except ValueError as error:
                    self._refuse(error)
            case ["results", *_]:
                try:
                    self._results()
                except ValueError as error:
                    self._refuse(error)
            case _:
                self._say(f"e-[Unknown command: {words[0] if words else ''}]")
        self._say("m-ready")
        yield self._taken()

    def _db(self, words: list[str]) -> None:
        match words:
            case []:
                self._say("e-[Command 'db' requires a subcommand]")
            case ["load"]:
                self._say("e-[Command 'db load' requires the # of bytes]")
            case ["load", number, *_]:
                self._load(_number(number))
            case ["print", *_]:
                self._print()
            case [digits, *_]:
                self._take(digits)

    def _load(self, size: int) -> None:
        self._buffer.clear()
        self._size = 0
        if size <= 0:
            self._say("e-[Command 'db load' must be >0 bytes]")
        elif size > self._max_input:
            # The reference says it in a line of its own kind, and so do we.
            self._out.append(f"Supplied buffer size {size} exceeds maximum of {self._max_input}\n")
        else:
            self._size = size
            self._say(f"m-[Expecting {size} bytes]")

    def _take(self, digits: str) -> None:
        if len(digits) % 2:
            self._say("e-[Insufficent number of hex digits]")  # so spelt there
            return
        for at in range(0, len(digits), 2):
            if len(self._buffer) >= self._size:
                return  # nothing was announced, or all is there
            try:
                self._buffer += bytes.fromhex(digits[at : at + 2])
            except ValueError:
                self._say(f"e-[Invalid hex digit '{digits[at : at + 2]}']")
                return
            if len(self._buffer) == self._size:
                self._say("m-load-done")

    def _print(self) -> None:
        for at in range(0, len(self._buffer), _PER_LINE):
            row = self._buffer[at : at + _PER_LINE]
            self._say("m-buffer-" + "-".join(f"{byte:02x}" for byte in row))

    def _infer(self, words: list[str]) -> Iterator[bytes]:
        runs = _number(words[0]) if words else 1
        warmups = _number(words[1]) if len(words) > 1 else 10
        if not 0 < runs <= MAX_INFERENCES:
            self._say("e-[Inference iterations must be >0]")
            return
        if not 0 <= warmups <= MAX_INFERENCES:
            self._say("e-[Inference warmup must be >=0]")
            return
        self._model.load(bytes(self._buffer))
        self._say(f"m-warmup-start-{warmups}")
        yield self._taken()
        for _ in range(warmups):
            self._model.infer()
        self._say("m-warmup-done", f"m-infer-start-{runs}")
        yield self._taken()
        # Nothing is given away between the two laps: the line's time is none of the model's.
        began = self._lap()
        for _ in range(runs):
            self._model.infer()
        self._say(began, self._lap(), "m-infer-done")
        self._results()

    def _results(self) -> None:
        told = ",".join(f"{value:.3f}" for value in self._model.results())
        self._say(f"m-results-[{told}]")

    def _refuse(self, why: ValueError) -> None:
        self._say(f"e-[{' '.join(str(why).split())}]")  # one line, whatever it says


def _number(word: str) -> int:
    """As C's atoi: digits at the front, else 0."""
    sign = -1 if word.startswith("-") else 1
    digits = ""
    for letter in word.lstrip("+-")[:9]:
        if not letter.isascii() or not letter.isdigit():
            break
        digits += letter
    return sign * int(digits or "0")
