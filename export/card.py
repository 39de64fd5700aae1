"""The model card: what the model is for, on what it was measured, and where it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from edge_dx.manifest import Estimate, Manifest, Variant
from export.gate_study.record import GateStudy
from export.gate_study.table import section
from export.recipe import Recipe


def card_json(
    recipe: Recipe, manifest: Manifest, sizes: Mapping[str, int], training_files: Sequence[str]
) -> bytes:
    """The card for programs.

    `training_files` are the first 16 hex digits of the SHA-256 of each training film, so that a
    report can tell which of its films the model has seen.
    """
    told = recipe.told
    variants = {
        v.name: {
            "bytes": sizes[v.name],
            "operating_points": msgspec.to_builtins(v.operating_points),
            "fidelity": msgspec.to_builtins(v.fidelity),
        }
        for v in manifest.variants
    }
    card = {
        "name": manifest.name,
        "version": manifest.version,
        "title": manifest.title,
        "intended_use": manifest.intended_use.strip(),
        "description": told.card.description.strip(),
        "data": told.card.data.strip(),
        "limits": told.card.limits.strip(),
        "licence": manifest.licence,
        "attribution": told.card.attribution.strip(),
        "sets": {
            role: msgspec.to_builtins(getattr(manifest.provenance, role))
            for role in ("training", "calibration", "validation")
        },
        "variants": variants,
        "training_files": sorted(training_files),
    }
    return json.dumps(card, indent=1, ensure_ascii=False).encode() + b"\n"


def card_markdown(
    recipe: Recipe, manifest: Manifest, sizes: Mapping[str, int], gate: Sequence[GateStudy] = ()
) -> bytes:
    """The card for people."""
    told = recipe.told.card
    lines = [f"# {manifest.title}", "", f"`{manifest.name}` {manifest.version}"]
    for title, text in (
        ("Intended use", manifest.intended_use),
        ("What it is", told.description),
        ("Data", told.data),
    ):
        lines += _section(title, text)
    for role in ("training", "calibration", "validation"):
        made = getattr(manifest.provenance, role)
        if made is not None:
            mix = ", ".join(f"{n} {name}" for name, n in made.classes.items())
            lines.append(f"- {role}: {made.name}, {made.n} studies ({mix})")
    lines += ["", "## Figures", ""]
    lines.append(
        "Measured through the runtime that the device uses; in brackets the 95 % bootstrap "
        "interval over patients. Thresholds were fitted on the same validation studies, so "
        "sensitivity and specificity are somewhat flattered; the AUC is not affected by that."
    )
    for variant in manifest.variants:
        lines += _variant(variant, sizes[variant.name])
    if gate:
        lines += ["", "## What the gate refuses", "", *section(gate)]
    for title, text in (
        ("Limits", told.limits),
        ("Licence", manifest.licence),
        ("Attribution", told.attribution),
    ):
        lines += _section(title, text)
    return "\n".join(lines).encode() + b"\n"


def _section(title: str, text: str) -> list[str]:
    return ["", f"## {title}", "", text.strip()] if text.strip() else []


def _variant(variant: Variant, size: int) -> list[str]:
    lines = ["", f"### {variant.name}", "", f"- file: {size / 1e3:.0f} kB"]
    if variant.quantization:
        made = "; ".join(f"{k}: {v}" for k, v in variant.quantization.items() if "sha256" not in k)
        lines.append(f"- made: {made}")
    if variant.runs_on:
        lines.append(f"- for processors with {' or '.join(variant.runs_on)}")
    told = variant.fidelity
    if told is None:
        return [*lines, "- nothing was measured"]
    for engine, found in told.engines.items():
        lines.append(
            f"- on {engine} {found.version}: {found.latency_p50_ms:.2f} ms median, "
            f"{found.latency_p90_ms:.2f} ms 90th percentile per study ({told.machine}); "
            f"{found.decision_flips} of {told.n} decisions differ from the module's"
        )
    lines.append(
        f"- against {told.reference}, on {told.compared_on}: largest difference of an answer "
        f"{told.max_score_error:.2g}, {told.decision_flips} of {told.n} decisions changed"
    )
    if told.auc_difference is not None:
        off = told.auc_difference
        lines.append(
            f"- AUC minus the module's: {off.value:+.4f} ({off.low:+.4f} to {off.high:+.4f})"
        )
    if told.heat_map_agreement is not None:
        alike = told.heat_map_agreement
        lines.append(f"- heat maps correlate {_told(alike)} with the module's")
    for point in variant.operating_points:
        lines.append(
            f"- operating point `{point.name}` ({point.label}, {point.criterion}): threshold "
            f"{point.threshold:.4f}, indeterminate from {point.band[0]:.4f} to "
            f"{point.band[1]:.4f}"
        )
        if point.unsure is not None:
            (low, high), worth = point.unsure.band, point.unsure.calibrated
            lines.append(
                f"- left to a person: from {low:.4f} to {high:.4f}, {point.unsure.share:.1%} of "
                f"the validation films; calibrated on them, between {worth[0]:.1%} and "
                f"{worth[1]:.1%} of such films have the finding, where it is as frequent as there"
            )
    if variant.max_distance is not None:
        lines.append(
            f"- answers up to a distance of {variant.max_distance:.3f} from the training films"
        )
    if told.auc is None:
        return lines
    rows: list[tuple[Any, ...]] = [("all", told.auc, *_sens_spec(variant))]
    rows += [
        (f"{g.name} ({g.positives} + / {g.negatives} −)", g.auc, g.sensitivity, g.specificity)
        for g in told.groups
    ]
    lines += ["", "| | AUC | sensitivity | specificity |", "| --- | --- | --- | --- |"]
    lines += [f"| {name} | {' | '.join(_told(e) for e in figures)} |" for name, *figures in rows]
    return lines


def _sens_spec(variant: Variant) -> tuple[Estimate | None, Estimate | None]:
    if not variant.operating_points:
        return None, None
    first = variant.operating_points[0]
    return first.sensitivity, first.specificity


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"
