"""The commands of `edge-dx-bridge`, one module each with an `act(options) -> exit code`."""

from __future__ import annotations

import argparse
import sys

from firmware_bridge.connecting import connect
from firmware_bridge.devices import dialect
from firmware_bridge.dialect import Dialect
from firmware_bridge.link import Link, Tap

EXIT_DONE, EXIT_FAILED, EXIT_USAGE = 0, 1, 2


def spoken(options: argparse.Namespace) -> Dialect | None:
    """The dialect that the options name; None for docs/wire.md."""
    if options.device == "edge-dx":
        return None
    told = {
        "rate_hz": options.rate, "unit": options.unit, "step": options.step, "gain": options.gain,
        "leads": tuple(options.leads.split(",")) if options.leads else None,
        "index": options.index or None,
    }  # fmt: skip
    return dialect(options.device, **{name: it for name, it in told.items() if it is not None})


def opened(options: argparse.Namespace, tap: Tap | None = None, *, reconnect: bool = True) -> Link:
    """The link to the device that the options name."""
    profile = getattr(options, "profile", None)
    if profile is None and options.device.startswith("cyton"):
        profile = "cyton"
    return connect(
        options.target, spoken(options), baud=options.baud, profile=profile, reconnect=reconnect,
        tap=tap, pace=getattr(options, "pace", "fast"),
    )  # fmt: skip


def shown(text: str) -> str:
    """A device's words without what a terminal would obey."""
    safe = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
    encoding = sys.stdout.encoding or "utf-8"
    return safe.encode(encoding, "backslashreplace").decode(encoding)


def chosen(options: argparse.Namespace, link: Link) -> str:
    """The stream that the options name, or the device's first."""
    if options.stream:
        return str(options.stream)
    return link.hello.streams[0].name if link.hello.streams else "ecg"
