"""PhysioNet's records (`edge_dx.wfdb`) as a source of samples."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from edge_dx import wfdb
from edge_dx.signal import Samples
from edge_dx.signal.timing import exact_rate
from edge_dx.sources.samples.source import checked_leads, to_mv


class Record:
    """A record's signals.

    Attributes:
        name: the header's path.
        rate_hz: from the header.
        leads: names from the header.
        full_scale_mv: where all leads have one converter whose zero is its middle.
    """

    def __init__(self, path: str | Path, leads: Sequence[str] | None = None) -> None:
        """Reads the header.

        Args:
            path: of the record or its header, `100` or `100.hea`.
            leads: which ones, by name; None for all.

        Raises:
            UnreadableInput: no such record, or a damaged header.
            UnsupportedInput: no such lead, or one that is no voltage.
        """
        self._header = wfdb.read_header(path)
        self.name = str(self._header.path)
        self.rate_hz = exact_rate(self._header.rate_hz)
        self.leads = checked_leads(self.name, self._header.leads if leads is None else leads)
        chosen = [self._header.signals[self._header.index(lead)] for lead in self.leads]
        self._factors = np.array([to_mv(self.name, signal.units) for signal in chosen])
        scales = set()
        for signal, factor in zip(chosen, self._factors, strict=True):
            half = 2 ** ((signal.resolution_bits or 1) - 1)
            middle = signal.resolution_bits is not None and signal.baseline in (0, half)
            scales.add(abs(half / signal.gain) * float(factor) if middle else None)
        self.full_scale_mv = scales.pop() if len(scales) == 1 else None

    def close(self) -> None:
        """Files are open only while blocks are read."""

    def blocks(self) -> Iterator[Samples]:
        """The record from its first sample on.

        Raises:
            UnreadableInput: a signal file is missing, shorter than the header says, or, told after
                the last block, does not give the header's checksum.
        """
        index = 0
        for block in wfdb.read_blocks(self._header, self.leads):
            mv = wfdb.physical(self._header, block, self.leads) * self._factors
            yield Samples(mv, index)
            index += len(mv)
