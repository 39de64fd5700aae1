"""A variant over all recordings: frames, peaks, classes and rhythm, by the networks that may judge.

Thresholds of a variant are fitted to what networks of that very encoding say of patients that they
have not learned from. Where the recipe gives folds, each fold's network is made into the variant's
files, quantized with ranges of the patients that it knows, and judges those that it does not; the
answers of all folds together are what a threshold is fitted to.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_dx.ecg.detect import PeakDecoder
from edge_dx.ecg.events import Label
from edge_dx.manifest import Manifest, Stream
from edge_dx.manifest.stream import Answer, NetworkName
from edge_dx.tensors import Array
from export.streams import judging
from export.streams.following import (
    Asked,
    Beats,
    Frames,
    Peaks,
    beats_of,
    frames_of,
    logits_of,
    peaks_of,
    rhythm_beats_of,
)
from export.streams.recipe import RecordsPart
from export.streams.recordings import Recording

Network = Callable[[NetworkName, Recording], Asked]
"""Which network judges a recording."""


@dataclass(frozen=True)
class Thresholds:
    """Of one variant.

    Attributes:
        detection: of a beat.
        classes: of each answer, V and S.
        rhythm: begins and ends.
    """

    detection: float
    classes: Mapping[Answer, dict[Label, float]] = field(default_factory=dict)
    rhythm: tuple[float, float] | None = None


@dataclass(frozen=True, eq=False)
class Judged:
    """What a variant made of the recordings, in their order.

    Attributes:
        peaks: R peaks.
        beats: of each answer, the beats.
        logits: of each answer and of the rhythm.
        labels: of each answer, classes.
        rhythms: annotations by row.
    """

    thresholds: Thresholds
    peaks: list[Peaks] = field(repr=False)
    beats: dict[NetworkName, list[Beats]] = field(repr=False)
    logits: dict[NetworkName, list[Array]] = field(repr=False)
    labels: dict[NetworkName, list[list[Label]]] = field(repr=False)
    rhythms: list[list[tuple[int, str]]] = field(repr=False)


class Judge:
    """Runs variants over recordings; what depends on the peaks alone is made once.

    Args:
        manifest: with the stream's part.
        recordings: all of them.
        part: how they are compared.
    """

    def __init__(
        self, manifest: Manifest, recordings: Sequence[Recording], part: RecordsPart
    ) -> None:
        assert isinstance(manifest.stream, Stream), "the exporter of streams made it"
        self.stream, self.recordings = manifest.stream, list(recordings)
        self.protocol = judging.protocol_of(part.mapping, from_s=part.from_s)
        self._beats: dict[tuple[str, str, bytes], Beats] = {}

    @property
    def wait(self) -> int:
        """Rows from a peak to the hop that makes it certain."""
        told = self.stream.detector
        frames = told.hop_rows // told.stride_rows
        return PeakDecoder(
            threshold=0.5, delay=told.delay_rows, stride=told.stride_rows, frames=frames
        ).wait

    def frames(self, network: Network) -> Frames:
        """The detectors' frames of all recordings."""
        groups: dict[int, tuple[Asked, list[int]]] = {}
        for n, recording in enumerate(self.recordings):
            own = network("detector", recording)
            groups.setdefault(id(own), (own, []))[1].append(n)
        frames: dict[int, Array] = {}
        alive: dict[int, Array] = {}
        for own, places in groups.values():
            said = frames_of(own, self.stream.detector, [self.recordings[n] for n in places])
            frames |= dict(zip(places, said.frames, strict=True))
            alive |= dict(zip(places, said.alive, strict=True))
        order = range(len(self.recordings))
        return Frames([frames[n] for n in order], [alive[n] for n in order])

    def judged(
        self, network: Network, said: Frames, thresholds: Thresholds | None = None,
        near: Thresholds | None = None,
    ) -> Judged:  # fmt: skip
        """All that follows from frames.

        Args:
            network: which one judges a recording.
            said: the frames.
            thresholds: to be used; None fits them.
            near: of those that are as good as the best, the nearest to these are taken.
        """
        told = self.stream.detector
        if thresholds is None:
            detection = judging.fit_detection(
                self.recordings,
                lambda threshold: peaks_of(told, said, threshold),
                self.protocol,
                near.detection if near else None,
            )
        else:
            detection = thresholds.detection
        peaks = peaks_of(told, said, detection)
        beats, logits = dict[NetworkName, list[Beats]](), dict[NetworkName, list[Array]]()
        labels = dict[NetworkName, list[list[Label]]]()
        classes = dict[Answer, dict[Label, float]]()
        for part in self.stream.beats:
            answer = part.answer
            beats[answer] = self.beats(peaks, answer)
            logits[answer] = self._asked(network, answer, beats[answer])
            if thresholds is None:
                truths = [
                    judging.truth_of(recording, own, self.protocol)
                    for recording, own in zip(self.recordings, beats[answer], strict=True)
                ]
                classes[answer] = judging.fit_classes(
                    truths, logits[answer], near.classes[answer] if near else None
                )
            else:
                classes[answer] = thresholds.classes[answer]
            labels[answer] = [judging.labels_of(own, classes[answer]) for own in logits[answer]]
        rhythm, rhythms = None, [list[tuple[int, str]]() for _ in peaks]
        if self.stream.rhythm is not None:
            beats["rhythm"] = [rhythm_beats_of(own, 250) for own in peaks]
            logits["rhythm"] = self._asked(network, "rhythm", beats["rhythm"])
            asked, found = beats["rhythm"], logits["rhythm"]
            if thresholds is None:
                rhythm = judging.fit_rhythm(
                    self.recordings, asked, found, self.protocol, near.rhythm if near else None
                )
            else:
                rhythm = thresholds.rhythm
            assert rhythm is not None, "thresholds of a rhythm belong to a rhythm network"
            rhythms = [
                judging.rhythms_of(own, x, *rhythm) for own, x in zip(asked, found, strict=True)
            ]
        return Judged(Thresholds(detection, classes, rhythm), peaks, beats, logits, labels, rhythms)

    def beats(self, peaks: Sequence[Peaks], answer: Answer) -> list[Beats]:
        """All recordings' beats with these peaks; the same peaks are followed once."""
        keys = [
            (recording.name, answer, own.rows.tobytes())
            for recording, own in zip(self.recordings, peaks, strict=True)
        ]
        new = [n for n, key in enumerate(keys) if key not in self._beats]
        found = beats_of(
            [self.recordings[n] for n in new], [peaks[n] for n in new], answer,
            self.stream.detector, self.wait,
        )  # fmt: skip
        self._beats |= {keys[n]: own for n, own in zip(new, found, strict=True)}
        return [self._beats[key] for key in keys]

    def asked(self, recording: Recording, peaks: Peaks, name: NetworkName) -> Beats:
        """What a network is asked about a recording with these peaks."""
        if name == "rhythm":
            return rhythm_beats_of(peaks, 250)
        assert name != "detector", "that one is asked about hops"
        return beats_of([recording], [peaks], name, self.stream.detector, self.wait)[0]

    def _asked(self, network: Network, name: NetworkName, beats: Sequence[Beats]) -> list[Array]:
        groups: dict[int, tuple[Asked, list[int]]] = {}
        for n, recording in enumerate(self.recordings):
            own = network(name, recording)
            groups.setdefault(id(own), (own, []))[1].append(n)
        found: dict[int, Array] = {}
        for own, places in groups.values():
            answers = logits_of(own, [beats[n] for n in places])
            found |= dict(zip(places, answers, strict=True))
        return [found[n] for n in range(len(self.recordings))]


def changed(one: Judged, other: Judged, name: NetworkName) -> tuple[int, int]:
    """Beats of `one`, and how many of them `other` does not have or calls otherwise, and those that
    it has too many.

    Two beats are the same where they lie within 10 rows (40 ms) of each other.
    """
    total = differ = 0
    for n, own in enumerate(one.peaks):
        mine = _told(one, name, n)
        theirs = dict(_told(other, name, n))
        total += len(own.peaks)
        rows = sorted(theirs)
        used = set[int]()
        for row, label in mine:
            near = [r for r in _near(rows, row) if r not in used]
            if near:
                used.add(near[0])
            if not near or theirs[near[0]] != label:
                differ += 1
        differ += len(rows) - len(used)
    return total, differ


def _told(judged: Judged, name: NetworkName, n: int) -> list[tuple[int, str]]:
    if name == "detector":
        return [(peak.row, "") for peak in judged.peaks[n].peaks]
    if name == "rhythm":
        # Before the first episode as between two: a short one at the front changes its own beats.
        told, within, turns = [], "(N", list(judged.rhythms[n])
        for row in judged.beats[name][n].rows.tolist():
            while turns and turns[0][0] <= row:
                within = turns.pop(0)[1]
            told.append((row, within))
        return told
    return list(zip(judged.beats[name][n].rows.tolist(), judged.labels[name][n], strict=True))


def _near(rows: Sequence[int], row: int) -> list[int]:
    low, high = bisect.bisect_left(rows, row - 10), bisect.bisect_right(rows, row + 10)
    return sorted(rows[low:high], key=lambda other: abs(other - row))
