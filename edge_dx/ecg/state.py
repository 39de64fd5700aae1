"""What a stream remembers: one explicit value, plain arrays on disk, refused where it fits not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from edge_dx.ecg.judge import Parts
from edge_dx.errors import TensorMismatch
from edge_dx.signal import Samples, SignalPath, State
from edge_dx.signal.state import Joined
from edge_dx.tensors import Array

STREAM_STATE_VERSION = 1
"""Raised whenever the meaning of an array changes; an older state is refused, never bent."""
_VERSION, _MADE_BY, _PATH = "stream_state_version", "stream_made_by", "path/"


@dataclass(frozen=True, eq=False)
class StreamState:
    """Everything that one stream remembers. A step gives a new one and leaves this as it was.

    Attributes:
        made_by: digest of bundle, variant, rate, leads and options: it fits no other stream.
        path: of the signal path.
        parts: room to arrays.
    """

    made_by: bytes
    path: State = field(repr=False)
    parts: Parts = field(repr=False)

    def to_arrays(self) -> dict[str, Array]:
        """Everything as arrays, for `np.savez`; no pickle is needed to read them."""
        return {
            _VERSION: np.array(STREAM_STATE_VERSION, np.uint32),
            _MADE_BY: np.frombuffer(self.made_by, np.uint8),
            **{_PATH + name: array for name, array in self.path.to_arrays().items()},
            **{f"{room}/{name}": array for room, arrays in self.parts.items()
               for name, array in arrays.items()},
        }  # fmt: skip

    @property
    def bytes(self) -> int:
        """Size of all its arrays."""
        return sum(array.nbytes for array in self.to_arrays().values())


def restored(arrays: Mapping[str, Array], like: StreamState) -> tuple[dict[str, Array], Parts]:
    """The path's arrays and the rooms of a saved state, which must be one of the maker of `like`.

    Raises:
        TensorMismatch: of another version or stream, or damaged.
    """
    held = dict(arrays)
    version, made_by = held.pop(_VERSION, None), held.pop(_MADE_BY, None)
    if version is None or made_by is None or np.shape(version) != ():
        raise TensorMismatch("this is no saved state of a stream; start afresh")
    if int(version) != STREAM_STATE_VERSION:
        raise TensorMismatch(
            f"the stream's state has version {int(version)}, this edge_dx reads "
            f"{STREAM_STATE_VERSION}; start afresh"
        )
    if np.asarray(made_by, np.uint8).tobytes() != like.made_by:
        raise TensorMismatch(
            "the state is that of another stream (another bundle, variant, rate, lead or option); "
            "start afresh"
        )
    path = {n.removeprefix(_PATH): held.pop(n) for n in list(held) if n.startswith(_PATH)}
    wanted = {f"{room}/{name}" for room, own in like.parts.items() for name in own}
    if held.keys() != wanted:
        raise TensorMismatch("the stream's state lacks arrays or has too many; start afresh")
    parts: Parts = {
        room: {name: _fitting(f"{room}/{name}", held[f"{room}/{name}"], pattern)
               for name, pattern in own.items()}
        for room, own in like.parts.items()
    }  # fmt: skip
    return path, parts


def _fitting(name: str, saved: Array, pattern: Array) -> Array:
    found = np.array(saved)
    if found.dtype != pattern.dtype or found.shape != pattern.shape:
        raise TensorMismatch(
            f"the stream's state {name!r} is {found.dtype}{found.shape}, not "
            f"{pattern.dtype}{pattern.shape}; start afresh"
        )
    if found.dtype.kind == "f" and np.isinf(found).any():
        raise TensorMismatch(f"the stream's state {name!r} holds what is no number; start afresh")
    return found


@dataclass(frozen=True, eq=False)
class JoinedStreams:
    """The states of several streams side by side; as much a value as each of them.

    Attributes:
        made_by: as of a `StreamState`.
        path: of the signal path.
        rows: of the room of that name, streams first.
        peaks: likewise.
        parts: the other rooms of each stream.
    """

    made_by: bytes
    path: Joined = field(repr=False)
    rows: dict[str, Array] = field(repr=False)
    peaks: dict[str, Array] = field(repr=False)
    parts: tuple[Parts, ...] = field(repr=False)

    @property
    def streams(self) -> int:
        """How many."""
        return len(self.parts)


_SIDE_BY_SIDE = ("rows", "peaks")


def joined_streams(path: SignalPath, states: Sequence[StreamState]) -> JoinedStreams:
    """States side by side; all of one stream's making."""
    rows, peaks = (
        {name: np.stack([state.parts[room][name] for state in states])
         for name in states[0].parts[room]}
        for room in _SIDE_BY_SIDE
    )  # fmt: skip
    parts = tuple(
        {room: own for room, own in state.parts.items() if room not in _SIDE_BY_SIDE}
        for state in states
    )
    together = path.join([state.path for state in states])
    return JoinedStreams(states[0].made_by, together, rows, peaks, parts)


def split_streams(path: SignalPath, joined: JoinedStreams) -> list[StreamState]:
    """The other way round; nothing of the others is held by one of them."""
    found = []
    for place, own in enumerate(path.split(joined.path)):
        rooms = {
            room: {name: np.array(array[place]) for name, array in arrays.items()}
            for room, arrays in zip(_SIDE_BY_SIDE, (joined.rows, joined.peaks), strict=True)
        }
        found.append(StreamState(joined.made_by, own, {**rooms, **joined.parts[place]}))
    return found


def plain(state: State, chunk: Samples | Array) -> Samples | Array:
    """Samples that only follow what came before, as the array that says the same.

    The signal path has a short way for it.
    """
    if not isinstance(chunk, Samples) or chunk.lead_off is not None:
        return chunk
    follows = chunk.start is None or chunk.start == int(state.arrays["next"])
    return chunk.mv if follows else chunk
