"""All that is measured of a variant: its thresholds, figures, drift, tolerance and latency."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edge_dx import ec57
from edge_dx.backends import Backend
from edge_dx.manifest import Figure, Manifest, OperatingPoint, PeakNetwork, Stream
from edge_dx.manifest.stream import NetworkName
from edge_dx.manifest.stream_checks import BEGINS, ENDS, PEAK
from edge_dx.tensors import Array
from export.streams import judging
from export.streams.following import Asked, Beats, frames_of, logits_of
from export.streams.judged import Judge, Judged
from export.streams.recordings import Recording

_NOISE = 1e-6
"""Share of a value by which another processor's signal path may differ."""
_FACTOR = 4.0
_FLOOR = 1e-3
_MARGIN = 0.02
"""Half the band around a threshold."""
_CRITERIA = {
    "beat": "highest F1 of QRS complexes, the most even of those as good",
    "V": "highest sum of V's smaller one of sensitivity and +P and of S's F1",
    "S": "highest sum of V's smaller one of sensitivity and +P and of S's F1",
    "AF": "highest smaller one of sensitivity and +P by time in atrial fibrillation, the most even "
    "of those as good",
}


def points_of(
    manifest: Manifest, judge: Judge, found: Judged, unseen: str
) -> tuple[tuple[OperatingPoint, ...], tuple[Figure, ...]]:
    """Operating points and figures from what a variant made of the recordings.

    Args:
        manifest: with the stream's part.
        judge: that made it.
        found: it.
        unseen: which recordings, and whether the networks knew them, in words.
    """
    stream, thresholds = manifest.stream, found.thresholds
    assert isinstance(stream, Stream), "the exporter of streams made it"
    whole = judging.detected(judge.recordings, found.peaks, judge.protocol)
    figures = _figures(whole, ("qrs",), None, unseen)
    beat = _point("detection", stream.detector.frames, PEAK, thresholds.detection, whole, "qrs")
    points = [beat]
    for part in stream.beats:
        labels, beats = found.labels[part.answer], found.beats[part.answer]
        tallies = [
            judging.tally_of(recording, own.rows, told, judge.protocol)
            for recording, own, told in zip(judge.recordings, beats, labels, strict=True)
        ]
        whole = ec57.evaluate(tallies, judge.protocol)
        figures += _figures(whole, ("veb", "sveb"), part.answer, unseen)
        for label, kind in (("V", "veb"), ("S", "sveb")):
            value = thresholds.classes[part.answer][label]  # type: ignore[index]  # both fitted
            points.append(_point(part.answer, part.classes, label, value, whole, kind))
    if stream.rhythm is not None:
        assert thresholds.rhythm is not None, "fitted where there is a rhythm network"
        tallies = [
            judging.tally_of(r, own.rows, "N" * len(own.rows), judge.protocol, told)
            for r, own, told in zip(
                judge.recordings, found.beats["rhythm"], found.rhythms, strict=True
            )
        ]
        whole = ec57.evaluate(tallies, judge.protocol)
        figures += _figures(whole, ("af_duration", "af_episode"), None, unseen)
        for name, value in zip((BEGINS, ENDS), thresholds.rhythm, strict=True):
            points.append(_point(name, stream.rhythm.rhythm, "AF", value, whole, "af_duration"))
    return tuple(points), tuple(figures)


def _point(
    name: str, output: str, label: str, threshold: float, whole: ec57.Evaluation, kind: str
) -> OperatingPoint:
    value = whole.gross[f"{kind}_sensitivity"]
    return OperatingPoint(
        name=name, output=output, label=label, threshold=threshold,
        band=(round(max(threshold - _MARGIN, 0.0), 4), round(min(threshold + _MARGIN, 1.0), 4)),
        criterion=f"{_CRITERIA[label]}, mapping {whole.protocol.mapping.name}",
        sensitivity=judging.estimate(value, value.n), specificity=None,
    )  # fmt: skip


def _figures(
    whole: ec57.Evaluation, kinds: Sequence[str], answer: object, data: str
) -> list[Figure]:
    found = []
    told = {"qrs": "QRS", "veb": "VEB", "sveb": "SVEB", "af_duration": "AF duration",
            "af_episode": "AF episodes"}  # fmt: skip
    for kind in kinds:
        for measure in ("sensitivity", "positive_predictivity"):
            value = whole.gross[f"{kind}_{measure}"]
            kept = judging.estimate(value, value.n)
            if kept is not None:
                found.append(
                    Figure(of=told[kind], measure=measure.replace("_", " "), answer=answer,  # type: ignore[arg-type]  # one of the two or None
                           data=data, value=kept)
                )  # fmt: skip
    return found


def tolerances(
    networks: Mapping[str, Asked], told: PeakNetwork, recording: Recording,
    beats: Mapping[str, Beats], tensors: Mapping[str, str], seconds: float = 120.0,
) -> dict[str, float]:  # fmt: skip
    """Answer tensor → how far another processor's answers may lie from the golden ones.

    A processor that adds in another order moves what it gives by about a millionth; an activation
    that lies between two levels of eight bits then falls on the other side. How far that moves the
    answers is measured: the same rows, moved by a millionth, and four times the largest difference.
    """
    random = np.random.default_rng(0)
    found: dict[str, float] = {}
    for name, network in networks.items():
        if name == "detector":
            rows = recording.rows[: int(seconds * 250)]
            moved = rows * (1 + _NOISE * random.standard_normal(rows.shape)).astype(np.float32)
            said = [
                frames_of(network, told, [_replaced(recording, part)]).frames[0]
                for part in (rows, moved)
            ]
        else:
            own = _first(beats[name], int(seconds))
            feeds = {
                key: (array * (1 + _NOISE * random.standard_normal(array.shape))).astype(np.float32)
                for key, array in own.feeds.items()
            }
            said = [logits_of(network, [b])[0] for b in (own, Beats(own.rows, feeds, own.anew))]
        largest = float(np.abs(said[0] - said[1]).max())
        allowed = float(f"{max(_FLOOR, _FACTOR * largest):.2g}")
        found[tensors[name]] = max(found.get(tensors[name], 0.0), allowed)
    return found


def _replaced(recording: Recording, rows: Array) -> Recording:
    n = len(rows)
    return replace(recording, rows=rows, flags=recording.flags[:n], segment=recording.segment[:n])


def _first(beats: Beats, n: int) -> Beats:
    return Beats(
        beats.rows[:n], {key: array[:n] for key, array in beats.feeds.items()}, beats.anew[:n]
    )


@dataclass(frozen=True)
class Latencies:
    """Microseconds of a bare call, one thread.

    Attributes:
        told: `<network> x <batch>` → median per row of the batch.
        hop_p50_ms: of the detector alone.
        hop_p90_ms: likewise.
    """

    told: dict[str, float] = field(default_factory=dict)
    hop_p50_ms: float = 0.0
    hop_p90_ms: float = 0.0


def latencies(
    backends: Mapping[str, Mapping[NetworkName, Backend]],
    batches: Callable[[str], Sequence[int]], blocks: int = 5, runs: int = 200,
) -> dict[str, Latencies]:  # fmt: skip
    """Variants take turns call by call; of several blocks the least disturbed one counts."""
    found: dict[str, Latencies] = {variant: Latencies() for variant in backends}
    ends: dict[str, tuple[float, float]] = {}
    names: list[NetworkName] = sorted({name for own in backends.values() for name in own})
    for name in names:
        for batch in (1, 2, 64):
            those = {
                v: own[name] for v, own in backends.items()
                if batch in batches(v)
            }  # fmt: skip
            if not those:
                continue
            feeds = {v: _feeds(backend, batch) for v, backend in those.items()}
            best: dict[str, Array] = {}
            for _ in range(blocks):
                took: dict[str, list[int]] = {v: [] for v in those}
                for turn in range(10 + runs):
                    for v, backend in those.items():
                        before = time.perf_counter_ns()
                        backend.run(feeds[v])
                        if turn >= 10:
                            took[v].append(time.perf_counter_ns() - before)
                for v, times in took.items():
                    quantiles = np.percentile(times, [50, 90]) / 1e3
                    if v not in best or quantiles[0] < best[v][0]:
                        best[v] = quantiles
            for v, quantiles in best.items():
                found[v].told[f"{name} x {batch}"] = round(float(quantiles[0]) / batch, 2)
                if (name, batch) == ("detector", 1):
                    ends[v] = (float(quantiles[0]) / 1e3, float(quantiles[1]) / 1e3)
    return {v: Latencies(own.told, *(round(x, 4) for x in ends[v])) for v, own in found.items()}


def _feeds(backend: Backend, batch: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    return {
        spec.name: random.standard_normal((batch, *(n or 1 for n in spec.shape[1:]))).astype("f4")
        for spec in backend.inputs
    }
