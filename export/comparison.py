"""`edge-dx-export compare A.edx B.edx`: what an update changes, before it is shipped.

Both bundles carry the record of their validation, study by study. Where they were measured on the
same studies the figures are compared in pairs, with the interval of the difference over patients;
with `--films DIR` both are run on these films instead. What the contract says differently is told
in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edge_dx import metrics
from edge_dx.bundle import Bundle
from edge_dx.errors import EdgeDxError
from edge_dx.manifest import Count, Estimate, Manifest, Part, Text, Variant
from edge_dx.model import load
from edge_dx.report.labels import Listed, read_labels
from edge_dx.trust import TrustStore
from export.errors import DataError, EvidenceMismatch
from export.report.record import Report, VariantRecord

Labels = np.ndarray[Any, np.dtype[np.bool_]]
Floats = np.ndarray[Any, np.dtype[np.float64]]


class Figure(Part, frozen=True, kw_only=True):
    """One figure of both bundles.

    Attributes:
        difference: B minus A, with its paired 95 % interval over patients.
        margin: how far below zero the interval may reach.
    """

    figure: Text
    a: float
    b: float
    difference: Estimate
    margin: float

    @property
    def may_be_worse(self) -> bool:
        """Whether the update was not shown to be as good."""
        return not self.difference.low >= -self.margin


class VariantComparison(Part, frozen=True, kw_only=True):
    """One variant that both bundles have.

    Attributes:
        studies: how many both were judged on; 0 where there are none in common.
        changed: studies that B answers otherwise than A.
        lost: studies that A judged and B did not.
        told: what cannot be compared, in words.
    """

    variant: Text
    bytes_a: Count
    bytes_b: Count
    p50_ms_a: float | None
    p50_ms_b: float | None
    thresholds: dict[str, tuple[float | None, float | None]]
    studies: Count
    changed: Count
    lost: Count
    figures: tuple[Figure, ...]
    told: Text = ""


class BundleComparison(Part, frozen=True, kw_only=True):
    """Two bundles.

    Attributes:
        contract: what the manifests say differently, in words.
    """

    a: Text
    b: Text
    judged_on: Text
    contract: tuple[Text, ...]
    variants: tuple[VariantComparison, ...]

    @property
    def may_be_worse(self) -> bool:
        """Whether any figure was not shown to be as good, a study is no longer judged, or nothing
        could be compared.
        """
        figures = [figure for variant in self.variants for figure in variant.figures]
        lost = any(variant.lost for variant in self.variants)
        return lost or not figures or any(figure.may_be_worse for figure in figures)


class Margins(Part, frozen=True, kw_only=True):
    """What an update may lose."""

    auc: float = 0.02
    sensitivity: float = 0.05
    specificity: float = 0.05


def compare_bundles(
    a: Bundle,
    b: Bundle,
    *,
    margins: Margins,
    variant: str | None = None,
    films: Path | None = None,
    trust: TrustStore | None = None,
    allow_unsigned: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> BundleComparison:
    """Compares two bundles.

    Args:
        a: what is on the devices now.
        b: the update.
        margins: what it may lose.
        variant: compare this one alone.
        films: a directory with `labels.csv` on which both are run; their own records where None.
        trust: accepted signers, for running them.
        allow_unsigned: likewise.
        say: takes progress lines.

    Raises:
        EvidenceMismatch: they have no variant in common, or a record is damaged.
        DataError: the films cannot be used.
    """
    names = [v.name for v in a.manifest.variants if v.name in {w.name for w in b.manifest.variants}]
    if variant is not None:
        names = [name for name in names if name == variant]
    if not names:
        raise EvidenceMismatch(
            f"{a.path} and {b.path} have no variant{f' {variant}' if variant else ''} in common: "
            f"{', '.join(v.name for v in a.manifest.variants)} and "
            f"{', '.join(v.name for v in b.manifest.variants)}"
        )
    if films is not None:
        judged_on = f"films of {films}"
        compared = []
        for name in names:
            say(f"running {name} of both on the films")
            compared.append(_on_films(a, b, name, films, margins, trust, allow_unsigned))
    else:
        records = tuple(_record(bundle) for bundle in (a, b))
        judged_on = "the validation studies that both records hold"
        compared = [_on_records(a, b, name, records, margins) for name in names]
    return BundleComparison(
        a=_called(a), b=_called(b), judged_on=judged_on,
        contract=tuple(contract_changes(a.manifest, b.manifest)), variants=tuple(compared),
    )  # fmt: skip


def contract_changes(a: Manifest, b: Manifest) -> list[str]:
    """What the manifests say differently, in words; figures aside."""
    told = []
    for name in ("name", "version", "task", "title", "intended_use", "licence"):
        first, second = getattr(a, name), getattr(b, name)
        if first != second:
            told.append(f"{name}: {first!r} → {second!r}")
    for name, what in (
        ("inputs", "inputs or their preparation"),
        ("outputs", "outputs"),
        ("eligibility", "what is eligible"),
        ("golden", "golden cases"),
        ("budget", "budget"),
    ):
        if getattr(a, name) != getattr(b, name):
            told.append(f"{what} changed{_fields(getattr(a, name), getattr(b, name))}")
    before, after = ({v.name: v for v in m.variants} for m in (a, b))
    told += [f"variant {name} is gone" for name in before if name not in after]
    told += [f"variant {name} is new" for name in after if name not in before]
    for name in (name for name in before if name in after):
        for key in ("engines", "runs_on", "batch", "tolerance", "quantization"):
            first, second = getattr(before[name], key), getattr(after[name], key)
            if first != second:
                told.append(f"{name}: {key} {_spelt(first)} → {_spelt(second)}")
    for key in ("weights_sha256", "factory"):
        first, second = getattr(a.provenance, key), getattr(b.provenance, key)
        if first != second:
            told.append(f"{key}: {str(first)[:16]} → {str(second)[:16]}")
    for key in ("training", "calibration", "validation"):
        first, second = getattr(a.provenance, key), getattr(b.provenance, key)
        if first != second:
            told.append(f"{key} set: {_set(first)} → {_set(second)}")
    return told


def _fields(first: Any, second: Any) -> str:
    """The names of a part's fields that differ, where it is one."""
    if not isinstance(first, msgspec.Struct):
        return ""
    keys = [k for k in first.__struct_fields__ if getattr(first, k) != getattr(second, k)]
    return f" ({', '.join(keys)})"


def _spelt(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {v}" for k, v in value.items()) or "nothing"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _set(told: Any) -> str:
    return f"{told.name} ({told.n}, {told.sha256[:12]})" if told is not None else "none"


def _called(bundle: Bundle) -> str:
    return f"{bundle.manifest.name} {bundle.manifest.version} ({bundle.digest[:12]})"


def _record(bundle: Bundle) -> Report | None:
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


def _on_records(
    a: Bundle, b: Bundle, name: str, records: tuple[Report | None, ...], margins: Margins
) -> VariantComparison:
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


def _on_films(
    a: Bundle, b: Bundle, name: str, films: Path, margins: Margins, trust: TrustStore | None,
    allow_unsigned: bool,
) -> VariantComparison:  # fmt: skip
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


def told(comparison: BundleComparison) -> list[str]:
    """The comparison for people, a line each."""
    lines = [f"A  {comparison.a}", f"B  {comparison.b}", f"on {comparison.judged_on}", ""]
    lines += [f"  {line}" for line in comparison.contract] or ["  the contracts say the same"]
    for v in comparison.variants:
        lines += ["", f"{v.variant}: {v.bytes_a / 1e3:.0f} → {v.bytes_b / 1e3:.0f} kB"]
        if v.p50_ms_a is not None and v.p50_ms_b is not None:
            lines[-1] += f", {v.p50_ms_a:.2f} → {v.p50_ms_b:.2f} ms (each on its own workstation)"
        for name, (first, second) in v.thresholds.items():
            lines.append(f"  {name}: threshold {_number(first)} → {_number(second)}")
        for f in v.figures:
            off = f.difference
            verdict = "MAY BE WORSE" if f.may_be_worse else "not worse"
            lines.append(
                f"  {f.figure}: {f.a:.4f} → {f.b:.4f}; difference {off.value:+.4f} "
                f"[{off.low:+.4f}, {off.high:+.4f}], margin {f.margin:g}: {verdict}"
            )
        if v.studies:
            lines.append(f"  {v.changed} of {v.studies} studies are answered otherwise")
        if v.told:
            lines.append(f"  {v.told}")
    return lines


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
