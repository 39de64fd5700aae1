"""A comparison for people."""

from __future__ import annotations

from export.comparison.values import BundleComparison


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
