"""What never came, counted exactly: from the sample index, the boot id and the drop counter.

The index counts every sample that the device acquired, so a jump is a loss; how many of them the
device itself dropped its counter says, and the cable lost the others. An index that lies behind is
a message that came twice. The index has 32 bits: over a silence of days the device's clock tells
how often it wrapped.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from firmware_bridge.messages import Header

_WRAP = 2**32
_HALF = 2**31


@dataclass(frozen=True)
class Gap:
    """Samples or pictures that are missing before what follows.

    Attributes:
        first: index of the first one.
        count: how many; None where nobody can know: after a restart of the device, and with
            devices that do not number what they send.
        device: how many of them the device dropped, because its buffer was full.
        host: how many arrived, and found no room here.
        restart: the device was restarted; its index and its clock began anew.
    """

    first: int
    count: int | None
    device: int = 0
    host: int = 0
    restart: bool = False

    @property
    def link(self) -> int:
        """How many of them the cable lost."""
        return (self.count or 0) - self.device - self.host


@dataclass
class Counts:
    """Sums over all that was heard of one stream.

    Attributes:
        received: samples or pictures that came.
        lost_link: that the cable lost.
        lost_device: that the device dropped.
        repeated: messages that came twice.
        restarts: of the device.
        unknown: stretches that were lost without anybody knowing how much was in them.
    """

    received: int = 0
    lost_link: int = 0
    lost_device: int = 0
    repeated: int = 0
    restarts: int = 0
    unknown: int = 0


@dataclass(frozen=True)
class Place:
    """Where a message stands.

    Attributes:
        first: index of its first sample, without wrap-around.
        gap: what is missing before it.
    """

    first: int
    gap: Gap | None


class Ledger:
    """Keeps account of one stream.

    Args:
        rate_hz: of the stream, to tell wraps of the index over long silences.

    Attributes:
        counts: the sums.
        next: index that is expected, without wrap-around; None before anything is known.
    """

    def __init__(self, rate_hz: Fraction | float) -> None:
        self.counts = Counts()
        self.next: int | None = None
        self._rate = float(rate_hz)
        self._boot: int | None = None
        self._dropped = 0
        self._t_dev_us: int | None = None
        self._gap: Gap | None = None
        self._unannounced: tuple[int, int] | None = None

    def expect(self, boot_id: int, next_index: int, dropped_total: int) -> None:
        """Takes the device's word, in its answer to `start`, for what comes next.

        Where the stream was heard before, from the same boot on, what was missed in between is a
        loss; otherwise nothing was promised, and nothing lost. Where messages came before the
        answer did, because it was lost and asked for again, the counts are set right.
        """
        if self._boot != boot_id or self.next is None:
            self._begin(boot_id, next_index, dropped_total)
        elif self._unannounced is not None:  # messages overtook the answer, which was asked again
            index, dropped = self._unannounced
            missing = (index - next_index) % _WRAP
            if missing < _HALF:
                by_device = min((dropped - dropped_total) % _WRAP, missing)
                self.counts.lost_device += by_device
                self.counts.lost_link += missing - by_device
        else:
            self.settle(next_index, dropped_total)
            self._t_dev_us = None  # the index may have stood still meanwhile
        self._unannounced = None

    def settle(self, next_index: int, dropped_total: int) -> None:
        """Takes the device's word, in its answer to `stop`, for what should have come by now."""
        if self.next is None:
            return
        missing = (next_index - self.next) % _WRAP
        if missing < _HALF:  # else it was said before what has come since
            self._lose(missing, dropped_total)

    def take(self, header: Header) -> Place | None:
        """Where a message stands; None where it came twice.

        A message of n = 0 tells only what is expected.
        """
        if self.next is None or header.boot_id != self._boot:
            self._begin(header.boot_id, header.first_index, header.dropped_total)
            self._unannounced = header.first_index, header.dropped_total
        else:
            # Of all that the index can mean, what the device's clock says is nearest.
            since_us = 0 if self._t_dev_us is None else header.t_dev_us - self._t_dev_us
            silence = since_us * 1e-6 * self._rate
            missing = (header.first_index - self.next) % _WRAP
            missing += _WRAP * round((silence - missing) / _WRAP)
            if missing < 0:
                self.counts.repeated += 1
                return None
            self._lose(missing, header.dropped_total)
        assert self.next is not None
        first, self.next = self.next, self.next + header.n
        self._t_dev_us = header.t_dev_us
        self.counts.received += header.n
        if not header.n:
            return Place(first, None)
        gap, self._gap = self._gap, None
        return Place(first, gap)

    def _begin(self, boot_id: int, index: int, dropped_total: int) -> None:
        if self._boot is not None and boot_id != self._boot:
            self.counts.restarts += 1
            self._gap = Gap(self.next or 0, None, restart=True)
        self._boot, self.next, self._dropped = boot_id, index, dropped_total
        self._t_dev_us = None

    def _lose(self, missing: int, dropped_total: int) -> None:
        assert self.next is not None
        dropped = min((dropped_total - self._dropped) % _WRAP, missing)
        self._dropped = dropped_total
        if not missing:
            return
        self.counts.lost_device += dropped
        self.counts.lost_link += missing - dropped
        self._gap = joined(self._gap, Gap(self.next, missing, device=dropped))
        self.next += missing


def joined(one: Gap | None, other: Gap | None) -> Gap | None:
    """Two gaps with nothing between them."""
    if one is None or other is None:
        return one or other
    count = None if one.count is None or other.count is None else one.count + other.count
    return Gap(one.first, count, one.device + other.device, one.host + other.host,
               one.restart or other.restart)  # fmt: skip
