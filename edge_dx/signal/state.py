"""The state of a signal path: plain arrays, never hidden, the same after a restart.

A state is a value. Stepping gives a new one and leaves the old one as it was, so a caller may keep
it, go back to it, or write it to disk (`np.savez(file, **state.to_arrays())`, no pickle in it).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_dx.errors import TensorMismatch
from edge_dx.signal.events import Array

STATE_VERSION = 2
"""Raised whenever the meaning of an array changes; an older state is refused, never bent."""
_VERSION, _MADE_BY = "state_version", "made_by"


@dataclass(frozen=True, eq=False)
class State:
    """What a path remembers of one stream.

    Attributes:
        made_by: digest of the path (rate, leads, steps, rules): a state fits no other one.
        arrays: name → array, read only.
        calm: a note of the path: these arrays allow the short way (`edge_dx.signal.calm`). It
            follows from them, changes nothing in what comes out, and is not saved.
    """

    made_by: bytes
    arrays: Mapping[str, Array] = field(repr=False)
    calm: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        """Lock the arrays, so that an old state stays what it was."""
        for array in self.arrays.values():
            array.flags.writeable = False

    def to_arrays(self) -> dict[str, Array]:
        """Everything as arrays, for `np.savez`."""
        return {
            _VERSION: np.array(STATE_VERSION, np.uint32),
            _MADE_BY: np.frombuffer(self.made_by, np.uint8),
            **self.arrays,
        }


@dataclass(frozen=True, eq=False)
class Joined:
    """What a path remembers of several streams, side by side.

    Attributes:
        made_by: as of `State`.
        arrays: name → array with the streams as its first axis, read only.
        calm: as of `State`, of each.
    """

    made_by: bytes
    arrays: Mapping[str, Array] = field(repr=False)
    calm: Sequence[bool] = field(repr=False)

    def __post_init__(self) -> None:
        """Lock the arrays, as those of a `State`."""
        for array in self.arrays.values():
            array.flags.writeable = False

    @property
    def streams(self) -> int:
        """How many."""
        return len(self.arrays["next"])


def restored(arrays: Mapping[str, Array], like: State) -> State:
    """The state in `arrays`, which must be one of the maker of `like`.

    Raises:
        TensorMismatch: of another version or path, or damaged.
    """
    held = dict(arrays)
    version, made_by = held.pop(_VERSION, None), held.pop(_MADE_BY, None)
    if version is None or made_by is None or np.asarray(version).shape != ():
        raise TensorMismatch("this is no saved signal state; start afresh")
    if int(version) != STATE_VERSION:
        raise TensorMismatch(
            f"the signal state has version {int(version)}, this edge_dx reads {STATE_VERSION}; "
            "start afresh"
        )
    if np.asarray(made_by, np.uint8).tobytes() != like.made_by:
        raise TensorMismatch("the state is that of another signal path; start afresh")
    if held.keys() != like.arrays.keys():
        raise TensorMismatch("the signal state lacks arrays or has too many; start afresh")
    taken: dict[str, Array] = {}
    for name, pattern in like.arrays.items():
        found = np.array(held[name])
        if found.dtype != pattern.dtype or found.shape != pattern.shape:
            raise TensorMismatch(
                f"the signal state's {name!r} is {found.dtype}{found.shape}, not "
                f"{pattern.dtype}{pattern.shape}; start afresh"
            )
        if found.dtype == np.float64 and not np.isfinite(found).all():
            raise TensorMismatch(f"the signal state's {name!r} holds NaN; start afresh")
        taken[name] = found
    return State(like.made_by, taken)


def stacked(states: Sequence[State], names: Iterable[str]) -> dict[str, Array]:
    """name → array with the streams as its first axis; not to be written to."""
    if len(states) == 1:
        return {name: states[0].arrays[name][None] for name in names}
    # np.stack without its checks; the arrays of one path have one shape.
    return {name: np.array([state.arrays[name] for state in states]) for name in names}


def unstacked(arrays: Mapping[str, Array], streams: int) -> list[dict[str, Array]]:
    """The other way round; copies, so that one stream does not keep the others in memory."""
    return [
        {name: np.array(array[stream]) for name, array in arrays.items()}
        for stream in range(streams)
    ]


def put(
    into: dict[str, Array], before: Mapping[str, Array], streams: Array, new: Mapping[str, Array]
) -> None:
    """Puts some streams' arrays beside those of the others, which are not written to."""
    for name, array in new.items():
        if len(streams) == len(before[name]):
            into[name] = array
            continue
        if into[name] is before[name]:
            into[name] = before[name].copy()
        into[name][streams] = array


Arrays = dict[str, Any]
"""State arrays of several streams, stacked."""
