"""The HTML report: one file, no script, nothing loaded from anywhere."""

from __future__ import annotations

import numpy as np

from edge_dx import overlay
from edge_dx.report import pieces
from edge_dx.report.films import html_from_films
from edge_dx.report.markdown import html_from_markdown
from edge_dx.report.pieces import escaped
from edge_dx.report.style import CSS
from edge_dx.report.values import Report


def html_from_report(report: Report) -> str:
    """The whole page; opens from a disk without a network, and prints."""
    sections = [
        _header(report), _facts(report), _proofs(report), _phantoms(report), _refused(report),
        html_from_films(report.films, report.point) if report.films else "",
        _recordings(report), _timings(report), _scale(report), _limits(report),
        f'<h2>Model card</h2>\n<div class="card">{html_from_markdown(report.card)}</div>',
    ]  # fmt: skip
    body = "\n".join(section for section in sections if section)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">\n"
        f"<title>{escaped(report.title)}: demonstration report</title>\n"
        f"<style>{CSS}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n<footer>Made by edge-dx on {escaped(report.made)}. "
        "Not for diagnosis.</footer>\n</main>\n</body>\n</html>\n"
    )


def _header(report: Report) -> str:
    if report.problems:
        told = "".join(f"<li>{escaped(problem)}</li>" for problem in report.problems)
        verdict = f'<div class="verdict fail"><strong>Failed</strong><ul>{told}</ul></div>'
    else:
        drawn = (
            "the phantoms were analysed, and images of other kinds were refused as they should be"
            if report.phantoms
            else "and the ECGs were analysed"
        )
        verdict = (
            '<div class="verdict pass"><strong>Passed.</strong> Each variant gave its golden '
            f"results on this device, {drawn}.</div>"
        )
    return (
        f"<header><h1>{escaped(report.title)}</h1><div class=\"sub\">"
        f"Demonstration report of edge-dx, {escaped(report.made)}</div></header>\n"
        '<div class="warn"><strong>Not for diagnosis.</strong> A research model on a device that '
        "nobody has approved for patients. What it draws itself is nobody's picture.</div>\n"
        + verdict
    )  # fmt: skip


def _facts(report: Report) -> str:
    facts = "".join(f"<dt>{escaped(k)}</dt><dd>{escaped(v)}</dd>" for k, v in report.facts)
    warn = ""
    if report.is_unsigned:
        warn = '<div class="warn"><strong>Unsigned.</strong> Nobody vouches for this bundle.</div>'
    elif report.is_development_key:
        warn = (
            '<div class="warn"><strong>Signed with the development key.</strong> Its private half '
            "is public, so this signature shows that the file is undamaged, and not who made it. "
            "Before patients are near, sign with a key of your own.</div>"
        )
    return f"<h2>What ran</h2>\n<dl>{facts}</dl>\n{warn}"


def _proofs(report: Report) -> str:
    marks = {"pass": "good", "FAIL": "bad"}
    lines = [
        (escaped(p.variant), escaped(p.engine),
         f'<span class="tag {marks.get(p.outcome, "skip")}">{escaped(p.outcome)}</span>',
         escaped(p.detail))
        for p in report.proofs
    ]  # fmt: skip
    return (
        "<h2>Self-proof on this device</h2>\n<p>The golden inputs that travel in the bundle, from "
        "raw pixels to result, against the outputs that were recorded when it was exported.</p>\n"
        + pieces.table(("variant", "engine", "result", "measured"), lines)
    )


def _phantoms(report: Report) -> str:
    if not report.phantoms:
        return ""
    rows = [figure.row for figure in report.phantoms]
    return (
        "<h2>Phantoms</h2>\n<p>Chest films drawn by the program itself, some with opacities. They "
        "show that files of each kind are read and judged. They say nothing about how well the "
        "model reads films of patients, and an answer that differs from what was drawn is no "
        "error of the device.</p>\n"
        + pieces.answers(rows, "drawn")
        + pieces.gallery(report.phantoms)
    )


def _refused(report: Report) -> str:
    if not report.refused and not report.refused_note:
        return ""
    text = (
        "<h2>Images of other kinds</h2>\n<p>Real DICOM files that come with pydicom. The gate must "
        "answer <em>not analysed</em> with the reason <code>modality</code>: could not look never "
        "reads as negative.</p>\n"
    )
    if report.refused:
        text += pieces.answers(report.refused, "kind")
    if report.refused_note:
        text += f'<p class="note">{escaped(report.refused_note)}</p>'
    return text


def _recordings(report: Report) -> str:
    if not report.recordings and not report.recordings_note:
        return ""
    text = (
        "<h2>ECGs</h2>\n<p>One drawn by the program itself, and a real one that comes with "
        "pydicom. Each has a report of its own. What the model makes of a drawing is no evidence "
        "of how well it reads a heart.</p>\n"
    )
    if report.recordings:
        lines = [
            (f'<a href="{escaped(r.page)}">{escaped(r.name)}</a>', escaped(r.what),
             f"{r.duration_s:.0f}", f"{r.analysed_s:.1f}", str(r.beats),
             "–" if r.ventricular is None else str(r.ventricular), escaped(r.said))
            for r in report.recordings
        ]  # fmt: skip
        heads = ("report", "recording", "seconds", "analysed", "beats", "V", "")
        text += pieces.table(heads, lines, (2, 3, 4, 5))
    if report.recordings_note:
        text += f'<p class="note">{escaped(report.recordings_note)}</p>'
    return text


def _timings(report: Report) -> str:
    rows = [figure.row for figure in report.phantoms]
    rows += report.films.rows if report.films else []
    judged = [row for row in rows if row.status.analysed]
    if not judged:
        return ""
    lines = []
    stages = ("read", "prepare", "infer", "interpret")
    for stage in (*stages, "together"):
        took = np.array([
            sum(getattr(row.timing, name) for name in (stages if stage == "together" else [stage]))
            for row in judged
        ])  # fmt: skip
        p50, p90 = np.percentile(took, [50, 90])
        lines.append((stage, f"{p50:.2f}", f"{p90:.2f}"))
    return (
        f"<h2>Where the time went</h2>\n<p>Milliseconds for each of {len(judged)} analysed "
        "images, by a monotonic clock; in a batch an image has its share of the inference.</p>\n"
        + pieces.table(("stage", "p50 ms", "p90 ms"), lines, (1, 2))
    )


def _scale(report: Report) -> str:
    heat = report.heat_map
    if heat is None:
        return ""
    shares = np.linspace(0, 1, 17, dtype=np.float32)
    stops = ", ".join(f"rgb({r} {g} {b})" for r, g, b in overlay.colours(shares[None])[0].tolist())
    low, high = heat.scale
    return (
        "<h2>Reading the heat map</h2>\n"
        f'<div class="scale"><div class="bar" style="background: linear-gradient(to right, '
        f'{stops})"></div><div class="ends"><span>{low:.1f} or less: uncoloured</span>'
        f"<span>{(low + high) / 2:.1f}</span><span>{high:.1f} or more</span></div></div>\n"
        "<p>Colour shows how much each place of the film adds to the answer, in the unit of the "
        "score before it becomes a probability (logit). The average of the whole map and a "
        "constant are the score itself; this is checked on every image. The scale is fixed for "
        "the model, so a weak map looks weak. Negative answers have no map. The grid is coarse "
        f"({heat.shape[0]} × {heat.shape[1]} cells): it is no outline of a lesion, and nothing "
        "may be measured on it.</p>"
    )


def _limits(report: Report) -> str:
    return (
        "<h2>Limits</h2>\n<ul>"
        "<li>Not for diagnosis. No authority has cleared this program or its model.</li>"
        "<li>Phantoms are drawings. A right answer on a drawing is no evidence of quality.</li>"
        "<li>The self-proof shows that this device computes what the workstation computed. It "
        "does not show that the model is right.</li>"
        "<li>Figures hold for films like those they were measured on: their sites, devices and "
        "patients.</li></ul>"
    )
