"""What thresholds reach, counted as EC57 counts: V by N, S or nothing is wrong, V by F or Q is not
counted; S by anything but Q is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEARNING_ROWS = 300 * 250
_N, _S, _V, _F, _Q = range(5)


def probabilities(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Softmax over the last axis."""
    high = np.exp(logits - logits.max(axis=-1, keepdims=True), dtype=np.float64)
    return np.asarray(high / high.sum(axis=-1, keepdims=True))


def told_by(record: Mapping[str, Any], leads: str = "MLII") -> NDArray[np.float64]:
    """(n, 5) probabilities by one lead, or by `both` as a device with two leads fuses them."""
    found = record["leads"]
    if leads != "both":
        return probabilities(found[leads])
    logs = np.mean([np.log(probabilities(one) + 1e-12) for one in found.values()], axis=0)
    return probabilities(logs)


def said(p: NDArray[np.float64], thresholds: tuple[float, float]) -> NDArray[np.int64]:
    """Classes by (V's, S's) thresholds, as `edge_dx.ecg.beats.BeatRule` says them."""
    v, s = thresholds
    return np.where(p[:, _V] >= v, _V, np.where(p[:, _S] >= s, _S, _N))


def matrix(truth: NDArray[np.int64], answer: NDArray[np.int64]) -> NDArray[np.int64]:
    """(6, 5): reference N S V F Q none by answer."""
    found = np.zeros((6, 5), np.int64)
    np.add.at(found, (np.where(truth < 0, 5, truth), answer), 1)
    return found


def figures(counts: NDArray[np.int64]) -> tuple[float, float, float, float]:
    """VEB sensitivity and positive predictivity, SVEB likewise, percent."""
    c = counts
    veb = c[_V, _V]
    sveb = c[_S, _S]
    told_v = c[[_N, _S, _V, 5], _V].sum()
    told_s = c[[_N, _S, _V, _F, 5], _S].sum()
    return tuple(  # type: ignore[return-value]
        100.0 * float(a) / max(float(b), 1e-9) if b else float("nan")
        for a, b in ((veb, c[_V].sum()), (veb, told_v), (sveb, c[_S].sum()), (sveb, told_s))
    )


def _counted(records: Mapping[str, Any], leads: str) -> tuple[NDArray[Any], NDArray[Any]]:
    p, truth = [], []
    for record in records.values():
        tested = record["beats"] >= LEARNING_ROWS
        p.append(told_by(record, leads)[tested])
        truth.append(record["labels"][tested])
    return np.concatenate(p), np.concatenate(truth)


def best_thresholds(records: Mapping[str, Any], leads: str = "MLII") -> tuple[float, float]:
    """Those with the highest sum of VEB's and SVEB's F1, from the test periods pooled."""
    p, truth = _counted(records, leads)
    best, found = -1.0, (0.5, 0.5)
    for v in np.arange(0.2, 0.96, 0.05):
        for s in np.arange(0.1, 0.96, 0.05):
            se_v, pp_v, se_s, pp_s = figures(matrix(truth, said(p, (v, s))))
            score = np.nansum([2 * a * b / max(a + b, 1e-9) for a, b in
                               ((se_v, pp_v), (se_s, pp_s))])  # fmt: skip
            if score > best:
                best, found = float(score), (float(round(v, 2)), float(round(s, 2)))
    return found


def table(records: Mapping[str, Any], thresholds: tuple[float, float], leads: str = "MLII") -> str:
    """Each record and all together."""
    lines = [f"V >= {thresholds[0]}, S >= {thresholds[1]}, {leads}"]
    total = np.zeros((6, 5), np.int64)
    for name, record in sorted(records.items()):
        tested = record["beats"] >= LEARNING_ROWS
        counts = matrix(record["labels"][tested], said(told_by(record, leads), thresholds)[tested])
        total += counts
        lines.append(_line(name, counts))
    return "\n".join([*lines, _line("gross", total)])


def _line(name: str, c: NDArray[np.int64]) -> str:
    told = " ".join(f"{v:5.1f}" for v in figures(c))
    return (f"{name:5s} V {told[:11]}  S {told[12:]}  |  N→SV {c[0, 1]:4d} {c[0, 2]:4d}  "
            f"S→NSV {c[1, 0]:4d} {c[1, 1]:4d} {c[1, 2]:4d}  V→NSV {c[2, 0]:4d} {c[2, 1]:4d} "
            f"{c[2, 2]:4d}  F→NSV {c[3, 0]:4d} {c[3, 1]:4d} {c[3, 2]:4d}")  # fmt: skip


def summary(records: Mapping[str, Any]) -> dict[str, Any]:
    """What is written down: gross figures and those of each record, by one lead and by both."""
    names = ("veb_sensitivity", "veb_positive_predictivity", "sveb_sensitivity",
             "sveb_positive_predictivity")  # fmt: skip

    def told(counts: NDArray[np.int64]) -> dict[str, Any]:
        values = [None if np.isnan(v) else round(v, 2) for v in figures(counts)]
        return {**dict(zip(names, values, strict=True)), "matrix": counts.tolist()}

    found: dict[str, Any] = {}
    for leads in ("MLII", "both"):
        thresholds = best_thresholds(records, leads)
        each = {}
        for name, record in sorted(records.items()):
            tested = record["beats"] >= LEARNING_ROWS
            answer = said(told_by(record, leads), thresholds)
            each[name] = matrix(record["labels"][tested], answer[tested])
        found[leads] = {
            "thresholds": dict(zip("VS", thresholds, strict=True)),
            "gross": told(np.sum(list(each.values()), axis=0)),
            "records": {name: told(counts) for name, counts in each.items()},
        }
    return found
