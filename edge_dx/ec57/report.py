"""What an evaluation says, as text for a person and as JSON. Every figure names its mapping."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from edge_dx.ec57.figures import FIGURES, figures_for
from edge_dx.ec57.mapping import LABELS
from edge_dx.ec57.summary import Evaluation, Value
from edge_dx.ec57.tally import PARTS, Tally


def to_dict(evaluation: Evaluation, *, records: bool = True) -> dict[str, Any]:
    """The evaluation as JSON takes it."""
    protocol = evaluation.protocol
    found: dict[str, Any] = {
        "mapping": {"name": protocol.mapping.name, "classes": dict(protocol.mapping.classes)},
        "window_ms": protocol.window_s * 1000,
        "from_s": protocol.from_s,
        "to_s": protocol.to_s,
        "departures_from_ec57": list(protocol.departures),
        "records": len(evaluation.tallies),
        "patients": len({tally.patient for tally in evaluation.tallies}),
        "labels": LABELS,
        "counts": {name: counts.tolist() for name, counts in evaluation.counts.items()},
        "gross": _values(evaluation.gross),
        "average": _values(evaluation.average),
    }
    if records:
        found["per_record"] = [_record(evaluation, tally) for tally in evaluation.tallies]
    return found


def _record(evaluation: Evaluation, tally: Tally) -> dict[str, Any]:
    return {
        "record": tally.record,
        "patient": tally.patient,
        "rate_hz": tally.rate_hz,
        "offset_ms": dict(zip(("p5", "median", "p95"), offsets_ms(tally), strict=True)),
        "counts": {name: tally.counts[name].tolist() for name in PARTS},
        "figures": {
            name: {key: value for key, value in asdict(each).items()
                   if key in ("mapping", "value", "above", "below")}
            for name, each in evaluation.of_record(tally).items()
        },
    }  # fmt: skip


def _values(values: dict[str, Value]) -> dict[str, Any]:
    return {name: {**asdict(value), "unit": FIGURES[name].unit} for name, value in values.items()}


def offsets_ms(tally: Tally) -> tuple[float | None, float | None, float | None]:
    """How much later than the reference the test's beats stand: 5th, 50th, 95th percentile."""
    found = tally.matched.offsets()
    if not len(found):
        return None, None, None
    low, middle, high = np.percentile(found, [5, 50, 95]) * 1000 / tally.rate_hz
    return round(float(low), 3), round(float(middle), 3), round(float(high), 3)


def to_text(evaluation: Evaluation, *, records: bool = False) -> str:
    """The evaluation as tables."""
    protocol = evaluation.protocol
    name = protocol.mapping.name
    patients = len({tally.patient for tally in evaluation.tallies})
    classes = ", ".join(f"{key} = {' '.join(own)}" for key, own in protocol.mapping.classes.items())
    lines = [
        f"{len(evaluation.tallies)} records of {patients} patients; match window "
        f"{protocol.window_s * 1000:g} ms; from {protocol.from_s:g} s",
        f"mapping {name}: {classes}",
    ]
    lines += [f"NOT AS EC57 ASKS: {told}" for told in protocol.departures]
    lines += ["", *_matrix(evaluation.counts["beats"], name), ""]
    for figure in figures_for(protocol.mapping):
        gross, average = evaluation.gross[figure.name], evaluation.average[figure.name]
        if gross.value is None:
            continue
        lines.append(f"{figure.told + ' [' + name + ']':<46} gross {_told(gross, figure.unit)}"
                     f"; average {_told(average, figure.unit)}")  # fmt: skip
    absent = [figure.told for figure in figures_for(protocol.mapping)
              if evaluation.gross[figure.name].value is None]  # fmt: skip
    if absent:
        lines += ["", "nothing to measure them on: " + ", ".join(absent)]
    if patients < 2:
        lines += ["", "no intervals: they need two patients at least"]
    if records:
        lines += ["", *_records(evaluation)]
    return "\n".join(lines)


def _matrix(counts: Any, name: str) -> list[str]:
    lines = [f"[{name}]  test", "ref  " + "".join(f"{label.lower():>8}" for label in LABELS)]
    for row, label in enumerate(LABELS):
        cells = "".join("       –" if row > 4 and column > 4 else f"{counts[row, column]:8.0f}"
                        for column in range(7))  # fmt: skip
        lines.append(f"  {label}  {cells}")
    return lines


def _told(value: Value, unit: str) -> str:
    if value.value is None:
        return "–"
    times, sign = (100, " %") if unit == "share" else (1, " ms")
    words = f"{value.value * times:.2f}{sign}"
    inside = []
    if value.above is not None and unit == "share":
        inside.append(f"{value.above:g}/{value.below:g}")
    if value.low is not None and value.high is not None:
        inside.append(f"{value.low * times:.2f}–{value.high * times:.2f}")
    return f"{words} ({', '.join(inside)})" if inside else words


def _records(evaluation: Evaluation) -> list[str]:
    parts = ("qrs", "veb", "sveb")
    shown = [
        f"{part}_{word}" for part in parts for word in ("sensitivity", "positive_predictivity")
    ]
    heads = [f"{part.upper()} {word}" for part in parts for word in ("Se", "+P")]
    if not evaluation.protocol.mapping.tells_supraventricular:
        shown, heads = shown[:4], heads[:4]
    lines = [f"[{evaluation.protocol.mapping.name}] %".ljust(18)
             + "".join(f"{head:>9}" for head in [*heads, "RR ms", "offset"])]  # fmt: skip
    for tally in evaluation.tallies:
        values = evaluation.of_record(tally)
        cells = [_cell(values[name].value, 100) for name in shown]
        cells += [_cell(values["rr_error_rms_ms"].value), _cell(offsets_ms(tally)[1])]
        lines.append(f"{tally.record[:17]:<18}" + "".join(f"{cell:>9}" for cell in cells))
    return lines


def _cell(value: float | None, times: float = 1) -> str:
    return "–" if value is None else f"{value * times:.2f}"
