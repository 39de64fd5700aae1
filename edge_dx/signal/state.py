"""The state of a signal path: plain arrays, never hidden, the same after a restart.

A state is a value. Stepping gives a new one and leaves the old one as it was, so a caller may keep
it, go back to it, or write it to disk (`np.savez(file, **state.to_arrays())`, no pickle in it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edge_dx.errors import TensorMismatch
from edge_dx.signal.events import Array

STATE_VERSION = 1
"""Raised whenever the meaning of an array changes; an older state is refused, never bent."""
_VERSION, _MADE_BY = "state_version", "made_by"


@dataclass(frozen=True, eq=False)
class State:
    """What a path remembers of one stream.

    Attributes:
        made_by: digest of the path (rate, leads, steps, rules): a state fits no other one.
        arrays: name → array, read only.
    """

    made_by: bytes
    arrays: Mapping[str, Array] = field(repr=False)

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


def stacked(states: Sequence[State]) -> dict[str, Array]:
    """name → array with the streams as its first axis; not to be written to."""
    first = states[0].arrays
    if len(states) == 1:
        return {name: array[None] for name, array in first.items()}
    return {name: np.stack([state.arrays[name] for state in states]) for name in first}


def unstacked(arrays: Mapping[str, Array], made_by: bytes, streams: int) -> list[State]:
    """The other way round."""
    return [
        State(made_by, {name: np.array(array[stream]) for name, array in arrays.items()})
        for stream in range(streams)
    ]


Arrays = dict[str, Any]
"""State arrays of several streams, stacked."""
