"""The graphs of a stream, each with what it remembers packed into one array.

The backends stay stateless: before a call the packed memory is laid out as the named tensors of
the manifest, and what comes out is packed again. A file whose batch is fixed to one is called once
for each row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_dx.backends import Backend
from edge_dx.errors import EngineFailed, ManifestError, TensorMismatch
from edge_dx.manifest import Manifest, StatePair, tensors_of
from edge_dx.tensors import Array

Tap = Callable[[str, Array], Any]
"""Told of every answer of a network, by the network's name: what a proof compares."""


class Network:
    """One graph.

    Attributes:
        name: `detector`, `at_once`, `one_beat_late` or `rhythm`.
        width: numbers that it remembers of one row of the batch.
    """

    def __init__(
        self, manifest: Manifest, name: str, backend: Backend, *, one_by_one: bool = False
    ) -> None:
        """Prepares to call.

        Args:
            manifest: the bundle's.
            name: of the network.
            backend: with its file.
            one_by_one: the file takes a batch of one.

        Raises:
            ManifestError: the bundle has no such network.
        """
        takes, gives = tensors_of(manifest, name)
        pairs = _pairs(manifest, name)
        self.name, self._backend, self._one_by_one = name, backend, one_by_one
        self._answer = gives[0].name
        self._takes = {t.name: t.shape for t in takes[: len(takes) - len(pairs)]}
        self._states: list[tuple[str, str, slice, tuple[int, ...]]] = []
        at = 0
        for pair in pairs:
            size = int(np.prod(pair.shape))
            self._states.append((pair.input, pair.output, slice(at, at + size), pair.shape))
            at += size
        self.width = at
        self.tap: Tap | None = None

    @property
    def built(self) -> str | None:
        """What the engine compiled; see `Backend.built`."""
        return self._backend.built

    def start(self, rows: int) -> Array:
        """Memory at a beginning, (rows, width)."""
        return np.zeros((rows, self.width), np.float32)

    def __call__(self, feeds: Mapping[str, Array], memory: Array) -> tuple[Array, Array]:
        """Asks it.

        Args:
            feeds: its inputs but the states, (batch, …).
            memory: (batch, width) float32; not written to.

        Returns:
            What it answers, (batch, …), and the memory for the next call.

        Raises:
            TensorMismatch: the feeds do not fit.
            EngineFailed: the engine raised, or gave what is no number.
        """
        if feeds.keys() != self._takes.keys():
            raise TensorMismatch(
                f"the network {self.name} takes {', '.join(self._takes)}, not {', '.join(feeds)}"
            )
        if self._one_by_one and len(memory) > 1:
            parts = [
                self._run({name: array[row : row + 1] for name, array in feeds.items()},
                          memory[row : row + 1])
                for row in range(len(memory))
            ]  # fmt: skip
            answer, after = (np.concatenate([part[side] for part in parts]) for side in (0, 1))
        else:
            answer, after = self._run(feeds, memory)
        if self.tap is not None:
            self.tap(self.name, answer)
        return answer, after

    def _run(self, feeds: Mapping[str, Array], memory: Array) -> tuple[Array, Array]:
        rows = len(memory)
        given = dict(feeds)
        for name, _, part, shape in self._states:
            given[name] = memory[:, part].reshape(rows, *shape)  # of one state alone it is a view
        found = self._backend.run(given)
        answer = found[self._answer]
        if not np.isfinite(answer).all():
            raise EngineFailed(
                f"the network {self.name} gave a value that is no number; prove the bundle "
                "(edge-dx verify), or use another variant"
            )
        if len(self._states) == 1:
            return answer, found[self._states[0][1]].reshape(rows, self.width)
        after = np.empty((rows, self.width), np.float32)
        for _, name, part, _ in self._states:
            after[:, part] = found[name].reshape(rows, -1)
        return answer, after

    def close(self) -> None:
        """Lets go of the engine."""
        self._backend.close()


def _pairs(manifest: Manifest, name: str) -> tuple[StatePair, ...]:
    network = None if not manifest.stream else manifest.stream.network(name)
    if network is None:
        raise ManifestError(f"bundle {manifest.name} has no network {name!r}", "manifest.json")
    return network.states
