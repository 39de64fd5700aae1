"""Conditions that hold from one sample to another: judged, noisy, and what each lead is worth."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edge_dx.ecg.events import Judging
from edge_dx.signal import Gap, LeadOff, Quality, Warmup

GOOD, HELD, INVALID, SETTLING, LOST = range(5)
"""What a lead is worth, as lanes of the timeline."""
SETTLES = "settling"
CAUSES = ("lost", "lead_off", "not_finite", "absurd", "saturated", "flat", SETTLES)
"""Why nothing was judged, the weightiest first."""
_KEPT_STRETCHES = 12
_RECENT = 64

Put = Callable[[int, int, int], None]
"""Lane, first sample, and the sample after the last."""


class LeadWorth:
    """One lead's state over time, each sample in exactly one.

    Attributes:
        off: the front end says that the electrode is off.
        cause: why there is no signal, while there is none.
    """

    def __init__(self, lanes: int, put: Put) -> None:
        """`lanes` is the first of the five lanes of this lead."""
        self._lanes, self._put = lanes, put
        self._quality, self._since = GOOD, -1
        self._settled: bool | None = None  # not heard of yet
        self.off, self.cause = False, ""

    def begin(self, sample: int) -> None:
        """The recording's first sample."""
        self._since = sample

    def quality(self, event: Quality) -> None:
        """What the signal path says of it."""
        self._turn(event.index)
        self._quality = {"valid": GOOD, "concealed": HELD, "invalid": INVALID}[event.state]
        self.cause = event.cause or "" if event.state == "invalid" else ""

    def warmup(self, event: Warmup) -> None:
        """Its filters began anew or are ready."""
        if self._settled is None:
            self._settled = not event.ready
        self._turn(event.index)
        self._settled = event.ready

    def lose(self, event: Gap) -> None:
        """Samples that never came."""
        self._turn(event.index)
        end = event.index + event.n
        self._put(self._lanes + LOST, self._since, end)
        self._since = max(self._since, end)

    def close(self, end: int) -> None:
        """The recording's end."""
        self._turn(end)

    def _turn(self, sample: int) -> None:
        state = self._quality
        if state == GOOD and self._settled is False:
            state = SETTLING
        if sample > self._since >= 0:
            self._put(self._lanes + state, self._since, sample)
        self._since = max(self._since, sample)


@dataclass(frozen=True, order=True)
class Unjudged:
    """A stretch in which nothing was judged; the longest sorts last, of equals the first."""

    lasts: int
    before: int  # the sample, negative
    cause: str
    open: bool

    @property
    def sample(self) -> int:
        """Its first."""
        return -self.before


class Judged:
    """From where to where beats were told, and why not elsewhere.

    Attributes:
        samples: judged so far, up to the last turn.
        stretches: how many in which nothing was.
        by_cause: their samples.
        recent: the newest such stretches, (first, end), end None while it lasts.
    """

    def __init__(self, leads: dict[str, LeadWorth], put: Put, lane: int) -> None:
        self._leads, self._put, self._lane = leads, put, lane
        self._since, self._on = -1, False
        self._heard = False
        self._seen: set[str] = set()
        self._longest: list[Unjudged] = []
        self._gap_at = -1
        self.samples = self.stretches = 0
        self.by_cause: dict[str, int] = {}
        self.recent: deque[tuple[int, int | None]] = deque(maxlen=_RECENT)

    def begin(self, sample: int) -> None:
        """The recording's first sample; nothing is judged yet."""
        self._since = sample
        self.recent.append((sample, None))

    def hear(self, event: Judging | Gap | LeadOff | Quality | Warmup) -> None:
        """Follows a turn, or remembers why one came."""
        if isinstance(event, Gap):
            if not event.concealed:
                self._gap_at = event.at
                self._seen.add("lost")
        elif isinstance(event, Judging):
            if not self._heard and event.change == "ends":
                self._on_from_the_first()
            self._heard = True
            self._turn(event.sample, on=event.change == "begins", last=False)
            if event.change == "ends":
                self._seen = {"lost"} if self._gap_at >= event.sample else set()
        self._seen.update(self._now())

    def close(self, end: int, *, any_beat: bool) -> None:
        """The recording's end."""
        if any_beat and not self._heard:
            self._on_from_the_first()
        self._turn(end, on=self._on, last=True)

    def _on_from_the_first(self) -> None:
        self._on = True
        self.recent.clear()

    def longest(self) -> list[Unjudged]:
        """The longest stretches without an answer, in the order of time."""
        return sorted(self._longest, key=lambda stretch: stretch.sample)

    def _now(self) -> set[str]:
        told = {worth.cause for worth in self._leads.values() if worth.cause}
        return told | {"lead_off" for worth in self._leads.values() if worth.off}

    def _turn(self, sample: int, *, on: bool, last: bool) -> None:
        begin, end = self._since, max(sample, self._since)
        if begin < 0 or (on == self._on and not last):
            return
        if self._on:
            self._put(self._lane, begin, end)
            self.samples += end - begin
            self.recent.append((end, None))
        elif end > begin:
            cause = next((c for c in CAUSES if c in self._seen), SETTLES)
            self.by_cause[cause] = self.by_cause.get(cause, 0) + end - begin
            self.stretches += 1
            heapq.heappush(self._longest, Unjudged(end - begin, -begin, cause, last))
            if len(self._longest) > _KEPT_STRETCHES:
                heapq.heappop(self._longest)
        if not self._on and self.recent and self.recent[-1][1] is None:
            self.recent[-1] = (begin, end)
        self._since, self._on = end, on
