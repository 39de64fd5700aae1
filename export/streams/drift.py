"""The half hour: which variants, which experiments, and what is asked of them."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping

import msgspec
import numpy as np

from edge_dx.ecg.events import Label
from edge_dx.ecg.networks import Network
from edge_dx.manifest import Manifest, Stream
from edge_dx.manifest.stream import NetworkName
from edge_dx.tensors import Array
from export.errors import ParityFailed
from export.streams import judging
from export.streams.following import Asked, Beats, Frames, logits_of, peaks_of
from export.streams.judged import Judge
from export.streams.recipe import Recipe
from export.streams.rollout import ROUNDED, Drift, Rounded, beat_drift, detector_drift, scales_of

_DETECTION = 0.35
_CLASSES: dict[Label, float] = {"V": 0.5, "S": 0.5}
"""Thresholds that events are counted at here; those that are fitted come later."""
_CALIBRATED_HOPS = 3000


class Drifts:
    """Rolls everything over one recording.

    Attributes:
        recording: which.
        beats: of each network that is asked per beat, what it is asked.
    """

    def __init__(
        self, recipe: Recipe, manifest: Manifest, reference: Mapping[str, Network], judge: Judge,
        say: Callable[[str], None],
    ) -> None:  # fmt: skip
        assert isinstance(manifest.stream, Stream), "the exporter of streams made it"
        self._recipe, self._stream, self._torch, self._judge = (
            recipe, manifest.stream, reference, judge,
        )  # fmt: skip
        self._say = say
        name = recipe.told.data.rollout.rpartition("/")[2]
        self.recording = next(r for r in judge.recordings if r.name == name)
        self.beats: dict[NetworkName, Beats] = {}

    def run(self, variants: Mapping[str, Mapping[str, Asked]]) -> tuple[list[Drift], list[str]]:
        """Drift of all networks of all variants, and the gate of parity in words.

        Raises:
            ParityFailed: a float32 file differs from the module by more than the recipe allows.
        """
        recording, told = self.recording, self._stream.detector
        minutes = recording.samples / recording.rate_hz / 60
        self._say(f"rolling all variants over {minutes:.0f} minutes of record {recording.name}")
        own: dict[str, Asked] = {name: found["detector"] for name, found in variants.items()}
        sizes = [int(np.prod(pair.shape)) for pair in told.states]
        own[ROUNDED] = Rounded(self._torch["detector"], self._scales(sizes))
        drifts, frames = detector_drift(self._torch["detector"], own, told, recording)
        found = [self._detections(drift, frames) for drift in drifts.values()]
        answers = {"detector": frames["torch"]}
        peaks = peaks_of(told, self._frames(frames["torch"]), _DETECTION)[0]
        names: list[NetworkName] = [part.answer for part in self._stream.beats]
        if self._stream.rhythm is not None:
            names.append("rhythm")
        for name in names:
            self.beats[name] = self._judge.asked(recording, peaks, name)
            more, logits = self._beat_network(name, variants)
            found += more
            answers[name] = logits
        return found, [self._parity(found, name, largest(answers)) for name in variants
                       if name.endswith("fp32")]  # fmt: skip

    def _frames(self, frames: Array) -> Frames:
        alive = np.ones(len(frames[0]), np.bool_)
        alive[: self._stream.detector.receptive_field_rows // self._stream.detector.hop_rows] = (
            False
        )
        return Frames([frames[0]], [alive])

    def _scales(self, sizes: list[int]) -> Array:
        """Of the state in eight bits: the largest value of the first minutes fits."""
        told, network = self._stream.detector, self._torch["detector"]
        memory, kept = network.start(1), []
        for hop in range(min(_CALIBRATED_HOPS, len(self.recording.rows) // told.hop_rows)):
            rows = self.recording.rows[hop * told.hop_rows : (hop + 1) * told.hop_rows, 0]
            _, memory = network({told.signal: rows[None, None]}, memory)
            kept.append(memory)
        return scales_of(kept, sizes)

    def _detections(self, drift: Drift, frames: Mapping[str, Array]) -> Drift:
        told = self._stream.detector
        rows = [
            peaks_of(told, self._frames(frames[name]), _DETECTION)[0].rows.tolist()
            for name in ("torch", drift.variant)
        ]
        same = sum(any(abs(row - other) <= 10 for other in _near(rows[1], row)) for row in rows[0])
        changed = len(rows[0]) + len(rows[1]) - 2 * same
        return msgspec.structs.replace(drift, events=len(rows[0]), changed=changed)

    def _beat_network(
        self, name: NetworkName, variants: Mapping[str, Mapping[str, Asked]]
    ) -> tuple[list[Drift], Array]:
        network, beats = self._torch[name], self.beats[name]
        memories: list[Array] = []
        logits_of(network, [_part(beats, 300)], memories)
        scale = scales_of(memories, [network.width])
        own: dict[str, Asked] = {variant: found[name] for variant, found in variants.items()}
        own[ROUNDED] = Rounded(network, scale)
        drifts, logits = beat_drift(name, network, own, beats)
        found = []
        for variant, drift in drifts.items():
            said = [self._said(name, logits[n]) for n in ("torch", variant)]
            changed = int((said[0] != said[1]).sum())
            found.append(msgspec.structs.replace(drift, events=len(said[0]), changed=changed))
        return found, logits["torch"]

    def _said(self, name: str, logits: Array) -> Array:
        if name == "rhythm":
            return np.asarray(logits[:, 0] > 0)
        return np.array(judging.labels_of(logits, _CLASSES))

    def _parity(self, found: list[Drift], variant: str, scale: Mapping[str, float]) -> str:
        limit, told = self._recipe.told.limits.parity, []
        for drift in found:
            if drift.variant != variant:
                continue
            off = drift.worst / max(1.0, scale[drift.network])
            told.append(f"{drift.network} {off:.1e}")
            if not off <= limit:
                raise ParityFailed(
                    f"{variant}: {drift.network} is off by {off:.2g} of its largest answer over "
                    f"{drift.calls} calls, limits.parity allows {limit:g}: the file computes "
                    "something else than the module"
                )
        return f"{variant}: largest difference from torch over the rollout: {', '.join(told)}"


def largest(answers: Mapping[str, Array]) -> dict[str, float]:
    """Of each network the largest absolute answer."""
    return {name: float(np.abs(array).max()) for name, array in answers.items()}


def _part(beats: Beats, n: int) -> Beats:
    return Beats(beats.rows[:n], {k: a[:n] for k, a in beats.feeds.items()}, beats.anew[:n])


def _near(rows: list[int], row: int) -> list[int]:
    return rows[bisect.bisect_left(rows, row - 10) : bisect.bisect_right(rows, row + 10)]
