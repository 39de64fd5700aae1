"""EDF and EDF+ (Kemp 1992, Kemp and Olivan 2003): the ECG of a polysomnograph or Holter.

A header of 256 bytes and as many for each signal, all fixed-width ASCII; then data records of equal
duration, each with the 16-bit samples of one signal after the other. EDF+D has records that do not
follow each other: their onsets stand in the annotation signal and become jumps of the index.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.signal import Samples
from edge_dx.signal.timing import exact_rate
from edge_dx.sources.samples.source import MV_PER, checked_leads, opened, to_mv

_MAX_SIGNALS = 512
_MAX_RECORD_BYTES = 16 * 2**20
"""The standard says 61,440; recorders in use write more, none a hundred times that."""
_ANNOTATIONS = "EDF Annotations"
_WIDTHS = (16, 80, 8, 8, 8, 8, 8, 80, 8, 32)


@dataclass(frozen=True)
class _Signal:
    """One column of the header."""

    label: str
    unit: str
    physical: tuple[float, float]
    digital: tuple[int, int]
    per_record: int
    offset: int  # in samples from the record's start


class Edf:
    """An EDF file's ECG leads.

    Attributes:
        name: the path.
        rate_hz: of the chosen leads, which share one.
        leads: labels without the word ECG in front.
        full_scale_mv: where all leads have the same range.
    """

    def __init__(self, path: str | Path, leads: Sequence[str] | None = None) -> None:
        """Reads the header.

        Args:
            path: of the file.
            leads: which ones, by label with or without `ECG `; None: all labelled so, or where
                there are none, all signals with a unit of voltage.

        Raises:
            NotFound: no such file.
            UnreadableInput: not EDF, or its header contradicts itself or the file.
            UnsupportedInput: BDF, no such lead, or leads of several rates.
        """
        self.name = str(path)
        self._file, self._size = opened(Path(path))
        try:
            signals = self._header()
            self._record_bytes = 2 * sum(signal.per_record for signal in signals)
            if not 0 < self._record_bytes <= _MAX_RECORD_BYTES:
                raise self._damaged(f"data records of {self._record_bytes} bytes")
            self._chosen = self._choose(signals, leads)
            self._annotations = next((s for s in signals if s.label == _ANNOTATIONS), None)
            if self._parted and self._annotations is None:
                raise self._damaged("EDF+D without the annotations that say when")
            self.rate_hz = exact_rate(self._chosen[0].per_record / self._duration)
            self.leads = checked_leads(self.name, [_lead(s.label) for s in self._chosen])
            scales = [to_mv(self.name, signal.unit) for signal in self._chosen]
            ranges = [
                max(abs(p) for p in s.physical) * k
                for s, k in zip(self._chosen, scales, strict=True)
            ]
            self.full_scale_mv = ranges[0] if len(set(ranges)) == 1 and ranges[0] > 0 else None
        except BaseException:
            self.close()
            raise
        self._gain = np.empty(len(scales))
        self._zero = np.empty(len(scales))
        for place, (signal, scale) in enumerate(zip(self._chosen, scales, strict=True)):
            (low, high), (digital_low, digital_high) = signal.physical, signal.digital
            gain = (high - low) / (digital_high - digital_low)
            self._gain[place] = gain * scale
            self._zero[place] = (low - digital_low * gain) * scale

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def blocks(self) -> Iterator[Samples]:
        """One data record after the other; closes the file when it is done.

        Raises:
            UnreadableInput: the file ends before its records do; those before were good.
        """
        with self._file:
            yield from self._read()

    def _read(self) -> Iterator[Samples]:
        per_record, number, first = self._chosen[0].per_record, 0, Fraction(0)
        expected, at = 0, self._start
        while self._records is None or number < self._records:
            self._file.seek(at)
            raw = self._file.read(self._record_bytes)
            if len(raw) < self._record_bytes:
                if self._records is None and not raw:
                    return
                told = "an unknown number" if self._records is None else str(self._records)
                raise self._damaged(f"cut short in record {number + 1} of {told}")
            digital = np.frombuffer(raw, "<i2")
            columns = [digital[s.offset : s.offset + per_record] for s in self._chosen]
            if self._parted:
                onset = self._onset(raw, number)
                first = onset if number == 0 else first
                index = round((onset - first) * self.rate_hz)
                if index < expected:
                    raise self._damaged(f"record {number + 1} begins before the one in front ends")
                expected = index
            mv = np.stack(columns, axis=1) * self._gain + self._zero
            yield Samples(mv, expected)
            expected, number, at = expected + per_record, number + 1, at + self._record_bytes

    def _onset(self, raw: bytes, number: int) -> Fraction:
        """When the record begins: the first annotation says so, `+12.5␔␔`."""
        signal = self._annotations
        assert signal is not None
        told = raw[2 * signal.offset : 2 * (signal.offset + signal.per_record)]
        try:
            onset = Fraction(told.split(b"\x14", 1)[0].decode("ascii"))
        except (ValueError, ZeroDivisionError) as error:
            raise self._damaged(f"record {number + 1} does not say when it begins") from error
        if abs(onset) > 10**9:
            raise self._damaged(f"record {number + 1} begins after {float(onset):.0f} s")
        return onset

    def _header(self) -> list[_Signal]:
        fixed = self._file.read(256)
        if fixed[:1] == b"\xff" and fixed[1:8] == b"BIOSEMI":
            raise UnsupportedInput(f"{self.name}: BDF (24 bits) is not read; save as EDF", "format")
        if len(fixed) < 256 or fixed[:8] != b"0       ":
            raise UnreadableInput(f"{self.name}: not an EDF file", "unreadable")
        kind = fixed[192:236].strip()
        self._parted = kind.startswith(b"EDF+D")
        self._start = self._integer(fixed[184:192], "size of the header")
        records = self._integer(fixed[236:244], "number of records")
        self._records = None if records == -1 else records
        try:
            self._duration = Fraction(fixed[244:252].decode("ascii").strip())
        except (ValueError, ZeroDivisionError) as error:
            raise self._damaged("the duration of a record is no number") from error
        count = self._integer(fixed[252:256], "number of signals")
        if not 1 <= count <= _MAX_SIGNALS or self._start != 256 * (count + 1):
            raise self._damaged(f"{count} signals in a header of {self._start} bytes")
        if not 0 < self._duration <= 86_400 or (self._records is not None and self._records < 1):
            raise self._damaged("no data records of some duration")
        columns = self._file.read(256 * count)
        if len(columns) < 256 * count:
            raise self._damaged("cut short in the header")
        fields, at = [], 0
        for width in _WIDTHS:
            fields.append([columns[at + n * width : at + (n + 1) * width] for n in range(count)])
            at += width * count
        signals, offset = [], 0
        for n in range(count):
            label = fields[0][n].decode("latin-1").strip()
            per_record = self._integer(fields[8][n], f"samples per record of {label!r}")
            if per_record < 1:
                raise self._damaged(f"{label!r} has {per_record} samples per record")
            physical = self._number(fields[3][n], label), self._number(fields[4][n], label)
            digital = (
                self._integer(fields[5][n], f"digital minimum of {label!r}"),
                self._integer(fields[6][n], f"digital maximum of {label!r}"),
            )
            unit = fields[2][n].decode("latin-1").strip()
            signals.append(_Signal(label, unit, physical, digital, per_record, offset))
            offset += per_record
        return signals

    def _choose(self, signals: list[_Signal], leads: Sequence[str] | None) -> list[_Signal]:
        voltages = [s for s in signals if s.unit.lower() in MV_PER and s.label != _ANNOTATIONS]
        labelled = [s for s in voltages if s.label.upper().startswith(("ECG", "EKG"))]
        if leads is None:
            chosen = labelled or voltages
        else:
            named = {name: s for s in reversed(voltages) for name in (s.label, _lead(s.label))}
            missing = [lead for lead in leads if lead not in named]
            if missing:
                raise UnsupportedInput(
                    f"{self.name}: has no lead {missing[0]!r}; there are "
                    f"{', '.join(s.label for s in voltages)[:300] or 'none'}", "format"
                )  # fmt: skip
            chosen = [named[lead] for lead in leads]
        if not chosen:
            raise UnsupportedInput(f"{self.name}: no signal with a unit of voltage", "format")
        if len({s.per_record for s in chosen}) > 1:
            told = ", ".join(f"{s.label} {s.per_record / self._duration}" for s in chosen)
            raise UnsupportedInput(
                f"{self.name}: leads of several rates ({told[:300]}); choose those of one",
                "format",
            )
        for s in chosen:
            (low, high), (digital_low, digital_high) = s.physical, s.digital
            if low == high or not -32768 <= digital_low < digital_high <= 32767:
                raise self._damaged(f"{s.label!r} has an empty range")
        return chosen

    def _integer(self, raw: bytes, what: str) -> int:
        try:
            return int(raw.decode("ascii").strip())
        except ValueError as error:
            raise self._damaged(f"the {what} is no number") from error

    def _number(self, raw: bytes, label: str) -> float:
        try:
            found = float(raw.decode("ascii").strip())
        except ValueError as error:
            raise self._damaged(f"the physical range of {label!r} is no number") from error
        if not np.isfinite(found):
            raise self._damaged(f"the physical range of {label!r} is no number")
        return found

    def _damaged(self, what: str) -> UnreadableInput:
        return UnreadableInput(f"{self.name}: damaged EDF ({what}); copy it again", "unreadable")


def _lead(label: str) -> str:
    """`ECG II` is lead II."""
    word, _, rest = label.partition(" ")
    return rest.strip() if word.upper() in ("ECG", "EKG") and rest.strip() else label
