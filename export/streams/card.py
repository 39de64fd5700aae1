"""The model card of a stream: what it is for, on what it was measured, and where it ends."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from edge_dx.manifest import Estimate, Manifest, Stream, Variant
from export.streams.evidence import Evidence, Measured
from export.streams.recipe import Recipe
from export.streams.rollout import ROUNDED, Drift


def card_json(
    recipe: Recipe, manifest: Manifest, sizes: Mapping[str, int], evidence: Evidence
) -> bytes:
    """The card for programs."""
    told = recipe.told
    card = {
        "name": manifest.name,
        "version": manifest.version,
        "title": manifest.title,
        "intended_use": manifest.intended_use,
        "description": told.card.description.strip(),
        "data": told.card.data.strip(),
        "limits": told.card.limits.strip(),
        "licence": manifest.licence,
        "attribution": told.card.attribution.strip(),
        "sets": {"validation": msgspec.to_builtins(evidence.records)},
        "unseen": evidence.unseen,
        "variants": {
            v.name: {
                "bytes": {member: sizes[member] for member in v.files},
                "operating_points": msgspec.to_builtins(v.operating_points),
                "fidelity": msgspec.to_builtins(v.fidelity),
                "latency_us": evidence.variants[v.name].latency_us,
            }
            for v in manifest.variants
        },
    }
    return json.dumps(card, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def card_markdown(
    recipe: Recipe, manifest: Manifest, sizes: Mapping[str, int], evidence: Evidence
) -> bytes:
    """The card for people."""
    told = recipe.told.card
    lines = [f"# {manifest.title}", "", f"`{manifest.name}` {manifest.version}"]
    for title, text in (
        ("Intended use", manifest.intended_use), ("What it is", told.description),
        ("Data", told.data),
    ):  # fmt: skip
        lines += _section(title, text)
    lines += ["", "## Figures", "", *_figures(manifest, evidence)]
    lines += ["", "## Variants", "", *_variants(manifest, sizes, evidence)]
    lines += ["", "## Half an hour, hop by hop", "", *_drift(evidence)]
    for title, text in (
        ("Limits", told.limits), ("Licence", manifest.licence), ("Attribution", told.attribution),
    ):  # fmt: skip
        lines += _section(title, text)
    return "\n".join(lines).encode() + b"\n"


def _section(title: str, text: str) -> list[str]:
    return ["", f"## {title}", "", text.strip()] if text.strip() else []


def _figures(manifest: Manifest, evidence: Evidence) -> list[str]:
    """A row for each figure, a column for each variant."""
    stream = manifest.stream
    assert isinstance(stream, Stream), "a card of a stream"
    own = {v.name: _by_key(v) for v in manifest.variants}
    names = list(own)
    how = (
        "Each recording was judged by networks that had not learned from its patient (cross "
        "validation), each encoding by its own files and at its own thresholds. The thresholds "
        "were fitted to these same answers, all folds together, which flatters a little."
        if evidence.unseen
        else "THE NETWORKS HAVE LEARNED FROM THESE RECORDINGS: the figures flatter and say nothing "
        "about other patients."
    )
    data = next((f.data for v in manifest.variants for f in _of(v)), "")
    lines = [
        f"{data}. {how} Counted as ANSI/AAMI EC57 asks (150 ms, gross over all recordings, 95 % "
        f"interval over patients); mapping of symbols: {_mapping(manifest)}.", "",
        "| | " + " | ".join(names) + " |", "| --- " * (len(names) + 1) + "|",
    ]  # fmt: skip
    for key in own[names[0]]:
        lines.append(f"| {key} | " + " | ".join(_told(own[name].get(key)) for name in names) + " |")
    return lines


def _by_key(variant: Variant) -> dict[str, Estimate]:
    found = {}
    for figure in _of(variant):
        answer = f", {figure.answer.replace('_', ' ')}" if figure.answer else ""
        found[f"{figure.of} {figure.measure}{answer}"] = figure.value
    return found


def _of(variant: Variant) -> tuple[Any, ...]:
    figures = variant.fidelity.figures if variant.fidelity else ()
    return figures or ()


def _mapping(manifest: Manifest) -> str:
    return manifest.variants[0].operating_points[0].criterion.rpartition("mapping ")[2]


def _variants(manifest: Manifest, sizes: Mapping[str, int], evidence: Evidence) -> list[str]:
    lines = []
    for variant in manifest.variants:
        measured = evidence.variants[variant.name]
        told = variant.fidelity
        assert told is not None, "every variant of a stream is measured"
        files = ", ".join(f"{m.split('/')[1]} {sizes[m] / 1e3:.1f} kB" for m in variant.files)
        lines += [f"### {variant.name}", "", f"- files: {files}"]
        if variant.quantization:
            made = "; ".join(f"{key}: {value}" for key, value in variant.quantization.items())
            lines.append(f"- made: {made}")
        if variant.runs_on:
            lines.append(f"- for processors with {' or '.join(variant.runs_on)}")
        lines.append(f"- bare calls, microseconds per row of the batch: {_latency(measured)} "
                     f"({told.machine.partition(',')[0]}, one thread)")  # fmt: skip
        lines.append(
            f"- {told.decision_flips} of {told.n} beats are answered otherwise than by the float "
            f"file ({told.decision_flips / max(told.n, 1):.2%})"
        )
        for point in variant.operating_points:
            lines.append(
                f"- operating point `{point.name}` ({point.label}, {point.criterion}): "
                f"{point.threshold:g}"
            )
        lines.append("")
    return lines[:-1]


def _latency(measured: Measured) -> str:
    return ", ".join(f"{key} {value:g}" for key, value in measured.latency_us.items())


def _drift(evidence: Evidence) -> list[str]:
    if not evidence.drift:
        return ["not measured"]
    ends = [f"{s.until_s / 60:.0f} min" for s in evidence.drift[0].stretches]
    lines = [
        "Root mean square of the memory's difference from the module's in torch, as a share of the "
        "memory's own, to the end of each stretch; largest difference of an answer's logit; events "
        f"that differ. `{ROUNDED}` is not shipped: it shows what a state in eight bits does.", "",
        "| variant, network | " + " | ".join(ends) + " | largest logit off | events that differ |",
        "| --- " * (len(ends) + 3) + "|",
    ]  # fmt: skip
    for drift in evidence.drift:
        lines.append(f"| {drift.variant}, {drift.network} | {_row(drift)} |")
    return lines


def _row(drift: Drift) -> str:
    cells = [f"{stretch.state_rms:.1e}" for stretch in drift.stretches]
    return " | ".join([*cells, f"{drift.worst:.2g}", f"{drift.changed} of {drift.events}"])


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{100 * estimate.value:.2f} ({100 * estimate.low:.1f}–{100 * estimate.high:.1f})"
