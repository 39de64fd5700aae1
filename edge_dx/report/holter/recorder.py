"""Follows a stream and keeps what its report needs, in memory that does not grow with time."""

from __future__ import annotations

import heapq
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from edge_dx.ecg.events import (
    LABELS,
    Alarm,
    AlarmKind,
    Beat,
    Judging,
    Noise,
    Rhythm,
    StreamEvent,
    happened_at,
)
from edge_dx.report.holter.counting import BeatCounts, Finding
from edge_dx.report.holter.lanes import LOST, Judged, LeadWorth
from edge_dx.report.holter.ring import Ring
from edge_dx.report.holter.strips import Strip, Strips
from edge_dx.report.holter.timeline import Timeline
from edge_dx.report.holter.times import Clock
from edge_dx.signal import Gap, LeadOff, Quality, Samples, Warmup
from edge_dx.signal.timing import Rate, exact_rate

JUDGED, AF, NOISY, LEADS = range(4)
"""Lanes of the timeline; from the last on five of each lead."""
STATES = LOST + 1
KEPT_EPISODES = KEPT_ALARMS = 200
_GRAVITY: dict[AlarmKind, int] = {
    "couplet": 0, "bigeminy": 1, "tachycardia": 2, "bradycardia": 3, "ventricular_tachycardia": 4,
    "ventricular_fibrillation": 5, "asystole": 6,
}  # fmt: skip
_RECENT_BEATS = 1024


@dataclass(frozen=True, order=True)
class KeptEpisode:
    """An episode of atrial fibrillation; the longest sorts last, of equals the first."""

    lasts: int
    before: int  # the sample, negative
    beats: int
    rr_s: float
    intervals: int
    open: bool


@dataclass(frozen=True, order=True)
class KeptAlarm:
    """An alarm; the gravest sorts last, of equals the first."""

    gravity: int
    before: int  # the sample, negative
    event: Alarm = field(compare=False)
    end: int | None = field(compare=False)
    open: bool = field(compare=False)


class Holter:
    """Takes samples and events of one recording.

    A stream that goes on from a saved state does not say again what held before; the first event
    of each sort then tells it, for each turns what was so until then.

    Attributes:
        rate_hz: samples per second.
        leads: names of the columns.
        ring: the last samples.
        timeline: sums over time.
        beats: counts and intervals.
        judged: what was looked at.
        alarms: begun, by kind.
        af_samples: in atrial fibrillation.
        af_episodes: begun.
        noisy_samples: while the signal was too noisy for classes.
        lost: samples that never came.
        end: the sample after the last; known when closed.
    """

    def __init__(self, rate_hz: Rate, leads: Sequence[str]) -> None:
        """Prepares.

        Args:
            rate_hz: of the device.
            leads: that are judged; of more than three the first are drawn.

        Raises:
            UnsupportedInput: a rate that no ECG has.
        """
        self.rate_hz, self.leads = exact_rate(rate_hz), tuple(leads)
        self.ring = Ring(self.rate_hz, len(self.leads))
        self.timeline = Timeline(len(LABELS), LEADS + STATES * len(self.leads))
        self.beats = BeatCounts()
        self._worth = {
            name: LeadWorth(LEADS + STATES * n, self._put) for n, name in enumerate(self.leads)
        }
        self.judged = Judged(self._worth, self._put, JUDGED)
        self._strips = Strips(self.ring, self.rate_hz)
        self.alarms: Counter[AlarmKind] = Counter()
        self._alarm_since: dict[AlarmKind, Alarm] = {}
        self._alarms: list[KeptAlarm] = []
        self._af_since, self._noisy_since = -1, -1
        self._episodes: list[KeptEpisode] = []
        self._recent: deque[tuple[int, float]] = deque(maxlen=_RECENT_BEATS)
        self._af_beats, self._af_intervals, self._af_rr_s = 0, 0, 0.0
        self.af_samples = self.af_episodes = self.noisy_samples = self.lost = 0
        self.end = 0
        self._closed = False

    @property
    def clock(self) -> Clock:
        """Samples to seconds from the first one on."""
        return Clock(max(self.ring.first, 0), self.rate_hz)

    def samples(self, samples: Samples, start: int | None = None) -> None:
        """Samples as they go into the stream, before the events of that step.

        At most a minute of them at once: of what is older than the ring no strip can be made.
        """
        # All that was said of the samples before is known by now, so these strips are complete.
        self._strips.ready(tuple(self.judged.recent))
        began = self.ring.first >= 0
        self.ring.write(samples, start)
        if not began and self.ring.first >= 0:
            self.judged.begin(self.ring.first)
            for worth in self._worth.values():
                worth.begin(self.ring.first)

    def events(self, events: Iterable[StreamEvent]) -> None:
        """Events as the stream tells them."""
        for event in events:
            self.event(event)

    def event(self, event: StreamEvent) -> None:
        """One of them."""
        if isinstance(event, Beat):
            self._beat(event)
        elif isinstance(event, Rhythm):
            self._rhythm(event)
        elif isinstance(event, Alarm):
            self._alarm(event)
        elif isinstance(event, Noise):
            self._noise(event)
        else:
            self._path(event)

    def close(self, last: int | None = None) -> None:
        """The recording's end, `last` its last sample. What was running has not ended."""
        if self._closed:
            return
        self._closed = True
        self.end = end = self.ring.following if last is None else max(last + 1, self.ring.following)
        self._offer(self.beats.close())
        self.judged.close(end, any_beat=any(self.beats.counts.values()))
        for worth in self._worth.values():
            worth.close(end)
        self._end_noise(end)
        self._end_af(end, open_=True)
        for alarm in list(self._alarm_since.values()):
            self._end_alarm(alarm, end, open_=True)
        self._strips.close(tuple(self.judged.recent))

    def strips(self) -> list[Strip]:
        """Those that were kept, the weightiest kind first."""
        return self._strips.kept()

    @property
    def happened(self) -> Counter[str]:
        """Occasions by kind."""
        return self._strips.happened

    def kept_episodes(self) -> list[KeptEpisode]:
        """Of atrial fibrillation, in the order of time."""
        return sorted(self._episodes, key=lambda episode: -episode.before)

    def kept_alarms(self) -> list[KeptAlarm]:
        """In the order of time."""
        return sorted(self._alarms, key=lambda alarm: (-alarm.before, -alarm.gravity))

    def _put(self, lane: int, begin: int, end: int) -> None:
        clock = self.clock
        self.timeline.stretch(lane, clock.seconds(begin), clock.seconds(end))

    def _offer(self, found: Iterable[Finding]) -> None:
        for one in found:
            self._strips.offer(one.kind, one.sample, one.centre, one.strength, one.text)

    def _beat(self, beat: Beat) -> None:
        self._strips.beat(beat)
        at_s = self.clock.seconds(beat.sample)
        self.timeline.beat(at_s, LABELS.index(beat.label))
        found, rr_s = self.beats.beat(beat)
        if rr_s is not None:
            self.timeline.interval(at_s, rr_s)
        if (rate := self.beats.rate_now) is not None:
            self.timeline.rate(at_s, rate)
        self._recent.append((beat.sample, rr_s or 0.0))
        if self._af_since >= 0:
            self._count_af(beat.sample, rr_s or 0.0, 1)
        self._offer(found)

    def _rhythm(self, event: Rhythm) -> None:
        if event.change == "begins" and self._af_since < 0:
            self._af_since = event.sample
            self.af_episodes += 1
            self._af_beats, self._af_intervals, self._af_rr_s = 0, 0, 0.0
            for sample, rr_s in self._recent:
                if sample >= event.sample:
                    self._count_af(sample, rr_s, 1)
            self._strips.offer("af_begins", event.sample, event.sample, 0.0, "AF begins")
        elif event.change == "ends":
            if self._af_since < 0:
                if self.af_episodes:
                    return
                # A stream that goes on from a saved state was in it all along.
                self.af_episodes, self._af_since = 1, max(self.ring.first, 0)
                for sample, rr_s in self._recent:
                    self._count_af(sample, rr_s, 1)
            for sample, rr_s in self._recent:
                if sample >= max(event.sample, self._af_since):
                    self._count_af(sample, rr_s, -1)
            self._end_af(event.sample, open_=False)
            self._strips.offer("af_ends", event.sample, event.sample, 0.0, "AF ends")

    def _count_af(self, sample: int, rr_s: float, sign: int) -> None:
        self._af_beats += sign
        if rr_s and sample > self._af_since:  # the first beat's interval lies in front of it
            self._af_intervals += sign
            self._af_rr_s += sign * rr_s

    def _end_af(self, end: int, *, open_: bool) -> None:
        if self._af_since < 0:
            return
        begin, self._af_since = self._af_since, -1
        lasts = max(end - begin, 0)
        self.af_samples += lasts
        self._put(AF, begin, end)
        heapq.heappush(self._episodes, KeptEpisode(
            lasts, -begin, self._af_beats, self._af_rr_s, self._af_intervals, open_,
        ))  # fmt: skip
        if len(self._episodes) > KEPT_EPISODES:
            heapq.heappop(self._episodes)

    def _alarm(self, event: Alarm) -> None:
        if event.change == "ends":
            begun = self._alarm_since.get(event.kind)
            if begun is not None:
                if event.unit == "s":  # how long it was is known in the end alone
                    begun = replace(begun, value=max(begun.value, event.value))
                self._end_alarm(begun, event.sample, open_=False)
            return
        self.alarms[event.kind] += 1
        if event.kind == "couplet":  # over as it begins, and counted among the beats
            self._keep_alarm(KeptAlarm(_GRAVITY["couplet"], -event.sample, event, None, open=False))
            return
        if begun := self._alarm_since.get(event.kind):
            self._end_alarm(begun, event.sample, open_=False)
        self._alarm_since[event.kind] = event
        strength = -event.value if event.kind == "bradycardia" else event.value
        unit = event.unit if event.unit.startswith("/") else f" {event.unit}"
        text = f"alarm: {event.kind.replace('_', ' ')}, {event.value:.3g}{unit}"
        self._strips.offer(event.kind, event.sample, event.sample, strength, text)

    def _end_alarm(self, alarm: Alarm, end: int, *, open_: bool) -> None:
        del self._alarm_since[alarm.kind]
        self._keep_alarm(KeptAlarm(_GRAVITY[alarm.kind], -alarm.sample, alarm, end, open_))

    def _keep_alarm(self, alarm: KeptAlarm) -> None:
        heapq.heappush(self._alarms, alarm)
        if len(self._alarms) > KEPT_ALARMS:
            heapq.heappop(self._alarms)

    def _noise(self, event: Noise) -> None:
        if event.change == "begins" and self._noisy_since < 0:
            self._noisy_since = event.sample
            self._strips.offer("noise", event.sample, event.sample, 0.0, "noise begins")
        elif event.change == "ends":
            self._end_noise(event.sample)

    def _end_noise(self, end: int) -> None:
        if self._noisy_since >= 0:
            self.noisy_samples += max(end - self._noisy_since, 0)
            self._put(NOISY, self._noisy_since, end)
        self._noisy_since = -1

    def _path(self, event: Judging | Gap | LeadOff | Quality | Warmup) -> None:
        if isinstance(event, Gap):
            self.lost += event.n
            for worth in self._worth.values():
                worth.lose(event)
        elif isinstance(event, LeadOff):
            self._worth[event.lead].off = event.off
        elif isinstance(event, Quality):
            self._worth[event.lead].quality(event)
        elif not isinstance(event, Judging):
            self._worth[event.lead].warmup(event)
        if isinstance(event, Judging) and event.change == "ends":
            sample = happened_at(event)
            self._strips.offer("not_analysed", sample, sample, 0.0, "no longer analysed")
        self.judged.hear(event)
