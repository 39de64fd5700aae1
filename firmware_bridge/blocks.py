"""What a user gets from a stream: samples or pictures with their place, times and losses."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.loss import Gap, joined
from firmware_bridge.messages import Flags

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Moment:
    """When something was.

    Attributes:
        t_dev_us: in the device's clock, which begins anew at each restart.
        arrived_ns: when its bytes were read, in the host's monotonic clock.
        t_host_ns: when it was, in the host's monotonic clock; None until the device's clock is
            known.
        uncertainty_s: of `t_host_ns`.
        epoch: raised whenever the relation of the two clocks began anew.
    """

    t_dev_us: int
    arrived_ns: int
    t_host_ns: int | None = None
    uncertainty_s: float | None = None
    epoch: int = 0


@dataclass(frozen=True, eq=False)
class Block:
    """Consecutive samples of one stream.

    Attributes:
        stream: where they are from.
        counts: (n, leads) int32, in steps of the converter.
        first_index: of the first one, without wrap-around; begins anew after a restart.
        run: how often the device was restarted while this stream was heard.
        at: when the first one was taken.
        gap: what is missing in front of it.
        flags: as the device set them.
        leads_off: names of the leads without contact.
        boot_id: the device's own name for its start; 0 with devices that have none.
    """

    stream: StreamInfo
    counts: Array = field(repr=False)
    first_index: int
    run: int
    at: Moment
    gap: Gap | None = None
    flags: Flags = Flags.NONE
    leads_off: tuple[str, ...] = ()
    boot_id: int = 0

    @property
    def samples(self) -> Array:
        """(n, leads) float64 in `unit`."""
        return self.counts * self.stream.scale

    @property
    def unit(self) -> str:
        """Of `samples`."""
        return self.stream.unit

    @property
    def place(self) -> dict[str, int]:
        """Of the first sample in the device's own numbers, for a verdict about it."""
        return _place(self)

    def __len__(self) -> int:
        return len(self.counts)


@dataclass(frozen=True, eq=False)
class Picture:
    """One whole picture.

    Attributes:
        stream: where it is from.
        pixels: (height, width) uint8.
        mm_per_px: across and down; NaN where the device does not know.
        first_index: its number, without wrap-around; begins anew after a restart.
        run: as of a `Block`.
        at: when it was taken.
        gap: what is missing in front of it.
        flags: as the device set them.
        boot_id: as of a `Block`.
    """

    stream: StreamInfo
    pixels: Array = field(repr=False)
    mm_per_px: tuple[float, float]
    first_index: int
    run: int
    at: Moment
    gap: Gap | None = None
    flags: Flags = Flags.NONE
    boot_id: int = 0

    @property
    def place(self) -> dict[str, int]:
        """In the device's own numbers, for a verdict about it."""
        return _place(self)

    def __len__(self) -> int:
        return 1


def _place(item: Block | Picture) -> dict[str, int]:
    # With the boot id: numbers begin anew after a restart, and a verdict may come late.
    return {"stream": item.stream.id, "boot": item.boot_id, "index": item.first_index % 2**32}


Data = TypeVar("Data", Block, Picture)


def without(dropped: Data, following: Data) -> Data:
    """What follows a block or picture that found no room here, with the gap that this made."""
    own = Gap(dropped.first_index, len(dropped), host=len(dropped))
    return replace(following, gap=joined(joined(dropped.gap, own), following.gap))
