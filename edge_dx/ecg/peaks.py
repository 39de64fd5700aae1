"""Hops of many streams through the detector: which leads are heard, and where R peaks are.

A lead is *heard* where it carried a signal through the whole hop, and its word *counts* once
filters and network have seen all that they look back to. While none counts nothing is told, and
what was before that time is never joined with what is after it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edge_dx.ecg.detect import Peak, PeakDecoder, fused
from edge_dx.ecg.networks import Network
from edge_dx.ecg.rows import INSIDE, HopBatch
from edge_dx.manifest import PeakNetwork
from edge_dx.signal import INVALID, WARMUP
from edge_dx.tensors import Array

Arrays = dict[str, Array]
_PEAKS = "peaks."


class Found(NamedTuple):
    """What one hop of each stream gave.

    Attributes:
        peaks: of each stream, that are certain now.
        broke: (streams,) nothing that follows is to be joined with them.
        counts: (streams, leads) whose word the peaks rest on.
        anew: (streams, leads) whose networks begin with zeros.
        turned: (streams,) the detector's word on noise is another than before.
        noisy: (streams,) that word.
        began: (streams,) beats are told again from this hop on.
    """

    peaks: list[list[Peak]]
    broke: Array
    counts: Array
    anew: Array
    turned: Array
    noisy: Array
    began: Array

    def busy(self) -> set[int]:
        """The streams of which there is something to tell."""
        told = self.broke | self.turned | self.began
        found = {place for place, own in enumerate(self.peaks) if own}
        if told.any() or self.anew.any():
            found.update(np.flatnonzero(told | self.anew.any(axis=1)).tolist())
        return found


class PeakFinder:
    """Detector and decoder, for all streams at once."""

    def __init__(
        self, network: Network, told: PeakNetwork, decoder: PeakDecoder, leads: int
    ) -> None:
        self._network, self._decoder, self._signal = network, decoder, told.signal
        self._leads, self._hop, self._enough = leads, told.hop_rows, told.receptive_field_rows

    def start(self) -> Arrays:
        """One stream before its first hop."""
        return {
            "memory": self._network.start(self._leads),
            "since": np.zeros(self._leads, np.int64),
            "anew": np.ones(self._leads, np.bool_),
            "counts": np.zeros(self._leads, np.bool_),
            "following": np.array(0, np.int64),
            **{_PEAKS + name: array for name, array in self._decoder.start().items()},
        }

    def step(self, state: Arrays, hops: HopBatch) -> tuple[Arrays, Found]:
        """One hop of each stream.

        Args:
            state: as in `start`, streams first.
            hops: of each stream.
        """
        anew = state["anew"]
        if hops.calm and not anew.any():
            heard, fresh = np.ones_like(anew), np.zeros_like(anew)
            since = state["since"] + self._hop
            counts = since >= self._enough
        else:
            inside = hops.begins & INSIDE > 0
            anew = anew | (hops.begins > 0)
            heard = ((hops.flags & INVALID) == 0) & ~inside
            fresh = anew & heard
            since = np.where(fresh, 0, state["since"]) + self._hop
            counts = heard & (since >= self._enough) & ((hops.flags & WARMUP) == 0)
            anew = np.where(heard, False, anew | inside)
        frames, memory = self._asked(state["memory"], hops, heard, fresh)
        was: Array = _some(state["counts"])
        alive: Array = _some(counts)
        told = fused(frames, counts)
        began, broke = alive & ~was, was & ~alive
        before = _of_decoder(state)
        peaks, found = self._decoder.step(before, hops.rows, told, alive, began)
        after = {
            "memory": memory,
            "since": since,
            "anew": anew,
            "counts": counts,
            "following": hops.rows + self._hop,
            **{_PEAKS + name: array for name, array in peaks.items()},
        }
        rest = np.where(broke[:, None], state["counts"], counts) if broke.any() else counts
        turned = before["noisy"] != peaks["noisy"]
        return after, Found(found, broke, rest, fresh, turned, peaks["noisy"], began)

    def broken(self, state: Arrays) -> tuple[Arrays, Found]:
        """Of each stream the rows jumped: the peaks that waited for later frames are certain."""
        streams = len(state["counts"])
        no = np.zeros(streams, np.bool_)
        silence = np.zeros((streams, self._decoder.frames, 3), np.float32)
        before, was = _of_decoder(state), state["counts"]
        peaks, found = self._decoder.step(before, state["following"], silence, no, no)
        after = {
            **state,
            "counts": np.zeros_like(was),
            "anew": np.ones_like(was),
            **{_PEAKS + name: array for name, array in peaks.items()},
        }
        turned = before["noisy"] != peaks["noisy"]
        nobody = np.zeros_like(was)
        broke = np.asarray(was.any(axis=1))
        return after, Found(found, broke, was, nobody, turned, peaks["noisy"], no)

    def _asked(
        self, memory: Array, hops: HopBatch, heard: Array, fresh: Array
    ) -> tuple[Array, Array]:
        """Frames (streams, leads, frames, 3) and memory; of leads that are not heard zeros."""
        shape = (*heard.shape, self._decoder.frames, 3)
        values = hops.values.transpose(0, 2, 1)  # (streams, leads, hop)
        if heard.all():
            given = memory.reshape(heard.size, -1)
            if fresh.any():
                given = np.where(fresh.reshape(-1, 1), np.float32(0), given)
            rows = np.ascontiguousarray(values).reshape(heard.size, 1, self._hop)
            answer, kept = self._network({self._signal: rows}, given)
            return answer.reshape(shape), kept.reshape(memory.shape)
        frames = np.zeros(shape, np.float32)
        if not heard.any():
            return frames, memory
        given = np.where(fresh[heard][:, None], np.float32(0), memory[heard])
        answer, kept = self._network({self._signal: values[heard][:, None]}, given)
        after = memory.copy()
        frames[heard], after[heard] = answer, kept
        return frames, after


def _of_decoder(state: Arrays) -> Arrays:
    return {name[len(_PEAKS) :]: a for name, a in state.items() if name.startswith(_PEAKS)}


def _some(leads: Array) -> Array:
    """(streams,) whether one of the leads."""
    return leads[:, 0] if leads.shape[1] == 1 else np.asarray(leads.any(axis=1))
