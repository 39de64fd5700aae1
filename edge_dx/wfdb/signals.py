"""Signal files, block by block in constant memory.

The samples of all signals of a file follow each other in turn. Formats (their sizes in bytes, and
the sample that means "none here"):

    16   2, lower byte first          -2^15        61   the same, upper byte first
    24   3, lower byte first          -2^23        32   4, lower byte first          -2^31
    80   1, less 128                  -2^7         160  2, less 2^15                 -2^15
    212  two samples of 12 bits in three bytes     -2^11
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import UnreadableInput, UnsupportedInput
from edge_dx.wfdb.header import Header, Signal

FORMATS: dict[int, tuple[int, int]] = {
    16: (4, -(2**15)), 61: (4, -(2**15)), 24: (6, -(2**23)), 32: (8, -(2**31)),
    80: (2, -(2**7)), 160: (4, -(2**15)), 212: (3, -(2**11)),
}  # fmt: skip
"""Bytes of two samples, and the sample that stands for none."""
BLOCK = 4096
MAX_RECORD_BYTES = 2**31
"""`read_record` holds no more than this; blocks have no such limit."""


def read_blocks(
    header: Header, leads: Sequence[str] | None = None, *, samples: int = BLOCK
) -> Iterator[NDArray[np.int32]]:
    """The samples as the converter gave them, in blocks.

    Args:
        header: of the record; its files lie beside it.
        leads: names of the signals wanted, in this order; all where None.
        samples: of each signal in a block, an even number; the last block may be shorter.

    Yields:
        (samples, leads) int32. `physical` makes millivolts of them.

    Raises:
        UnreadableInput: a file is missing, shorter than the header says, or, told after the last
            block, its samples do not give the header's checksum.
        UnsupportedInput: a format that is not read, or no lead of that name.
    """
    if samples < 2 or samples % 2:
        raise ValueError("blocks have an even number of samples")
    wanted = range(len(header.signals)) if leads is None else [header.index(n) for n in leads]
    if not header.signals or not len(wanted):
        return
    total = _samples(header)
    sums = np.zeros(len(wanted), np.int64)
    readers = {file: _Reader(header, file) for file in dict.fromkeys(
        header.signals[k].file for k in wanted)}  # fmt: skip
    try:
        for start in range(0, total, samples):
            count = min(samples, total - start)
            read = {file: reader.next(count) for file, reader in readers.items()}
            block = np.empty((count, len(wanted)), np.int32)
            for column, k in enumerate(wanted):
                file = header.signals[k].file
                block[:, column] = read[file][:, readers[file].columns.index(k)]
            sums += block.sum(axis=0, dtype=np.int64)
            yield block
    finally:
        for reader in readers.values():
            reader.close()
    for found, k in zip(sums, wanted, strict=True):
        stated = header.signals[k].checksum
        if stated is not None and header.samples is not None and int(found) & 0xFFFF != stated:
            raise UnreadableInput(f"{header.path.parent / header.signals[k].file}: the samples of "
                                  f"{header.signals[k].name!r} do not give the checksum in "
                                  f"{header.path.name}: damaged", "unreadable")  # fmt: skip


def read_record(header: Header, leads: Sequence[str] | None = None) -> NDArray[np.int32]:
    """All samples at once, (samples, leads) int32; for what is known to be short.

    Raises:
        UnsupportedInput: more than fits; use `read_blocks`.
    """
    width = len(header.signals if leads is None else leads)
    if header.signals and _samples(header) * width * 4 > MAX_RECORD_BYTES:
        raise UnsupportedInput(f"{header.path}: too long to be held at once", "too_large")
    blocks = list(read_blocks(header, leads, samples=2**16))
    return np.concatenate(blocks) if blocks else np.empty((0, width), np.int32)


def physical(
    header: Header, block: NDArray[np.int32], leads: Sequence[str] | None = None
) -> NDArray[np.float64]:
    """Samples in the header's units (mV), NaN where there was none.

    Args:
        header: of the record.
        block: (samples, leads) as it was read.
        leads: the names that it was read with.
    """
    chosen = header.signals if leads is None else [header.signals[header.index(n)] for n in leads]
    gain = np.array([signal.gain for signal in chosen])
    baseline = np.array([signal.baseline for signal in chosen])
    none = np.array([FORMATS[signal.format][1] for signal in chosen])
    return np.where(block == none, np.nan, (block - baseline) / gain)


def _samples(header: Header) -> int:
    if header.samples is not None:
        return header.samples
    first = header.signals[0]
    size, width = _size(header, first), sum(s.file == first.file for s in header.signals)
    return max(0, size - first.offset) * 2 // (_format(header, first)[0] * width)


def _format(header: Header, signal: Signal) -> tuple[int, int]:
    if signal.format not in FORMATS:
        raise UnsupportedInput(
            f"{header.path}: {signal.file}: signal format {signal.format} is not read; "
            f"these are: {', '.join(map(str, FORMATS))}", "format")  # fmt: skip
    return FORMATS[signal.format]


def _size(header: Header, signal: Signal) -> int:
    path = header.path.parent / signal.file
    try:
        return path.stat().st_size
    except OSError as error:
        raise UnreadableInput(f"{path}: {error.strerror}", "unreadable") from error


class _Reader:
    """One signal file, read forwards."""

    def __init__(self, header: Header, file: str) -> None:
        self.columns = [k for k, signal in enumerate(header.signals) if signal.file == file]
        signals = [header.signals[k] for k in self.columns]
        first = signals[0]
        if any((s.format, s.offset) != (first.format, first.offset) for s in signals):
            raise UnsupportedInput(f"{header.path}: the signals of {file} differ in their format",
                                   "format")  # fmt: skip
        self.format, self.pair = first.format, _format(header, first)[0]
        self.path: Path = header.path.parent / file
        there = _size(header, first) - first.offset
        needed = (_samples(header) * len(signals) * self.pair + 1) // 2
        if there < needed:
            raise UnreadableInput(f"{self.path}: {max(there, 0)} bytes of samples, and the "
                                  f"header speaks of {needed}: it was cut short",
                                  "unreadable")  # fmt: skip
        try:
            self.stream: BinaryIO = self.path.open("rb")
        except OSError as error:
            raise UnreadableInput(f"{self.path}: {error.strerror}", "unreadable") from error
        self.stream.seek(first.offset)

    def next(self, samples: int) -> NDArray[np.int32]:
        """The next (samples, signals of this file)."""
        values = samples * len(self.columns)
        size = (values * self.pair + 1) // 2
        data = self.stream.read(size)
        if len(data) != size:  # it shrank since it was opened
            raise UnreadableInput(f"{self.path}: ends within its samples", "unreadable")
        return _unpacked(data, self.format)[:values].reshape(samples, len(self.columns))

    def close(self) -> None:
        """Closes the file."""
        self.stream.close()


def _unpacked(data: bytes, form: int) -> NDArray[np.int32]:
    if form in (16, 61, 32):
        kind = {16: "<i2", 61: ">i2", 32: "<i4"}[form]
        return np.frombuffer(data, kind).astype(np.int32)
    if form == 160:
        return np.frombuffer(data, "<u2").astype(np.int32) - 2**15
    octets = np.frombuffer(data, np.uint8).astype(np.int32)
    if form == 80:
        return octets - 128
    if form == 24:
        low, middle, high = octets.reshape(-1, 3).T
        return (low | middle << 8 | high << 16) << 8 >> 8
    octets = np.append(octets, np.zeros(-len(octets) % 3, np.int32))
    first, shared, second = octets.reshape(-1, 3).T
    pairs = np.stack([first | (shared & 0x0F) << 8, second | (shared & 0xF0) << 4], axis=1)
    return pairs.reshape(-1) << 20 >> 20
