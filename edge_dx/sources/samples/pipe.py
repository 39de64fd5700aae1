"""Samples through a pipe: one line of JSON, then raw numbers until the writer is done.

    {"rate_hz": 250, "leads": ["I", "II"], "unit": "uV", "dtype": "int16"}\\n
    I0 II0 I1 II1 …                                          little endian, no delimiter

`edge-dx … -` reads it from standard input. Samples are given on as they arrive.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import msgspec
import numpy as np
from msgspec import Meta

from edge_dx.errors import UnreadableInput
from edge_dx.signal import Samples
from edge_dx.signal.timing import exact_rate
from edge_dx.sources.samples.source import checked_leads, to_mv

_MAX_HEADER = 65_536
_AT_ONCE = 65_536
_DTYPES = {"int16": "<i2", "int32": "<i4", "float32": "<f4", "float64": "<f8"}


class PipeHeader(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The first line.

    Attributes:
        rate_hz: samples per second; a text such as `1000/3` where it is no decimal fraction.
        leads: names, in the order in which the numbers come.
        unit: of a number times `scale`.
        dtype: of the numbers, little endian.
        scale: units in one step of an integer.
        start: device index of the first sample.
        full_scale: of the converter, in `unit`.
    """

    rate_hz: float | str
    leads: tuple[str, ...]
    unit: str
    dtype: Literal["int16", "int32", "float32", "float64"]
    scale: Annotated[float, Meta(gt=0.0)] = 1.0
    start: Annotated[int, Meta(ge=0, lt=2**53)] = 0
    full_scale: Annotated[float, Meta(gt=0.0)] | None = None


class Pipe:
    """Samples from an open binary file that need not be seekable.

    Attributes:
        name: `-` for standard input.
        rate_hz: from the header.
        leads: likewise.
        full_scale_mv: likewise.
    """

    def __init__(self, file: BinaryIO | None = None, name: str = "-") -> None:
        """Reads the header; `None` is standard input.

        Raises:
            UnreadableInput: the first line is no header.
            UnsupportedInput: a rate, unit or list of leads that is not read.
        """
        self.name = name
        self._file = sys.stdin.buffer if file is None else file
        line = self._file.readline(_MAX_HEADER)
        try:
            header = msgspec.json.decode(line, type=PipeHeader)
            rate = Fraction(header.rate_hz) if isinstance(header.rate_hz, str) else header.rate_hz
        except (msgspec.MsgspecError, ValueError, ZeroDivisionError, RecursionError) as error:
            raise UnreadableInput(
                f"{name}: the first line is no header of samples ({error}); it is JSON such as "
                '{"rate_hz": 250, "leads": ["II"], "unit": "mV", "dtype": "float32"}', "unreadable"
            ) from error  # fmt: skip
        self.rate_hz = exact_rate(rate)
        self.leads = checked_leads(name, header.leads)
        factor = to_mv(name, header.unit)
        self._gain = factor * header.scale
        self.full_scale_mv = None if header.full_scale is None else factor * header.full_scale
        self._dtype, self._start = np.dtype(_DTYPES[header.dtype]), header.start

    def close(self) -> None:
        """Closes the file, unless it is standard input."""
        if self._file is not sys.stdin.buffer:
            self._file.close()

    def blocks(self) -> Iterator[Samples]:
        """What arrives, as soon as it does.

        Raises:
            UnreadableInput: the writer stopped in the middle of a sample; the others were good.
        """
        size, index, left = self._dtype.itemsize * len(self.leads), self._start, b""
        read = getattr(self._file, "read1", self._file.read)  # read1 does not wait for more
        while arrived := read(_AT_ONCE):
            left += arrived
            n = len(left) // size
            if n:
                numbers = np.frombuffer(left[: n * size], self._dtype).reshape(n, -1)
                with np.errstate(invalid="ignore", over="ignore"):
                    mv = numbers.astype(np.float64) * self._gain
                yield Samples(mv, index)
                index, left = index + n, left[n * size :]
        if left:
            raise UnreadableInput(
                f"{self.name}: ends in the middle of sample {index}; the writer was cut off",
                "unreadable",
            )


def from_path(path: str | Path) -> Pipe:
    """A pipe's content that was kept in a file, or a named pipe."""
    # The caller asked for this very name, so waiting for a named pipe's writer is what is wanted.
    return Pipe(os.fdopen(os.open(path, os.O_RDONLY), "rb"), str(path))
