"""`edge-dx-bridge monitor`: rate, loss, latency, the clock and a sketch of the signal, live."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any

import numpy as np

from firmware_bridge.blocks import Block, Picture
from firmware_bridge.commands import EXIT_DONE, EXIT_FAILED, chosen, opened, shown
from firmware_bridge.link import Link

_EVERY_S = 1.0
_BARS = " ▁▂▃▄▅▆▇█"


def act(options: argparse.Namespace) -> int:
    """Prints a line each second until interrupted, or until the stream ends."""
    until = time.monotonic() + options.seconds if options.seconds else None
    with opened(options) as link:
        name = chosen(options, link)
        seen = 0
        with link.stream(name) as stream:
            second = _Second()
            due = time.monotonic() + _EVERY_S
            while until is None or time.monotonic() < until:
                item = stream.get(max(min(due, until or due) - time.monotonic(), 0.0))
                if item is not None:
                    second.add(item)
                    seen += len(item)
                if time.monotonic() >= due or (item is None and link.ended):
                    print(second.line(link, name), flush=True)
                    second, due = _Second(), due + _EVERY_S
                if item is None and link.ended:
                    break
        counts = link.counts[name]
    print(
        f"{shown(name)}: {counts.received} received, {counts.lost_link} lost on the way, "
        f"{counts.lost_device} dropped by the device, {counts.restarts} restarts"
    )
    return EXIT_DONE if seen else EXIT_FAILED


class _Second:
    """What came in a second."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._n = 0
        self._latencies: list[float] = []
        self._signal: list[Any] = []

    def add(self, item: Block | Picture) -> None:
        """A block more."""
        self._n += len(item)
        if item.at.t_host_ns is not None:
            # The last sample of a block is what had to be waited for.
            length_s = (len(item) - 1) / float(item.stream.rate_hz)
            self._latencies.append((item.at.arrived_ns - item.at.t_host_ns) * 1e-9 - length_s)
        if isinstance(item, Block):
            self._signal.append(item.counts[:, 0])

    def line(self, link: Link, name: str) -> str:
        """In words."""
        rate = self._n / max(time.monotonic() - self._since, 1e-3)
        counts = link.counts[name]
        heard = counts.received + counts.lost_link + counts.lost_device
        lost = (counts.lost_link + counts.lost_device) / heard if heard else 0.0
        words = [f"{link.state.value:9} {rate:7.1f} Hz  lost {lost:.3%}"]
        if self._latencies:
            # Of a device without a clock, the shortest delay cannot be seen, what is above it can.
            told = "latency" if link.has_clock else "delay above the least"
            words.append(f"{told} {np.median(self._latencies) * 1e3:.1f} ms")
        if link.fit is not None and link.fit.points > 1:
            fit = link.fit
            words.append(f"clock {fit.skew_ppm:+.0f} ppm, {fit.uncertainty_s * 1e3:.2f} ms")
        return "  ".join([*words, sketch(self._signal)])


def sketch(signal: list[Any], width: int = 40) -> str:
    """The signal's largest excursions from its median in so many bars."""
    if not signal:
        return ""
    values = np.concatenate(signal).astype(np.float64)
    parts = np.array_split(np.abs(values - np.median(values)), min(width, len(values)))
    peaks = np.array([part.max() for part in parts])
    top = peaks.max() or 1.0
    bars = _BARS if (sys.stdout.encoding or "").lower().startswith("utf") else " .:-=+*%#"
    return "".join(bars[int(np.ceil(8 * peak / top))] for peak in peaks)
