"""The record as a page: one file, no script, nothing loaded from anywhere, fit for paper."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.report.pieces import escaped, table
from edge_dx.report.style import CSS
from export.report import gate, tables
from export.report.curves import Curve, roc
from export.report.record import Report, VariantRecord, encode
from export.report.tables import code, estimate, number, signed
from export.vocabulary import RecipeFile

Pictures = Mapping[str, Sequence[tuple[int, np.ndarray[Any, Any]]]]
_MOST_PICTURES = 24


def write_report(directory: Path, report: Report, told: RecipeFile, pictures: Pictures) -> Path:
    """Writes `report.html` and `report.json`; gives the page's path.

    Args:
        directory: made where it is not there.
        report: the record.
        told: the recipe, for its limits.
        pictures: variant → (position, prepared picture) of the studies answered otherwise; empty
            where the studies are not here.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "report.json").write_bytes(encode(report))
    page = directory / "report.html"
    page.write_text(html_from_record(report, told, pictures), "utf-8")
    return page


def html_from_record(report: Report, told: RecipeFile, pictures: Pictures) -> str:
    """The whole page."""
    sections = [
        _header(report, told),
        _overview(report),
        _gates(report),
        _curves(report),
        gate.section(report),
        tables.points(report),
        tables.candidates(report),
        tables.layers(report, told),
        _flips(report, pictures),
        tables.engines(report),
        _origin(report),
    ]
    body = "\n".join(section for section in sections if section)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escaped(told.title)}: export report</title>\n<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n<footer>Made by edge-dx-export; measured on "
        f"{escaped(report.measured_on)}. The same as data: report.json.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def _header(report: Report, told: RecipeFile) -> str:
    failed = [v for v in report.variants if not v.passed]
    if failed:
        items = "".join(
            f"<li>{escaped(v.name)}: {escaped(gate.gate)}. {escaped(gate.told)}</li>"
            for v in failed
            for gate in v.gates
            if not gate.passed
        )
        verdict = f'<div class="verdict fail"><strong>Not packed</strong><ul>{items}</ul></div>'
    else:
        verdict = (
            f'<div class="verdict pass"><strong>All {len(report.variants)} variants came through '
            "every gate.</strong></div>"
        )
    mix = ", ".join(f"{n} {name}" for name, n in report.validation.classes.items())
    facts = _list(
        (
            ("Validation set", f"{report.validation.name}: {report.validation.n} studies ({mix})"),
            ("Calibration set", _set(report)),
            ("Leak check", report.leak_check),
            ("Compared with", report.reference),
            ("Measured on", f"{report.machine}, {report.measured_on}"),
        )
    )
    return (
        f'<header><h1>{escaped(told.title)}</h1><div class="sub">Export report of '
        f"{escaped(report.name)} {escaped(report.version)}</div></header>\n{verdict}\n{facts}"
        '<p class="note">Thresholds, schemes of quantization and figures all come from the one '
        "validation set, so sensitivity and specificity are somewhat flattered. In brackets: 95 % "
        "bootstrap intervals over patients.</p>"
    )


def _overview(report: Report) -> str:
    lines = []
    for v in report.variants:
        told = v.figures.fidelity if v.figures else None
        mark = "good" if v.passed else "bad"
        lines.append(
            (
                code(v.name),
                f'<span class="tag {mark}">{"passed" if v.passed else "failed"}</span>',
                f"{v.bytes / 1e3:.0f}",
                estimate(told.auc if told else None),
                signed(told.auc_difference if told else None),
                f"{len(v.flipped)} of {report.validation.n}" if told else "–",
                number(told.latency_p50_ms if told else None, 2),
                number(v.latency_p99_ms, 2),
                number(v.peak_memory_mb, 0),
                estimate(told.heat_map_agreement if told else None),
            )
        )
    heads = ("variant", "gates", "kB", "AUC", "AUC − module's", "answers changed", "p50 ms",
             "p99 ms", "peak MB", "heat maps' correlation")  # fmt: skip
    total = sum(v.bytes for v in report.variants if v.passed) / 1e6
    return (
        "<h2>Variants</h2>" + table(heads, lines, (2, 5, 6, 7, 8))
        + f'<p class="note">Together {total:.2f} MB. Latency: the graph alone, one study, one '
        "thread, on the workstation. Peak: a process that loads and runs this file alone.</p>"
    )  # fmt: skip


def _gates(report: Report) -> str:
    parts = ["<h2>Gates</h2>"]
    for v in report.variants:
        lines = [
            (escaped(g.gate), f'<span class="tag {"good" if g.passed else "bad"}">'
             f"{'passed' if g.passed else 'failed'}</span>", escaped(g.told))
            for g in v.gates
        ]  # fmt: skip
        parts.append(f"<h3>{escaped(v.name)}</h3>" + table(("gate", "", "found"), lines))
        if v.comparisons:
            rows = [
                (escaped(c.figure), f"{c.reference:.4f}", f"{c.variant:.4f}",
                 signed(c.difference), f"−{c.margin:g}", "yes" if c.passed else "NO")
                for c in v.comparisons
            ]  # fmt: skip
            heads = ("figure", "module", "file", "difference", "margin", "not inferior")
            parts.append(table(heads, rows, (1, 2)))
    return "".join(parts)


def _curves(report: Report) -> str:
    parts = []
    for key, values in report.reference_scores.items():
        label = key.partition("/")[2]
        truth = np.array([label in row.labels for row in report.studies], bool)
        if not truth.any() or truth.all():
            continue
        curves = [Curve("the module", np.array(values), _threshold(report, None, key))]
        for v in report.variants:
            if key in v.scores:
                curves.append(Curve(v.name, np.array(v.scores[key]), _threshold(report, v, key)))
        parts.append(f"<h3>{escaped(label)}</h3>{roc(truth, curves)}")
    if not parts:
        return ""
    return "<h2>ROC curves</h2><p>Dots: each file's own operating point.</p>" + "".join(parts)


def _threshold(report: Report, variant: VariantRecord | None, key: str) -> float:
    """The first operating point of an output and label; infinity where there is none."""
    for v in report.variants:
        if v.figures is None or (variant is not None and v is not variant):
            continue
        for point in v.figures.operating_points:
            if f"{point.output}/{point.label}" == key:
                own = point.threshold
                return own if variant is not None else report.reference_thresholds[point.name]
    return float("inf")


def _flips(report: Report, pictures: Pictures) -> str:
    parts = []
    for v in report.variants:
        if not v.flipped:
            continue
        drawn = {position: _picture(film) for position, film in pictures.get(v.name, ())}
        figures = []
        for position in v.flipped[:_MOST_PICTURES]:
            row = report.studies[position]
            truth = ", ".join(row.labels) or "none of the labels"
            said = "; ".join(
                f"{escaped(key.partition('/')[2])} {values[position]:.3f}, module "
                f"{report.reference_scores[key][position]:.3f}"
                for key, values in v.scores.items()
            )
            picture = drawn.get(position)
            shown = (
                f'<img src="{picture}" alt="study {escaped(row.digest)}">'
                if picture
                else '<div class="none">the studies were not here when this page was made</div>'
            )
            figures.append(
                f"<figure>{shown}<figcaption><b>{escaped(row.digest)}</b>truly: {escaped(truth)}"
                f'<br><span class="why">{said}</span></figcaption></figure>'
            )
        more = len(v.flipped) - _MOST_PICTURES
        rest = f'<p class="note">and {more} more</p>' if more > 0 else ""
        parts.append(f'<h3>{escaped(v.name)}</h3><div class="films">{"".join(figures)}</div>{rest}')
    if not parts:
        return "<h2>Changed answers</h2><p>No study is answered otherwise than by the module.</p>"
    return (
        "<h2>Changed answers</h2><p>Studies that a file answers otherwise than the module, as the "
        "graph sees them, each file at the threshold of its own.</p>" + "".join(parts)
    )


def _origin(report: Report) -> str:
    facts = [
        ("Recipe", f"SHA-256 {report.recipe_sha256}"),
        ("Weights", f"SHA-256 {report.weights_sha256}"),
        ("Validation set", f"SHA-256 {report.validation.sha256}"),
    ]
    if report.calibration:
        facts.append(("Calibration set", f"SHA-256 {report.calibration.sha256}"))
    facts += [(v.name, f"{v.bytes} bytes, SHA-256 {v.sha256}") for v in report.variants]
    facts += [
        ("Seeds", ", ".join(f"{name} {seed}" for name, seed in report.seeds.items())),
        ("Tools", ", ".join(f"{name} {version}" for name, version in report.tools.items())),
    ]
    schemes = [
        (v.name, json.dumps(v.scheme.told(), ensure_ascii=False))
        for v in report.variants
        if v.scheme
    ]
    return "<h2>Origin</h2>" + _list(facts + schemes)


def _set(report: Report) -> str:
    if report.calibration is None:
        return "none"
    mix = ", ".join(f"{n} {name}" for name, n in report.calibration.classes.items())
    return f"{report.calibration.name}: {report.calibration.n} studies ({mix})"


def _list(facts: Sequence[tuple[str, str]]) -> str:
    told = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in facts)
    return f"<dl>{told}</dl>"


def _picture(film: np.ndarray[Any, Any]) -> str | None:
    """A prepared picture (C, H, W) uint8 as a `data:` address."""
    import cv2

    pixels = film[0] if len(film) == 1 else np.moveaxis(film, 0, -1)[..., ::-1]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(pixels), [cv2.IMWRITE_JPEG_QUALITY, 85])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode() if done else None
