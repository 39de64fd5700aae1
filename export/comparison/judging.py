"""One variant of two bundles, on the studies that both were judged on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_dx import metrics
from edge_dx.bundle import Bundle
from edge_dx.errors import EdgeDxError
from edge_dx.manifest import Variant
from edge_dx.model import load
from edge_dx.report.labels import Listed, read_labels
from edge_dx.trust import TrustStore
from export.comparison.values import Figure, Margins, VariantComparison
from export.errors import DataError, EvidenceMismatch
from export.report.record import Report, VariantRecord

Labels = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


def record_of(bundle: Bundle) -> Report | None:
    """The bundle's record of its export, or None where it holds none.

    Raises:
        EvidenceMismatch: it is damaged.
    """
    raw = bundle.members.get("report.json")
    if raw is None:
        return None
    try:
        return msgspec.json.decode(raw, type=Report)
    except msgspec.MsgspecError as error:
        raise EvidenceMismatch(
            f"{bundle.path}: report.json cannot be read ({error}); export it again, or compare on "
            "films (--films DIR)"
        ) from error


def on_records(
    a: Bundle, b: Bundle, name: str, records: tuple[Report | None, ...], margins: Margins
) -> VariantComparison:
    """Compares a variant by the scores that both records hold of the same studies."""
    if records[0] is None or records[1] is None:
        return _variants(a, b, name, told="a bundle holds no record; compare on --films DIR")
    places = [{row.digest: k for k, row in enumerate(r.studies)} for r in records if r is not None]
    shared = [digest for digest in places[0] if digest in places[1]]
    if not shared:
        return _variants(
            a, b, name, told="they were measured on different studies; compare on --films DIR"
        )
    rows = [[place[digest] for digest in shared] for place in places]
    made = [_variant_record(r, name) for r in records if r is not None]
    studies = records[0].studies
    patients = [str(studies[k].patient) for k in rows[0]]
    figures: list[Figure] = []
    changed = np.zeros(len(shared), bool)
    for point in a.manifest.variant(name).operating_points:
        key = f"{point.output}/{point.label}"
        other = _point(b.manifest.variant(name), point.name)
        if other is None or any(key not in record.scores for record in made):
            continue
        truth = np.array([point.label in studies[k].labels for k in rows[0]], bool)
        scores = [np.array(record.scores[key])[at] for record, at in zip(made, rows, strict=True)]
        thresholds = (point.threshold, other.threshold)
        figures += _figures(
            point.name, truth, (scores[0], scores[1]), thresholds, patients, margins
        )
        changed |= (scores[0] >= thresholds[0]) != (scores[1] >= thresholds[1])
    return _variants(a, b, name, len(shared), int(changed.sum()), tuple(figures))


def on_films(
    a: Bundle, b: Bundle, name: str, films: Path, margins: Margins, trust: TrustStore | None,
    allow_unsigned: bool,
) -> VariantComparison:  # fmt: skip
    """Runs a variant of both bundles on labelled films and compares what they answer.

    Raises:
        DataError: the directory has no films of the operating point's label.
        EdgeDxError: a bundle does not load.
    """
    figures: list[Figure] = []
    changed = studies = lost = 0
    told = []
    for point in a.manifest.variant(name).operating_points:
        other = _point(b.manifest.variant(name), point.name)
        if other is None:
            told.append(f"B has no operating point {point.name}")
            continue
        listed = read_labels(films, point.label)
        if listed is None or not any(truth.positive for _, truth in listed.films):
            raise DataError(f"{films}: has no labels.csv with films of the label {point.label!r}")
        judged = [
            _judge(bundle, name, listed, point.name, trust, allow_unsigned) for bundle in (a, b)
        ]
        both = ~np.isnan(judged[0]) & ~np.isnan(judged[1])
        lost = max(lost, int((np.isnan(judged[1]) & ~np.isnan(judged[0])).sum()))
        left = int((~both).sum())
        if left:
            told.append(
                f"{point.name}: {left} films are left out, which not both have judged; {lost} of "
                "them A did and B did not"
            )
        truth = np.array([t.positive for _, t in listed.films], bool)[both]
        who = [t.patient or str(f) for f, t in listed.films]
        patients = [name for name, has in zip(who, both, strict=True) if has]
        scores = judged[0][both], judged[1][both]
        thresholds = (point.threshold, other.threshold)
        figures += _figures(point.name, truth, scores, thresholds, patients, margins)
        changed += int(((scores[0] >= thresholds[0]) != (scores[1] >= thresholds[1])).sum())
        studies = max(studies, int(both.sum()))
    return _variants(a, b, name, studies, changed, tuple(figures), "; ".join(told), lost)


def _judge(
    bundle: Bundle, variant: str, listed: Listed, point: str, trust: TrustStore | None,
    allow_unsigned: bool,
) -> Floats:  # fmt: skip
    """(n,) the point's score of each film; NaN where it was not analysed."""
    scores = np.full(len(listed.films), np.nan)
    with load(bundle.path, variant, trust=trust, allow_unsigned=allow_unsigned) as model:
        for k, (file, _) in enumerate(listed.films):
            try:
                result = model(file)
            except EdgeDxError:
                continue  # counted among those without a score
            for finding in result.findings:
                if finding.operating_point.name == point:
                    scores[k] = finding.score
    return scores


def _figures(
    name: str,
    truth: Labels,
    scores: tuple[Floats, Floats],
    thresholds: tuple[float, float],
    patients: Sequence[str],
    margins: Margins,
) -> list[Figure]:
    found = []
    for what, metric, margin in (
        ("AUC", None, margins.auc),
        ("sensitivity", metrics.sensitivity, margins.sensitivity),
        ("specificity", metrics.specificity, margins.specificity),
    ):
        pair: tuple[Any, Any] = (metrics.auc, metrics.auc)
        if metric is not None:
            first, second = (partial(metric, threshold=t) for t in thresholds)
            pair = first, second
        off = metrics.difference(pair, truth, scores, patients)
        if off is not None:
            found.append(
                Figure(
                    figure=f"{name}: {what}", a=round(pair[0](truth, scores[0]), 6),
                    b=round(pair[1](truth, scores[1]), 6), difference=off, margin=margin,
                )
            )  # fmt: skip
    return found


def _variants(
    a: Bundle, b: Bundle, name: str, studies: int = 0, changed: int = 0,
    figures: tuple[Figure, ...] = (), told: str = "", lost: int = 0,
) -> VariantComparison:  # fmt: skip
    first, second = a.manifest.variant(name), b.manifest.variant(name)
    points = {p.name for v in (first, second) for p in v.operating_points}
    return VariantComparison(
        variant=name,
        bytes_a=a.manifest.members[first.file].bytes,
        bytes_b=b.manifest.members[second.file].bytes,
        p50_ms_a=first.fidelity.latency_p50_ms if first.fidelity else None,
        p50_ms_b=second.fidelity.latency_p50_ms if second.fidelity else None,
        thresholds={
            point: (_threshold(first, point), _threshold(second, point)) for point in sorted(points)
        },
        studies=studies,
        changed=changed,
        lost=lost,
        figures=figures,
        told=told,
    )


def _threshold(variant: Variant, name: str) -> float | None:
    found = _point(variant, name)
    return found.threshold if found else None


def _point(variant: Variant, name: str) -> Any:
    return next((p for p in variant.operating_points if p.name == name), None)


def _variant_record(report: Report, name: str) -> VariantRecord:
    return next(record for record in report.variants if record.name == name)
