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
_TIE_RHYTHM = 0.01
"""Likewise of atrial fibrillation, where five patients decide."""
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
        near: of the good ones, the nearest to this one is taken; where None, the one with the most
            even sensitivity and positive predictivity.
    """
    wanted = [_beats_of(recording, protocol) for recording in recordings]
    scores, uneven = [], []
    for threshold in DETECTION:
        right = said = there = 0
        for own, found, (beats, flutter) in zip(
            recordings, peaks_at(threshold), wanted, strict=True
        ):
            samples = samples_of(own, found.rows)
            for first, last in flutter:
                samples = samples[(samples < first) | (samples > last)]
            samples = samples[samples >= protocol.from_s * own.rate_hz]
            right += _paired(beats, samples, protocol.window_s * own.rate_hz)
            there, said = there + len(beats), said + len(samples)
        scores.append(2 * right / max(there + said, 1))
        uneven.append(abs(right / max(there, 1) - right / max(said, 1)))
    choices = [(t,) for t in DETECTION]
    wanted_near = None if near is None else (near,)
    return _best(choices, np.array(scores), wanted_near, np.array(uneven))[0]


def _beats_of(recording: Recording, protocol: ec57.Protocol) -> tuple[Array, Array]:
    """Samples of the reference beats of the test period, and (n, 2) where the ventricles flutter:
    what is found there does not count, as EC57 has it, and the waves there are no beats."""
    classes = protocol.mapping.table
    flutter: list[tuple[int, int]] = []
    began: int | None = None
    samples = []
    for item in recording.reference:
        if item.symbol == "[":
            began = item.sample
        elif item.symbol == "]" and began is not None:
            flutter.append((began, item.sample))
            began = None
        elif classes.get(item.symbol, "") in LABELS:
            samples.append(item.sample)
    found = np.array(samples, np.int64)
    beats = found[found >= protocol.from_s * recording.rate_hz]
    return beats, np.array(flutter, np.int64).reshape(-1, 2)


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
    """V's and S's thresholds, from the test periods pooled: the highest sum of V's smaller one of
    sensitivity and positive predictivity and S's F1.

    V is to be found and to be believed alike; of S more are missed than told wrongly, or the other
    way round, by the patient.

    Args:
        truths: of each recording, as `truth_of`.
        logits: of each recording.
        near: as of `fit_detection`.
    """
    truth, told = np.concatenate(truths), np.concatenate([probabilities(x) for x in logits])
    counts = truth >= 0
    truth, p = truth[counts], told[counts]
    pairs, scores, uneven = [], [], []
    for v in _V:
        is_v = p[:, 2] >= v
        _, apart_v, least_v = _f1(truth, is_v, 2, {3, 4})
        for s in _S:
            f1_s, apart_s, _ = _f1(truth, ~is_v & (p[:, 1] >= s), 1, {4})
            pairs.append((v, s))
            scores.append(least_v + f1_s)
            uneven.append(apart_v + apart_s)
    wanted = None if near is None else (near["V"], near["S"])
    v, s = _best(pairs, np.array(scores), wanted, np.array(uneven))
    return {"V": v, "S": s}


def _f1(truth: Array, said: Array, label: int, ignored: set[int]) -> tuple[float, float, float]:
    """F1, by how much sensitivity and positive predictivity lie apart, and the smaller one; EC57's:
    what is said of classes in `ignored` counts neither way."""
    right = float((said & (truth == label)).sum())
    claimed = float((said & ~np.isin(truth, list(ignored))).sum())
    there = float((truth == label).sum())
    found, believed = right / max(there, 1.0), right / max(claimed, 1.0)
    f1 = 2 * right / max(claimed + there, 1.0)
    return f1, abs(found - believed), min(found, believed)


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
    """The thresholds with the highest smaller one of sensitivity and positive predictivity by time
    in atrial fibrillation, all recordings pooled: it is to be found and to be believed alike.

    The highest F1, every recording weighing alike, was tried: it bought 2 % of sensitivity with
    five times as many false episodes (19 instead of 4 in 9.4 hours), most of them in ectopy.
    """
    pairs, scores, uneven = [], [], []
    for begins in BEGINS:
        for ends in ENDS:
            if ends > begins:
                continue
            counts = np.zeros(8)
            for own, asked, said in zip(recordings, beats, logits, strict=True):
                told = rhythms_of(asked, said, begins, ends)
                rows, labels = asked.rows, "N" * len(asked.rows)
                found = tally_of(own, rows, labels, protocol, told).counts["atrial_fibrillation"]
                counts += found
            se, pp = counts[2] / max(counts[3], 1e-9), counts[6] / max(counts[7], 1e-9)
            pairs.append((begins, ends))
            scores.append(min(se, pp))
            uneven.append(abs(se - pp))
    begins, ends = _best(pairs, np.array(scores), near, np.array(uneven), _TIE_RHYTHM)
    return begins, ends


def estimate(value: ec57.Value, n: int) -> Estimate | None:
    """A figure of EC57 as the manifest keeps it."""
    if value.value is None:
        return None
    low, high = (value.low, value.high) if value.low is not None else (0.0, 1.0)
    assert high is not None, "both ends or none"
    return Estimate(value=round(value.value, 5), low=round(low, 5), high=round(high, 5), n=n)


def _best(
    choices: Sequence[tuple[Any, ...]], scores: Array, near: tuple[float, ...] | None,
    uneven: Array, tie: float = _TIE,
) -> tuple[float, ...]:  # fmt: skip
    """Of those that are as good as the best: the nearest to `near`, or the least uneven."""
    as_good = scores >= scores.max() - tie
    good = np.array([c for c, s in zip(choices, as_good, strict=True) if s])
    apart = uneven[as_good] if near is None else np.abs(good - np.array(near)).sum(axis=1)
    return tuple(float(value) for value in good[int(np.argmin(apart))])
