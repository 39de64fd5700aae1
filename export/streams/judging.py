"""Answers against the experts' annotations, as EC57 counts, and the thresholds that do best."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

import numpy as np

from edge_dx import ec57
from edge_dx.ecg.beats import BeatRule, log_probabilities
from edge_dx.ecg.events import LABELS, Label
from edge_dx.ecg.rhythm import Episodes
from edge_dx.manifest import Estimate
from edge_dx.tensors import Array
from export.streams.following import Beats, Peaks, chance
from export.streams.recordings import Recording

_TIE = 0.002
"""Thresholds whose objective is so near to the best are as good: a fifth of a percent is far less
than what the choice of patients moves it by, and without it a single beat would move thresholds."""
DETECTION = tuple(np.round(np.arange(0.15, 0.61, 0.05), 2).tolist())
_V = tuple(np.round(np.arange(0.1, 0.96, 0.025), 3).tolist())
_S = _V
BEGINS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)
ENDS = (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6)
_OTHER = len(LABELS)


def protocol_of(mapping: str, *, from_s: float = 300.0) -> ec57.Protocol:
    """EC57's protocol."""
    return ec57.Protocol(ec57.MAPPINGS[mapping], from_s=from_s)


def samples_of(recording: Recording, rows: Array) -> Array:
    """Device samples of rows."""
    return np.maximum(np.asarray(recording.clock.when(rows), np.int64), 0)


def tally_of(
    recording: Recording, rows: Array, labels: Iterable[str], protocol: ec57.Protocol,
    rhythms: Iterable[tuple[int, str]] = (),
) -> ec57.Tally:  # fmt: skip
    """One recording's counts; `rhythms` are by row."""
    samples = samples_of(recording, rows).tolist()
    turned = [(int(samples_of(recording, np.array([row]))[0]), told) for row, told in rhythms]
    test = ec57.annotated(
        list(zip(samples, labels, strict=True)), rhythms=turned, rate_hz=recording.rate_hz
    )
    return ec57.compare(
        recording.reference, test, protocol, rate_hz=recording.rate_hz, samples=recording.samples,
        record=recording.name, patient=recording.patient,
    )  # fmt: skip


def detected(
    recordings: Sequence[Recording], peaks: Sequence[Peaks], protocol: ec57.Protocol
) -> ec57.Evaluation:
    """How well beats are found."""
    tallies = [
        tally_of(own, found.rows, "N" * len(found.peaks), protocol)
        for own, found in zip(recordings, peaks, strict=True)
    ]
    return ec57.evaluate(tallies, protocol)


def fit_detection(
    recordings: Sequence[Recording], peaks_at: Callable[[float], list[Peaks]],
    protocol: ec57.Protocol, near: float | None = None,
) -> float:  # fmt: skip
    """The threshold with the highest F1 of QRS complexes, from the test periods pooled.

    Args:
        recordings: with their references.
        peaks_at: peaks by a threshold.
        protocol: of the comparison. To choose by, a peak belongs to the nearest reference beat
            within the window; the figures are made with EC57's own matching.
        near: of the good ones, the nearest to this one is taken; the middle of them where None.
    """
    wanted = [_beats_of(recording, protocol) for recording in recordings]
    scores = []
    for threshold in DETECTION:
        right = both = 0
        for own, found, beats in zip(recordings, peaks_at(threshold), wanted, strict=True):
            samples = samples_of(own, found.rows)
            samples = samples[samples >= protocol.from_s * own.rate_hz]
            right += _paired(beats, samples, protocol.window_s * own.rate_hz)
            both += len(beats) + len(samples)
        scores.append(2 * right / max(both, 1))
    choices = [(t,) for t in DETECTION]
    return _best(choices, np.array(scores), None if near is None else (near,))[0]


def _beats_of(recording: Recording, protocol: ec57.Protocol) -> Array:
    """Samples of the reference beats of the test period."""
    samples = np.array([beat.sample for beat in recording.reference.beats], np.int64)
    return samples[samples >= protocol.from_s * recording.rate_hz]


def _paired(reference: Array, test: Array, window: float) -> int:
    """Reference beats that have a test beat of their own within the window."""
    if not len(reference) or not len(test):
        return 0
    after = np.clip(np.searchsorted(reference, test), 1, len(reference) - 1)
    before = reference[after - 1]
    nearest = np.where(test - before <= reference[after] - test, after - 1, after)
    hits = nearest[np.abs(reference[nearest] - test) <= window]
    return len(np.unique(hits))


def truth_of(recording: Recording, beats: Beats, protocol: ec57.Protocol) -> Array:
    """(n,) class of the reference beat that belongs to each beat: its place in `LABELS`, 5 where
    there is none, -1 where it does not count."""
    tally = tally_of(recording, beats.rows, "N" * len(beats.rows), protocol)
    by_sample = {
        pair.test: LABELS.index(cast(Label, pair.labels[0].upper()))
        if pair.labels[0].upper() in LABELS else _OTHER
        for pair in tally.matched.pairs
        if pair.test is not None and pair.labels[1].upper() == "N"
    }  # fmt: skip
    samples = samples_of(recording, beats.rows).tolist()
    return np.array([by_sample.get(sample, -1) for sample in samples], np.int64)


def probabilities(logits: Array) -> Array:
    """Softmax in double precision, as the runtime's rule has it of one lead."""
    return np.array([np.exp(log_probabilities(row[None])) for row in logits])


def fit_classes(
    truths: Sequence[Array], logits: Sequence[Array], near: dict[Label, float] | None = None
) -> dict[Label, float]:
    """V's and S's thresholds with the highest sum of their F1, from the test periods pooled.

    Args:
        truths: of each recording, as `truth_of`.
        logits: of each recording.
        near: as of `fit_detection`.
    """
    truth, told = np.concatenate(truths), np.concatenate([probabilities(x) for x in logits])
    counts = truth >= 0
    truth, p = truth[counts], told[counts]
    pairs, scores = [], []
    for v in _V:
        is_v = p[:, 2] >= v
        for s in _S:
            is_s = ~is_v & (p[:, 1] >= s)
            pairs.append((v, s))
            scores.append(_f1(truth, is_v, 2, {3, 4}) + _f1(truth, is_s, 1, {4}))
    v, s = _best(pairs, np.array(scores), None if near is None else (near["V"], near["S"]))
    return {"V": v, "S": s}


def _f1(truth: Array, said: Array, label: int, ignored: set[int]) -> float:
    """EC57's: what is said of classes in `ignored` counts neither way."""
    right = float((said & (truth == label)).sum())
    claimed = float((said & ~np.isin(truth, list(ignored))).sum())
    return 2 * right / max(claimed + float((truth == label).sum()), 1.0)


def labels_of(logits: Array, thresholds: dict[Label, float]) -> list[Label]:
    """Classes by the runtime's rule."""
    rule = BeatRule(thresholds)
    return [rule(log_probabilities(row[None])).label for row in logits]


def rhythms_of(beats: Beats, logits: Array, begins: float, ends: float) -> list[tuple[int, str]]:
    """Rhythm annotations by row, as the runtime's episodes have them."""
    follower = Episodes(begins, ends)
    state = follower.start()
    found: list[tuple[int, str]] = []
    for row, fresh, logit in zip(beats.rows, beats.anew, logits[:, 0], strict=True):
        if fresh:
            state, turns = follower.broken(state, int(row))
            found += [(turn.row, "(N") for turn in turns]
        state, turns = follower.beat(state, int(row), chance(float(logit)))
        found += [(t.row, "(AFIB" if t.change == "begins" else "(N") for t in turns]
    return found


def fit_rhythm(
    recordings: Sequence[Recording], beats: Sequence[Beats], logits: Sequence[Array],
    protocol: ec57.Protocol, near: tuple[float, float] | None = None,
) -> tuple[float, float]:  # fmt: skip
    """The thresholds with the highest F1 of time in atrial fibrillation."""
    pairs, scores = [], []
    for begins in BEGINS:
        for ends in ENDS:
            if ends > begins:
                continue
            counts = np.zeros(8)
            for own, asked, said in zip(recordings, beats, logits, strict=True):
                told = rhythms_of(asked, said, begins, ends)
                rows, labels = asked.rows, "N" * len(asked.rows)
                counts += tally_of(own, rows, labels, protocol, told).counts["atrial_fibrillation"]
            se, pp = counts[2] / max(counts[3], 1e-9), counts[6] / max(counts[7], 1e-9)
            pairs.append((begins, ends))
            scores.append(2 * se * pp / max(se + pp, 1e-9))
    begins, ends = _best(pairs, np.array(scores), near)
    return begins, ends


def estimate(value: ec57.Value, n: int) -> Estimate | None:
    """A figure of EC57 as the manifest keeps it."""
    if value.value is None:
        return None
    low, high = (value.low, value.high) if value.low is not None else (0.0, 1.0)
    assert high is not None, "both ends or none"
    return Estimate(value=round(value.value, 5), low=round(low, 5), high=round(high, 5), n=n)


def _best(
    choices: Sequence[tuple[Any, ...]], scores: Array, near: tuple[float, ...] | None
) -> tuple[float, ...]:
    """Of those that are as good as the best: the nearest to `near`, or to the middle of them."""
    good = np.array([c for c, s in zip(choices, scores, strict=True) if s >= scores.max() - _TIE])
    wanted = good.mean(axis=0) if near is None else np.array(near)
    apart = np.abs(good - wanted).sum(axis=1)
    return tuple(float(value) for value in good[int(np.argmin(apart))])
