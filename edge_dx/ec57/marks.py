"""What we found, as annotations that the tools of others read and score.

Beats become beats, episodes rhythm annotations, and stretches in which the signal could not be
judged (gaps, leads off, warm-up) shutdowns: a `~` with subtype 48 and one with subtype 0.
"""

from __future__ import annotations

from collections.abc import Iterable

from edge_dx.wfdb import Annotation, Annotations
from edge_dx.wfdb.codes import NOISE, RHYTHM

SHUTDOWN, RESUME = 0x30, 0
SYMBOLS = {"N": "N", "S": "S", "V": "V", "F": "F", "Q": "Q"}
"""A class to the symbol that every mapping which has the class takes for it."""


def annotated(
    beats: Iterable[tuple[int, str]],
    *,
    shutdowns: Iterable[tuple[int, int]] = (),
    rhythms: Iterable[tuple[int, str]] = (),
    rate_hz: float | None = None,
) -> Annotations:
    """Annotations in the order of time.

    Args:
        beats: sample of the R peak and its class (N, S, V, F, Q).
        shutdowns: first and last sample of each stretch that could not be judged; those that
            overlap or touch become one, for a shutdown within a shutdown is none to bxb.
        rhythms: sample and rhythm, for example `(AFIB` where it begins and `(N` where it ends.
        rate_hz: of the samples, where it is not the record's.

    Raises:
        ValueError: a class that is none, or a beat within a shutdown: what could not be judged has
            no beats, and bxb would take the beat for the shutdown's end.
    """
    away = _merged(shutdowns)
    found = []
    for sample, label in beats:
        if label not in SYMBOLS:
            raise ValueError(f"{label!r} is no class of beat; these are: {', '.join(SYMBOLS)}")
        if any(start < sample < end for start, end in away):
            raise ValueError(f"the beat at sample {sample} lies within a shutdown")
        found.append((sample, 1, Annotation(sample, SYMBOLS[label])))
    for sample, rhythm in rhythms:
        # A rhythm that changed meanwhile is told when the signal is back.
        when = next((end for start, end in away if start < sample < end), sample)
        found.append((when, 1, Annotation(when, RHYTHM, note=rhythm)))
    for start, end in away:
        found.append((start, 2, Annotation(start, NOISE, SHUTDOWN)))
        found.append((end, 0, Annotation(end, NOISE, RESUME)))
    ordered = sorted(found, key=lambda item: item[:2])
    return Annotations(tuple(item for _, _, item in ordered), rate_hz)


def _merged(shutdowns: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in sorted(shutdowns):
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        elif start < end:
            found.append((start, end))
    return found
