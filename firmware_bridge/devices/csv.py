"""Numbers in lines of text, as hobby boards print them: `512,498` or `17;0.25`.

No checksum: a lost digit makes another number. Where a column counts samples, losses are counted by
it; else a line that makes no sense is a gap of unknown length.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np

from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.devices.foreign import Double, Foreign
from firmware_bridge.frames import LineFramer
from firmware_bridge.messages import Format
from firmware_bridge.receiver import Item

_LARGEST = 2**31 - 1


class Csv(Foreign):
    """The dialect.

    Args:
        rate_hz: lines per second.
        leads: names of the columns with samples, in their order.
        unit: of the numbers as they are printed.
        step: the smallest difference that counts, in that unit.
        index: whether a column in front of the others counts the samples.
        name: of the stream.
    """

    def __init__(
        self,
        rate_hz: float,
        leads: tuple[str, ...] = ("ecg",),
        unit: str = "count",
        step: float = 0.001,
        index: bool = False,
        name: str = "ecg",
    ) -> None:
        rate = Fraction(rate_hz).limit_denominator(1000)
        if not 0 < rate <= 100_000 or not step > 0 or not leads:
            raise ValueError("a positive rate and step and at least one lead are needed")
        info = StreamInfo(
            id=0, name=name, rate=(rate.numerator, rate.denominator), leads=tuple(leads), unit=unit,
            scale=step, format=Format.I32, bits=32, per_message=max(1, int(rate) // 25),
        )  # fmt: skip
        self._lines = LineFramer(256)
        super().__init__("numbers in lines", (info,), self._lines)
        self._index = index
        self._number: int | None = None
        self._first = True

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete: one block for all lines with nothing missing between."""
        account, rows = self._accounts[0], list[list[int]]()
        for line in self._lines.lines(data):
            if line == b"":
                continue
            told = None if line is None else self._row(line)
            if told is None:
                if rows:
                    yield account.block(np.array(rows, np.int32), arrived_ns)
                    rows = []
                # The first line after opening is often cut off.
                if not self._first:
                    self.unreadable += 1
                    if not self._index:
                        account.missing(None)
                self._first = False
                continue
            self._first = False
            number, row = told
            if number is not None:
                missing = 0 if self._number is None else number - self._number - 1
                if missing:
                    if rows:
                        yield account.block(np.array(rows, np.int32), arrived_ns)
                        rows = []
                    account.missing(None if missing < 0 else missing, restart=missing < 0)
                self._number = number
            rows.append(row)
        if rows:
            yield account.block(np.array(rows, np.int32), arrived_ns)

    def _row(self, line: bytes) -> tuple[int | None, list[int]] | None:
        fields = line.replace(b";", b",").replace(b"\t", b",").split(b",")
        info = self._infos[0]
        if len(fields) != len(info.leads) + self._index:
            return None
        try:
            number = int(fields[0]) if self._index else None
            values = [float(field) / info.scale for field in fields[self._index :]]
        except ValueError:
            return None
        if not all(math.isfinite(v) and abs(v) <= _LARGEST for v in values):
            return None
        if number is not None and not 0 <= number < 2**63:
            return None
        return number, [round(value) for value in values]

    def reset(self) -> None:
        """Forgets what has begun."""
        super().reset()
        self._first = True


class CsvDouble(Double):
    """A board that prints from its start on.

    Args:
        samples: (n, leads) numbers.
        rate_hz: lines per second.
        limit: lines in all.
        index: whether it counts them.
    """

    def __init__(
        self, samples: Any, rate_hz: float = 250.0, limit: int | None = None, index: bool = False
    ) -> None:
        super().__init__(samples, rate_hz, limit)
        self._index = index
        self.begin()

    def packet(self, number: int, row: Any) -> bytes:
        """A line."""
        fields = [str(number)] * self._index + [f"{value:g}" for value in row]
        return ",".join(fields).encode() + b"\r\n"
