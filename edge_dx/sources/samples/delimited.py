"""Text with a line per sample: CSV, semicolons or tabs, as exports and experiments write it.

The first line that is no comment names the columns; a single column of numbers needs no name and is
the lead `ECG`. A lead's column says its unit, `II (mV)` or
`II [uV]`. A column `index` has the device's own sample number, a column `time_s` (or `time (s)`)
seconds; without either, lines follow each other. The rate stands in a comment in front
(`# rate_hz: 360`) or is given by the caller. An empty field or `nan` is a missing sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.signal import Samples
from edge_dx.signal.timing import Rate, exact_rate
from edge_dx.sources.samples.source import BLOCK, checked_leads, opened, to_mv

_MAX_LINE = 16_384
_MAX_COMMENTS = 1000
_TIMES = {"time_s", "time (s)", "time [s]"}
_VAGUE_TIMES = {"time", "timestamp", "t", "datetime", "date", "ms", "time_ms", "time (ms)"}
"""Columns that are no lead, and whose numbers could mean anything."""
_NAMELESS = "ECG"
_COLUMN = re.compile(r"^(?P<lead>.*?)\s*[(\[](?P<unit>[^)\]]+)[)\]]$")


class Delimited:
    """A text file of samples.

    Attributes:
        name: the path.
        rate_hz: from the caller or the file.
        leads: names of the columns without their units.
        full_scale_mv: text does not say.
    """

    full_scale_mv: float | None = None

    def __init__(
        self,
        path: str | Path,
        *,
        rate_hz: Rate | None = None,
        unit: str | None = None,
        leads: Sequence[str] | None = None,
    ) -> None:
        """Reads the first line.

        Args:
            path: of the file.
            rate_hz: samples per second; None where the file says it.
            unit: of columns that name none.
            leads: which columns; None for all.

        Raises:
            NotFound: no such file.
            UnreadableInput: no text with a line of names.
            UnsupportedInput: no rate or unit was said, or there is no such lead.
        """
        self.name = str(path)
        self._file, _ = opened(Path(path))
        self._line = 0
        self._held: str | None = None  # a first line that was a sample already
        try:
            comments, names = self._first_lines()
            told = rate_hz if rate_hz is not None else comments.get("rate_hz")
            if told is None:
                raise UnsupportedInput(
                    f"{self.name}: no rate; give rate_hz (--hz), or a first line "
                    "'# rate_hz: 250'", "format"
                )  # fmt: skip
            self.rate_hz = exact_rate(self._rate(told))
            self._columns(names, unit or comments.get("unit"), leads)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def blocks(self) -> Iterator[Samples]:
        """Lines, up to a jump of their index or a block's size; closes the file when it is done.

        Raises:
            UnreadableInput: a line that is no sample; those in front of it were good.
        """
        with self._file:
            yield from self._read()

    def _read(self) -> Iterator[Samples]:
        rows: list[list[float]] = []
        start = expected = 0
        while line := self._next():
            if not line.strip():
                continue
            fields = line.split(self._delimiter)
            if len(fields) != self._width:
                yield from _block(rows, start, self._factors)
                raise self._damaged(f"{len(fields)} fields, not {self._width}")
            try:
                index = self._index(fields, expected)
                row = [_number(fields[place]) for place in self._places]
            except (ValueError, OverflowError) as error:
                yield from _block(rows, start, self._factors)
                raise self._damaged("a field is no number") from error
            if index != expected and rows and index < expected:
                yield from _block(rows, start, self._factors)
                raise self._damaged(f"index {index} comes after {expected - 1}")
            if index != expected or len(rows) >= BLOCK:
                yield from _block(rows, start, self._factors)
                rows = []
            if not rows:
                start = index
            rows.append(row)
            expected = index + 1
        yield from _block(rows, start, self._factors)

    def _index(self, fields: list[str], expected: int) -> int:
        if self._index_at is not None:
            return int(fields[self._index_at])
        if self._time_at is None:
            return expected
        place = float(fields[self._time_at]) * float(self.rate_hz)
        if not 0 <= place < 2**53:
            raise ValueError("no time of a recording")
        # Times are written with a few digits, so they may lie beside their sample.
        if abs(place - expected) < 0.5:
            return expected
        return round(place)

    def _first_lines(self) -> tuple[dict[str, str], str]:
        comments: dict[str, str] = {}
        for _ in range(_MAX_COMMENTS):
            line = self._next()
            if not line:
                break
            if not line.startswith("#"):
                if line.strip():
                    return comments, line
                continue
            key, colon, value = line[1:].partition(":")
            if colon:
                comments[key.strip().lower()] = value.strip()
        raise UnreadableInput(f"{self.name}: has no line that names its columns", "unreadable")

    def _columns(self, line: str, unit: str | None, leads: Sequence[str] | None) -> None:
        self._delimiter = max(",;\t", key=line.count)
        names = [name.strip().strip('"') for name in line.split(self._delimiter)]
        self._width = len(names)
        if all(map(_is_number, names)):
            if len(names) > 1:
                raise UnreadableInput(
                    f"{self.name}: has no line that names its {len(names)} columns; write one in "
                    "front, for example 'index,I (mV),II (mV)'", "unreadable"
                )  # fmt: skip
            self._held, names = line, [_NAMELESS]
        lower = [name.lower() for name in names]
        if vague := [name for name in names if name.lower() in _VAGUE_TIMES]:
            raise UnsupportedInput(
                f"{self.name}: the column {vague[0]!r} is no lead and does not say what it counts; "
                "call it 'time_s' if it is in seconds, 'index' if it counts samples, or leave it "
                "out", "format"
            )  # fmt: skip
        self._index_at = lower.index("index") if "index" in lower else None
        self._time_at = next((n for n, name in enumerate(lower) if name in _TIMES), None)
        found: dict[str, tuple[int, str | None]] = {}
        for place, name in enumerate(names):
            if place in (self._index_at, self._time_at):
                continue
            matched = _COLUMN.match(name)
            lead, said = (matched["lead"], matched["unit"]) if matched else (name, unit)
            if lead in found:
                raise UnsupportedInput(f"{self.name}: two columns are called {lead!r}", "format")
            found[lead] = (place, said)
        for lead in leads or ():
            if lead not in found:
                raise UnsupportedInput(
                    f"{self.name}: has no lead {lead!r}; there are {list(found)[:20]}", "format"
                )
        self.leads = checked_leads(self.name, list(leads or found))
        factors = []
        for lead in self.leads:
            said = found[lead][1]
            if said is None:
                raise UnsupportedInput(
                    f"{self.name}: the column {lead!r} says no unit; write '{lead} (mV)', or give "
                    "unit (--unit)", "format"
                )  # fmt: skip
            factors.append(to_mv(self.name, said))
        self._places = [found[lead][0] for lead in self.leads]
        self._factors = np.array(factors)

    def _rate(self, told: Rate | str) -> Rate:
        try:
            return Fraction(told) if isinstance(told, str) else told
        except (ValueError, ZeroDivisionError) as error:
            raise self._damaged("its rate is no number") from error

    def _next(self) -> str:
        if self._held is not None:
            line, self._held = self._held, None
            return line
        raw = self._file.readline(_MAX_LINE + 1)
        self._line += 1
        if len(raw) > _MAX_LINE:
            raise self._damaged("a line without an end")
        try:
            return raw.decode("utf-8-sig" if self._line == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise self._damaged("no text") from error

    def _damaged(self, what: str) -> UnreadableInput:
        return UnreadableInput(f"{self.name}: line {self._line}: {what}", "unreadable")


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _number(field: str) -> float:
    return float(field) if field.strip() else math.nan


def _block(rows: list[list[float]], start: int, factors: np.ndarray) -> Iterator[Samples]:
    if rows:
        yield Samples(np.array(rows) * factors, start)
