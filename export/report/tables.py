"""The tables of the record: operating points, candidates, noise per layer, engines."""

from __future__ import annotations

from edge_dx.manifest import Estimate
from edge_dx.report.pieces import escaped, table
from export.report.curves import bars
from export.report.record import Report
from export.vocabulary import RecipeFile


def points(report: Report) -> str:
    """Every operating point of every variant; empty where there is none."""
    lines = []
    for v in report.variants:
        for p in v.figures.operating_points if v.figures else ():
            lines.append(
                (code(v.name), escaped(p.name), escaped(p.label), f"{p.threshold:.4f}",
                 f"{p.band[0]:.4f} to {p.band[1]:.4f}", estimate(p.sensitivity),
                 estimate(p.specificity), escaped(p.criterion))
            )  # fmt: skip
    if not lines:
        return ""
    heads = ("variant", "point", "label", "threshold", "indeterminate", "sensitivity",
             "specificity", "rule")  # fmt: skip
    return "<h2>Operating points</h2>" + table(heads, lines, (3,))


def candidates(report: Report) -> str:
    """The ways of quantizing that were tried, best first."""
    parts = []
    for v in report.variants:
        if not v.candidates:
            continue
        lines = [
            ("●" if c.chosen else "", escaped(c.scheme.activation), escaped(c.scheme.method),
             escaped(c.scheme.head), f"{c.sqnr_db:.1f}", f"{c.latency_p50_ms:.3f}",
             f"{c.bytes / 1e3:.0f}", escaped(c.why))
            for c in sorted(v.candidates, key=lambda c: -c.sqnr_db)
        ]  # fmt: skip
        heads = ("", "activations", "ranges", "head", "SQNR of the answers, dB", "p50 ms", "kB", "")
        parts.append(f"<h3>{escaped(v.name)}</h3>" + table(heads, lines, (4, 5, 6)))
    if not parts:
        return ""
    return (
        "<h2>Ways of quantizing that were tried</h2><p>Each was run on the validation set; SQNR is "
        "the signal-to-noise ratio of the answers before their activation, against the module.</p>"
        + "".join(parts)
    )


def layers(report: Report, told: RecipeFile) -> str:
    """What quantizing each layer alone does, drawn."""
    parts = []
    for v in report.variants:
        if not v.layers:
            continue
        rows = [
            (layer.layer + (" (reverted)" if layer.reverted else ""), layer.sqnr_db, layer.reverted)
            for layer in v.layers
        ]
        drawn = bars(f"Noise per layer of {v.name}", rows, told.gates.layer_sqnr_db, "dB")
        parts.append(f"<h3>{escaped(v.name)}</h3>{drawn}")
    if not parts:
        return ""
    return (
        "<h2>Noise per layer</h2><p>SQNR of the answers, in dB, with that layer alone quantized: "
        "the shorter the bar, the more the layer harms. Grey: kept in float.</p>" + "".join(parts)
    )


def engines(report: Report) -> str:
    """Every file on every engine that was here."""
    lines = []
    for v in report.variants:
        for name, f in (v.figures.fidelity.engines if v.figures else {}).items():
            lines.append(
                (code(v.name), escaped(name), escaped(f.version), f"{f.latency_p50_ms:.3f}",
                 f"{f.latency_p90_ms:.3f}", f"{f.max_score_error:.2g}", str(f.decision_flips))
            )  # fmt: skip
    heads = ("variant", "engine", "version", "p50 ms", "p90 ms", "largest error of an answer",
             "answers changed")  # fmt: skip
    return "<h2>Engines</h2>" + table(heads, lines, (3, 4, 5, 6)) if lines else ""


def code(name: str) -> str:
    """A name that does not break over lines."""
    return f'<code style="white-space:nowrap">{escaped(name)}</code>'


def number(value: float | None, digits: int) -> str:
    """A figure, or a dash."""
    return "–" if value is None else f"{value:.{digits}f}"


def estimate(value: Estimate | None) -> str:
    """A figure with its interval, or a dash."""
    return "–" if value is None else f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"


def signed(value: Estimate | None) -> str:
    """A difference with its interval, or a dash."""
    return "–" if value is None else f"{value.value:+.4f} [{value.low:+.4f}, {value.high:+.4f}]"
