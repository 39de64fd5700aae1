"""`edge-dx stream --view`: heart rate, beats, quality and alarms in a terminal, in place.

Lines are drawn over the ones before with a single write; the terminal's settings stay as they are,
so there is nothing to give back, however the program ends. Where nobody watches, or the terminal
cannot move its cursor, a plain line comes for every ten seconds of signal.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import deque
from typing import TextIO

import numpy as np

from edge_dx.commands.ecg_trace import drawn
from edge_dx.ecg.events import LABELS, Alarm, AlarmKind, Beat, Judging, Noise, Rhythm, StreamEvent
from edge_dx.ecg.stream import StreamInfo
from edge_dx.report.holter.counting import BeatCounts
from edge_dx.report.holter.ring import Ring
from edge_dx.report.holter.times import elapsed
from edge_dx.report.text import plain
from edge_dx.signal import Quality, Samples, Warmup

_EACH_S, _LINE_EACH_S = 0.1, 10.0
_TRACE_S, _TRACE_LINES = 6.0, 5
_WIDEST = 110
_KEPT_BEATS, _KEPT_STEPS, _KEPT_ALARMS = 64, 100, 3
_BOLD, _RED, _SOFT, _OFF = "\x1b[1m", "\x1b[1;31m", "\x1b[2m", "\x1b[0m"
_NAME = 9  # columns of the names at the left


class LiveView:
    """What the stream knows now.

    Attributes:
        moves: the terminal can be drawn over; else lines come.
    """

    def __init__(self, info: StreamInfo, name: str, out: TextIO | None = None) -> None:
        """Prepares; nothing is drawn before the first step.

        Args:
            info: of the stream.
            name: of the recording.
            out: where to; standard output where None.
        """
        self._info, self._name = info, plain(name)
        self._out = sys.stdout if out is None else out
        self.moves = self._out.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "")
        encoding = (getattr(self._out, "encoding", None) or "ascii").lower().replace("-", "")
        self._braille = encoding == "utf8"
        self._rate = float(info.rate_hz)
        self._ring = Ring(info.rate_hz, 1)
        self._counts = BeatCounts()
        self._beats: deque[Beat] = deque(maxlen=_KEPT_BEATS)
        self._steps: deque[float] = deque(maxlen=_KEPT_STEPS)
        self._worst_s = self._latest_s = 0.0
        self._quality: dict[str, str] = dict.fromkeys(info.leads, "settling")
        self._judged = self._noisy = False
        self._af_since: int | None = None
        self._alarms: dict[AlarmKind, Alarm] = {}
        self._past: deque[Alarm] = deque(maxlen=_KEPT_ALARMS)
        self._drawn_at = -np.inf
        self._lines = 0
        self._told_s = 0.0
        self._gone = False

    def samples(self, samples: Samples) -> None:
        """Samples that were judged; of several leads the first is drawn."""
        self._ring.write(samples, None)

    def event(self, event: StreamEvent) -> None:
        """What was said."""
        if isinstance(event, Beat):
            self._beats.append(event)
            self._counts.beat(event)
            self._latest_s = max(self._latest_s, (event.certain_at - event.sample) / self._rate)
        elif isinstance(event, Rhythm):
            self._af_since = event.sample if event.change == "begins" else None
        elif isinstance(event, Alarm):
            self._alarm(event)
        elif isinstance(event, Judging):
            self._judged = event.change == "begins"
        elif isinstance(event, Noise):
            self._noisy = event.change == "begins"
        elif isinstance(event, Quality):
            cause = f" ({(event.cause or '').replace('_', ' ')})" if event.cause else ""
            self._quality[event.lead] = (
                "good" if event.state == "valid" else
                f"{'held' if event.state == 'concealed' else 'no signal'}{cause}"
            )  # fmt: skip
        elif isinstance(event, Warmup):
            self._quality[event.lead] = "good" if event.ready else "settling"

    def stepped(self, seconds: float) -> None:
        """A step is done, and took so long; draws, if it is time."""
        self._steps.append(seconds)
        self._worst_s = max(self._worst_s, seconds)
        if self.moves:
            now = time.monotonic()
            if now - self._drawn_at >= _EACH_S:
                self._drawn_at = now
                self._draw()
        elif self._now_s >= self._told_s + _LINE_EACH_S:
            self._told_s += _LINE_EACH_S * ((self._now_s - self._told_s) // _LINE_EACH_S)
            self._write(self._one_line() + "\n")

    def close(self, last: int, ended: str | None) -> None:
        """The last picture stays."""
        if self.moves:
            self._draw()
        elif self._ring.samples:
            self._write(self._one_line() + "\n")

    @property
    def _now_s(self) -> float:
        return max(self._ring.following - self._ring.first, 0) / self._rate

    def _alarm(self, event: Alarm) -> None:
        if event.change == "ends":
            if begun := self._alarms.pop(event.kind, None):
                self._past.append(begun)
        elif event.kind == "couplet":  # over as it begins
            self._past.append(event)
        else:
            self._alarms[event.kind] = event

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        wide = min(size.columns - 1, _WIDEST)
        lines = self._picture(max(wide, 20))[: max(size.lines - 1, 1)]
        up = f"\x1b[{self._lines}A\r" if self._lines else ""
        # What was longer before is wiped behind each line, and what was lower below the last.
        self._write(up + "".join(f"{line}{_OFF}\x1b[K\n" for line in lines) + "\x1b[J")
        self._lines = len(lines)

    def _write(self, text: str) -> None:
        if self._gone:
            return
        encoding = getattr(self._out, "encoding", None) or "utf-8"
        try:
            self._out.write(text.encode(encoding, "replace").decode(encoding))
            self._out.flush()
        except OSError:  # nobody reads any more; what is judged goes on
            self._gone = True

    def _picture(self, wide: int) -> list[str]:
        info = self._info
        head = f"{self._name}  lead {', '.join(info.leads)}  {self._rate:g}/s"
        warn = "not for diagnosis"
        room = wide - len(warn) - 2
        lines = [_BOLD + plain(head)[:room].ljust(room) + "  " + _OFF + _SOFT + warn]
        lines.append(_SOFT + f"{info.bundle}, {info.variant} on {info.engine}"[:wide])
        rate = self._counts.rate_now if self._judged else None
        told = "--" if rate is None else f"{rate:.0f}"
        state = "judged" if self._judged else "NOT JUDGED"
        state += ", in noise" if self._noisy else ""
        when = f"{elapsed(self._now_s)}  sample {max(self._ring.following - 1, 0)}  {state}"
        lines.append(
            _named("heart", f"{_BOLD}{told:>3}{_OFF} /min   {when}", wide + len(_BOLD + _OFF))
        )
        lines += self._trace(wide)
        lines.append(_named("beats", self._latest(wide - _NAME), wide))
        lines.append(_named("counted", self._tally(), wide))
        lines.append(_named("rhythm", self._rhythm(), wide))
        quality = "   ".join(f"{plain(lead)} {worth}" for lead, worth in self._quality.items())
        lines.append(_named("leads", quality, wide))
        lines.append(_named("late", self._late(), wide))
        lines += self._alarm_lines(wide)
        return lines

    def _trace(self, wide: int) -> list[str]:
        """The last seconds, with the letters of the beats above."""
        across = wide - _NAME
        end = self._ring.following
        begin = end - int(_TRACE_S * self._rate)
        mv = self._ring.read(max(begin, 0), end)[:, 0] if end > 0 else np.zeros(0)
        mv = np.concatenate([np.full(max(-begin, 0), np.nan), mv])
        letters = [" "] * across
        for beat in self._beats:
            place = (beat.sample - begin) * across // max(end - begin, 1)
            if 0 <= place < across:
                letters[place] = beat.label if self._info.answer else "."
        names = ["", f"{_TRACE_S:g} s", *[""] * (_TRACE_LINES - 1)]
        picture = drawn(mv, across, _TRACE_LINES, braille=self._braille)
        return [
            f"{name:<{_NAME}}{line}"
            for name, line in zip(names, ["".join(letters), *picture], strict=True)
        ]

    def _latest(self, wide: int) -> str:
        """The last beats with their RR intervals in milliseconds, the newest at the right."""
        words: list[str] = []
        for beat in reversed(self._beats):
            rr = "" if beat.rr_s is None else f" {beat.rr_s * 1000:.0f}"
            word = f"{beat.label if self._info.answer else 'beat'}{'~' if beat.noisy else ''}{rr}"
            if sum(len(w) + 3 for w in words) + len(word) > wide:
                break
            words.append(word)
        return " | ".join(reversed(words)) or "none yet"

    def _tally(self) -> str:
        counts = self._counts.counts
        if self._info.answer is None:
            return f"{sum(counts.values())} beats, not told apart"
        own = "  ".join(f"{label} {counts[label]}" for label in LABELS)
        return f"{own}   in noise {self._counts.noisy}   pauses {self._counts.pauses}"

    def _rhythm(self) -> str:
        if self._af_since is not None:
            return f"ATRIAL FIBRILLATION since {self._when(self._af_since)}"
        if "AF" not in self._info.rhythms:
            return "not judged by this model"
        return "no atrial fibrillation" if self._judged else "--"

    def _late(self) -> str:
        told = "no beat yet"
        if self._beats:
            beat = self._beats[-1]
            told = f"beat {(beat.certain_at - beat.sample) / self._rate * 1000:.0f} ms after its R"
            told += f" peak (worst {self._latest_s * 1000:.0f})"
        if self._steps:
            mean = 1000 * sum(self._steps) / len(self._steps)
            told += f"; step {mean:.2f} ms (worst {1000 * self._worst_s:.2f})"
        return told

    def _alarm_lines(self, wide: int) -> list[str]:
        lines = [
            _RED + _named("ALARM", f"{_said(alarm)} since {self._when(alarm.sample)}", wide)
            for alarm in self._alarms.values()
        ]
        past = [f"{_said(alarm)} at {self._when(alarm.sample)}" for alarm in reversed(self._past)]
        if not lines:
            none = "no rule is on"
            if self._info.alarms:
                none = "none now" if self._judged else "--"
            lines.append(_named("alarms", none, wide))
        lines.append(_SOFT + _named("past", "; ".join(past) or "none", wide))
        return lines

    def _one_line(self) -> str:
        rate = self._counts.rate_now if self._judged else None
        words = [
            elapsed(self._now_s), "judged" if self._judged else "NOT JUDGED",
            "--/min" if rate is None else f"{rate:.0f}/min", self._tally(), self._late(),
        ]  # fmt: skip
        if self._af_since is not None:
            words.append(self._rhythm())
        words += [f"ALARM {_said(alarm)}" for alarm in self._alarms.values()]
        words += [f"lead {plain(lead)} {worth}" for lead, worth in self._quality.items()
                  if worth != "good"]  # fmt: skip
        return "  ".join(words)

    def _when(self, sample: int) -> str:
        return elapsed(max(sample - max(self._ring.first, 0), 0) / self._rate)


def _said(alarm: Alarm) -> str:
    unit = alarm.unit if alarm.unit.startswith("/") else f" {alarm.unit}"
    return f"{alarm.kind.replace('_', ' ')} {alarm.value:.3g}{unit}"


def _named(name: str, text: str, wide: int) -> str:
    return f"{name:<{_NAME}}{text}"[:wide]
