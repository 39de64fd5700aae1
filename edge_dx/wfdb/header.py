"""Header files (`.hea`): which signals a record has, where they lie, and what a sample means.

    100 2 360 650000
    100.dat 212 200(1024)/mV 11 1024 995 -22131 0 MLII

The record line: name, number of signals, samples per second, samples. Each signal line: file,
format, gain in units per mV with the baseline (the sample that means 0 mV) and the unit, bits,
zero of the converter, first sample, checksum, block size, description. From the gain on
everything may be missing, with the defaults of "WFDB Header (5)".
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from edge_dx.errors import UnreadableInput, UnsupportedInput

DEFAULT_GAIN = 200.0
DEFAULT_RATE_HZ = 250.0
MAX_BYTES = 2**20
MAX_SIGNALS = 1024
MAX_SAMPLES = 2**40

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?"
_RECORD = re.compile(r"^(\S+?)(?:/([0-9]{1,9}))?\s+([0-9]{1,9})(?:\s+(\S+))?(?:\s+([0-9]{1,15}))?")
_RATE = re.compile(rf"^({_NUMBER})(?:/{_NUMBER}(?:\({_NUMBER}\))?)?$")
_FORMAT = re.compile(r"^([0-9]{1,4})(?:x([0-9]{1,6}))?(?::([0-9]{1,9}))?(?:\+([0-9]{1,15}))?$")
_GAIN = re.compile(rf"^({_NUMBER})(?:\(([+-]?[0-9]{{1,11}})\))?(?:/(\S+))?$")
_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.+-]*$")


@dataclass(frozen=True)
class Signal:
    """One signal of a record.

    Attributes:
        file: name of its file, beside the header.
        format: of its samples there, see `signals.FORMATS`.
        offset: bytes before the first sample.
        gain: samples per unit; `calibrated` tells whether the header states it.
        baseline: the sample that means zero.
        units: for example mV.
        resolution_bits: of the converter, or None.
        first: the first sample as stated, or None.
        checksum: of all samples, modulo 2^16, or None.
        name: the description, for example the lead `MLII`.
    """

    file: str
    format: int
    offset: int = 0
    gain: float = DEFAULT_GAIN
    calibrated: bool = False
    baseline: int = 0
    units: str = "mV"
    resolution_bits: int | None = None
    first: int | None = None
    checksum: int | None = None
    name: str = ""


@dataclass(frozen=True)
class Header:
    """A record's header.

    Attributes:
        path: of the header file; the signal files lie beside it.
        name: of the record.
        rate_hz: samples per second.
        samples: of each signal, or None where the header does not say.
        signals: in the order of the header, which differs from record to record: choose a lead
            by its name with `index`, never by its place.
        comments: the lines after `#`.
    """

    path: Path
    name: str
    rate_hz: float
    samples: int | None
    signals: tuple[Signal, ...]
    comments: tuple[str, ...] = ()

    @property
    def leads(self) -> tuple[str, ...]:
        """The signals' names."""
        return tuple(signal.name for signal in self.signals)

    def index(self, lead: str) -> int:
        """Where the lead of that name is.

        Raises:
            UnsupportedInput: there is none, or more than one.
        """
        if self.leads.count(lead) != 1:
            raise UnsupportedInput(
                f"{self.path}: {self.leads.count(lead) or 'no'} signals are called {lead!r}; "
                f"there are {', '.join(self.leads) or 'none'}", "missing_input")  # fmt: skip
        return self.leads.index(lead)


def read_header(path: Path | str) -> Header:
    """Reads a header file; the extension `.hea` may be left out.

    Raises:
        UnreadableInput: damaged, or it names a signal file outside its own directory.
        UnsupportedInput: several segments, several samples per frame, or skewed signals.
    """
    file = Path(path)
    if file.suffix != ".hea":
        file = file.with_name(file.name + ".hea")
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise UnreadableInput(f"{file}: {error.strerror}", "unreadable") from error
    if len(data) > MAX_BYTES:
        raise UnsupportedInput(f"{file}: a header of more than {MAX_BYTES} bytes", "too_large")
    return parse_header(data.decode("utf-8", "replace"), file)


def parse_header(text: str, path: Path) -> Header:
    """Reads a header's text; `path` stands in the errors, see `read_header`."""
    told = [line.strip() for line in text.splitlines()]
    comments = tuple(line[1:].strip() for line in told if line.startswith("#"))
    lines = [line for line in told if line and not line.startswith("#")]
    found = _RECORD.match(lines[0]) if lines else None
    if found is None:
        raise UnreadableInput(f"{path}: no record line, so not a WFDB header", "unreadable")
    name, segments, stated, rate_told, samples = found.groups()
    if segments is not None:
        raise UnsupportedInput(f"{path}: a record of {segments} segments; give its segments one "
                               "by one", "format")  # fmt: skip
    count = int(stated)
    if count > MAX_SIGNALS or len(lines) - 1 < count:
        raise UnreadableInput(f"{path}: {count} signals are stated and {len(lines) - 1} "
                              "described", "unreadable")  # fmt: skip
    rate = DEFAULT_RATE_HZ
    if rate_told is not None:
        read = _RATE.match(rate_told)
        rate = float(read[1]) if read else 0.0
    if not (0 < rate <= 1e9) or int(samples or 0) > MAX_SAMPLES:
        raise UnreadableInput(f"{path}: {rate_told} samples per second and {samples or 'no'} "
                              "samples cannot be", "unreadable")  # fmt: skip
    return Header(
        path=path,
        name=name,
        rate_hz=rate,
        samples=int(samples) if samples and int(samples) else None,
        signals=tuple(_signal(line, path) for line in lines[1 : count + 1]),
        comments=comments,
    )


def _signal(line: str, path: Path) -> Signal:
    words = line.split(None, 8)
    coded = _FORMAT.match(words[1]) if len(words) > 1 else None
    if coded is None:
        raise UnreadableInput(f"{path}: no signal line: {line[:80]!r}", "unreadable")
    # A header from outside must not choose which of this machine's files are opened.
    if not _NAME.match(words[0]):
        raise UnreadableInput(f"{path}: names the signal file {words[0][:80]!r}, which is not a "
                              "plain name beside it; refused", "unreadable")  # fmt: skip
    number, per_frame, skew, offset = coded.groups()
    if int(per_frame or 1) != 1 or int(skew or 0):
        raise UnsupportedInput(f"{path}: {words[0]}: several samples per frame and skewed signals "
                               "are not read", "format")  # fmt: skip
    gain, baseline, units = _gain(words[2] if len(words) > 2 else "0", path)
    bits, zero, first, checksum = (_whole(words, place, path) for place in (3, 4, 5, 6))
    return Signal(
        file=words[0],
        format=int(number),
        offset=int(offset or 0),
        gain=gain or DEFAULT_GAIN,
        calibrated=bool(gain),
        baseline=(zero or 0) if baseline is None else baseline,
        units=units,
        resolution_bits=bits,
        first=first,
        checksum=None if checksum is None else checksum & 0xFFFF,
        name=words[8].strip() if len(words) > 8 else "",
    )


def _gain(text: str, path: Path) -> tuple[float, int | None, str]:
    found = _GAIN.match(text)
    gain = float(found[1]) if found else math.nan
    if found is None or not math.isfinite(gain):
        raise UnreadableInput(f"{path}: a gain of {text[:80]!r} is none", "unreadable")
    return gain, None if found[2] is None else int(found[2]), found[3] or "mV"


def _whole(words: list[str], place: int, path: Path) -> int | None:
    if len(words) <= place:
        return None
    if not re.fullmatch(r"[+-]?[0-9]{1,11}", words[place]):
        raise UnreadableInput(f"{path}: {words[place][:80]!r} is no whole number", "unreadable")
    return int(words[place])
