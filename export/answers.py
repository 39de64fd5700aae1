"""Raw outputs → what a clinician would be told, for whole sets of studies.

The numbers that thresholds, metrics and noise are about: probabilities of scores and masks,
values in their units, the squared error of a reconstruction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from edge_dx.interpret import probabilities
from edge_dx.manifest import AnyOutput, Mask, Reconstruction, Scores, Values

Floats = np.ndarray[Any, np.dtype[np.float64]]
Answers = dict[str, Floats]
Arrays = Mapping[str, np.ndarray[Any, Any]]


def answers(outputs: Sequence[AnyOutput], values: Arrays, feeds: Arrays) -> Answers:
    """Output → its answers for every study.

    Args:
        outputs: of the manifest.
        values: output → (N, …) as the engine gives it.
        feeds: input → (N, …), for reconstructions.

    Returns:
        Scores (N, labels), masks (N, labels, H, W), values (N, fields), reconstructions (N, 1).
    """
    found: Answers = {}
    for output in outputs:
        raw = values.get(output.name)
        if raw is None:
            continue
        if isinstance(output, Scores):
            found[output.name] = probabilities(output, raw)
        elif isinstance(output, Mask):
            found[output.name] = map_probabilities(output, raw)
        elif isinstance(output, Values):
            scale, offset = (
                np.array([getattr(item, key) for item in output.fields])
                for key in ("scale", "offset")
            )
            found[output.name] = raw.astype(np.float64) * scale + offset
        elif isinstance(output, Reconstruction):
            drawn = feeds[output.of].astype(np.float64)
            off = (raw.astype(np.float64) - drawn).reshape(len(raw), -1)
            found[output.name] = np.square(off).mean(axis=1, keepdims=True)
    return found


def map_probabilities(output: Mask, raw: np.ndarray[Any, Any]) -> Floats:
    """(N, labels, H, W) as probabilities."""
    flat = np.moveaxis(raw, 1, -1).reshape(-1, len(output.labels))
    as_scores = Scores(name=output.name, labels=output.labels, activation=output.activation)
    found = probabilities(as_scores, flat).reshape(*raw.shape[:1], *raw.shape[2:], -1)
    return np.ascontiguousarray(np.moveaxis(found, -1, 1))


def noise(outputs: Sequence[AnyOutput], wanted: Arrays, found: Arrays, feeds: Arrays) -> float:
    """Noise of the answers relative to how much they vary: root mean square over deviation.

    Scores count before their activation, where quantization acts; probabilities near 0 and 1
    would hide it. Of several answers the noisiest one counts.
    """
    worst = 0.0
    for output in outputs:
        if output.name not in wanted or not isinstance(
            output, (Scores, Mask, Values, Reconstruction)
        ):
            continue
        first, second = wanted[output.name], found[output.name]
        if isinstance(output, Reconstruction):
            first = answers([output], {output.name: first}, feeds)[output.name]
            second = answers([output], {output.name: second}, feeds)[output.name]
        off = second.astype(np.float64) - first
        spread = float(np.std(first.astype(np.float64)))
        rms = float(np.sqrt(np.square(off).mean()))
        worst = max(worst, rms / max(spread, 1e-12))
    return worst


def sqnr_db(relative: float) -> float:
    """Relative noise as a signal-to-noise ratio in decibels."""
    return float(-20 * np.log10(max(relative, 1e-9)))
