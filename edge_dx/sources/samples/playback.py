"""Any source at the pace at which it was recorded, or at a multiple of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction

from edge_dx.signal import Samples
from edge_dx.sources.samples.source import SampleSource


class Playback:
    """Gives samples when they would have arrived.

    Each block's due time is counted from the first sample by its index, so that no pause adds up,
    and a gap of the recording is a pause of the playback.

    Attributes:
        source: what is played; closed with this.
    """

    def __init__(
        self,
        source: SampleSource,
        *,
        speed: float = 1.0,
        block_s: float = 0.1,
        clock_s: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Prepares to play.

        Args:
            source: what to play.
            speed: 2.0 is twice as fast as life.
            block_s: seconds of recording in each block; a device's packet.
            clock_s: monotonic seconds.
            sleep: waits so many seconds.

        Raises:
            ValueError: a speed or block that makes no sense.
        """
        if not (0 < speed < float("inf") and 0 < block_s <= 60):
            raise ValueError("speed is more than 0, and a block lasts at most a minute")
        self.source = source
        self._speed, self._clock_s, self._sleep = speed, clock_s, sleep
        self._rows = max(1, round(Fraction(block_s).limit_denominator(1000) * source.rate_hz))

    @property
    def name(self) -> str:
        """The source's."""
        return self.source.name

    @property
    def rate_hz(self) -> Fraction:
        """The source's."""
        return self.source.rate_hz

    @property
    def leads(self) -> tuple[str, ...]:
        """The source's."""
        return self.source.leads

    @property
    def full_scale_mv(self) -> float | None:
        """The source's."""
        return self.source.full_scale_mv

    def blocks(self) -> Iterator[Samples]:
        """The source's samples in blocks of `block_s`, each when its last sample is due."""
        began_s = self._clock_s()
        first: int | None = None
        expected = 0
        for samples in self.source.blocks():
            start = expected if samples.start is None else samples.start
            first = start if first is None else first
            expected = start + len(samples.mv)
            for begin in range(0, len(samples.mv), self._rows):
                part = slice(begin, begin + self._rows)
                mv = samples.mv[part]
                due = (start + begin + len(mv) - first) / float(self.rate_hz) / self._speed
                wait_s = began_s + due - self._clock_s()
                if wait_s > 0:
                    self._sleep(wait_s)
                off = None if samples.lead_off is None else samples.lead_off[part]
                yield Samples(mv, start + begin, off)

    def close(self) -> None:
        """Closes the source."""
        self.source.close()
