"""One record compared: every count that a figure is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge_dx.ec57.episodes import ATRIAL, FLUTTER, VENTRICULAR, compare_episodes, episodes
from edge_dx.ec57.mapping import Mapping
from edge_dx.ec57.match import LEARNING_S, WINDOW_S, Match, in_samples, match
from edge_dx.ec57.runs import compare_runs, marks
from edge_dx.ec57.track import Track, length, track
from edge_dx.wfdb import Annotations

PARTS: dict[str, tuple[int, ...]] = {
    "beats": (7, 7), "ventricular_runs": (2, 7, 7), "supraventricular_runs": (2, 7, 7),
    "atrial_fibrillation": (8,), "ventricular_fibrillation": (8,), "rr": (2, 2), "shutdown": (2,),
}  # fmt: skip
"""What is counted, and the shape of it."""


@dataclass(frozen=True)
class Protocol:
    """How records are compared.

    Attributes:
        mapping: symbols to classes.
        from_s: where the test period begins; EC57 asks for 5 minutes of learning.
        to_s: where it ends, or None: with the record.
        window_s: the match window; EC57 asks for 150 ms.
        shortest_episode_s: shorter episodes are not asked for; EC57 asks for all.
    """

    mapping: Mapping
    from_s: float = LEARNING_S
    to_s: float | None = None
    window_s: float = WINDOW_S
    shortest_episode_s: float = 0.0

    @property
    def departures(self) -> tuple[str, ...]:
        """Where this is not what EC57 asks for."""
        found = []
        if self.from_s != LEARNING_S:
            found.append(f"from {self.from_s:g} s in place of {LEARNING_S:g} s")
        if self.to_s is not None:
            found.append(f"to {self.to_s:g} s in place of the end")
        if self.window_s != WINDOW_S:
            found.append(f"window of {self.window_s * 1000:g} ms in place of {WINDOW_S * 1000:g}")
        if self.shortest_episode_s:
            found.append(f"no episodes shorter than {self.shortest_episode_s:g} s")
        return tuple(found)


@dataclass(frozen=True)
class Tally:
    """One record's counts.

    Attributes:
        record: its name.
        patient: whose it is.
        rate_hz: samples per second.
        matched: the pairs of beats.
        counts: by the names of `PARTS`; durations in seconds, squared errors in ms².
    """

    record: str
    patient: str
    rate_hz: float
    matched: Match = field(repr=False)
    counts: dict[str, NDArray[np.float64]] = field(repr=False)

    @property
    def vector(self) -> NDArray[np.float64]:
        """All counts in a row, in the order of `PARTS`."""
        return np.concatenate([self.counts[name].ravel() for name in PARTS])


def compare(
    reference: Annotations,
    test: Annotations,
    protocol: Protocol,
    *,
    rate_hz: float,
    samples: int | None = None,
    record: str = "",
    patient: str | None = None,
) -> Tally:
    """Compares two annotators on one record.

    Args:
        reference: what the experts say.
        test: what is judged; rates other than the record's are converted.
        protocol: how.
        rate_hz: of the record.
        samples: its length, or None where it is not known: beats after the last one of the
            reference are not counted then.
        record: its name.
        patient: whose it is; the record's own name where None.
    """
    told = [each.at(rate_hz) for each in (reference, test)]
    start, window = (in_samples(s, rate_hz) for s in (protocol.from_s, protocol.window_s))
    end = samples if protocol.to_s is None else in_samples(protocol.to_s, rate_hz)
    tracks = [track(each, protocol.mapping, window) for each in told]
    last = max((item.sample for each in told for item in each), default=start)
    until = max(start, last if end is None else end)
    found = match(*tracks, start=start, end=end, window=window)
    counts = {"beats": found.matrix.astype(np.float64), "rr": found.rr.copy()}
    counts["rr"][:, 0] *= (1000 / rate_hz) ** 2
    marked = [marks(each, protocol.mapping) for each in told]
    for kind in ("ventricular", "supraventricular"):
        runs = compare_runs(marked[0], marked[1], kind, start=start, end=end, window=window)
        counts[f"{kind}_runs"] = runs.astype(np.float64)
    shortest = in_samples(protocol.shortest_episode_s, rate_hz)
    for name, kind in (("atrial", ATRIAL), ("ventricular", VENTRICULAR)):
        counted = compare_episodes(
            episodes(told[0], kind), episodes(told[1], kind),
            episodes(told[0], FLUTTER) if kind == ATRIAL else (),
            start=start, end=until, shortest=shortest)  # fmt: skip
        counted[[2, 3, 6, 7]] /= rate_hz
        counts[f"{name}_fibrillation"] = counted
    counts["shutdown"] = _shutdown(tracks[1], start, until) / rate_hz
    return Tally(record, patient or record, rate_hz, found, counts)


def _shutdown(test: Track, start: int, end: int) -> NDArray[np.float64]:
    return np.array([length(test.shutdowns, start, end), end - start], np.float64)
