"""`edge-dx-bridge info`: what a device says about itself, and how the link to it is."""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import msgspec

from firmware_bridge.commands import EXIT_DONE, opened, shown
from firmware_bridge.errors import BridgeError
from firmware_bridge.link import Link
from firmware_bridge.smp import Group, Op, Ours

_CLOCK_S = 3.0


def act(options: argparse.Namespace) -> int:
    """Prints it for a person, or as JSON."""
    with opened(options, reconnect=False) as link:
        told = gathered(link)
    if options.json:
        print(json.dumps(told))
        return EXIT_DONE
    hello = told["hello"]
    print(shown(f"{hello['device']}  serial {hello['serial'] or '-'}  "
                f"firmware {hello['firmware'] or '-'}  boot {hello['boot_id']}"))  # fmt: skip
    for stream in hello["streams"]:
        rate = stream["rate"][0] / stream["rate"][1]
        leads = ", ".join(stream["leads"]) or "pictures"
        print(shown(f"  stream {stream['name']}: {rate:g} Hz, {leads}, "
                    f"{stream['scale']:g} {stream['unit'] or 'levels'} per count, "
                    f"{stream['bits']} bits, {stream['per_message']} per message"))  # fmt: skip
    if hello["features"]:
        print(shown("  features: " + ", ".join(hello["features"])))
    if hello["mains_hz"]:
        print(f"  mains: {hello['mains_hz']} Hz")
    clock = told["clock"]
    if clock is not None:
        print(f"  clock: known to {clock['uncertainty_ms']:.2f} ms")
    for name, value in (told["device_counters"] or {}).items():
        print(shown(f"  device counts {name}: {value}"))
    print("  link: " + ", ".join(f"{name} {value}" for name, value in told["troubles"].items()))
    return EXIT_DONE


def gathered(link: Link) -> dict[str, Any]:
    """Everything, as plain values."""
    counters: dict[str, Any] | None = None
    if link.has_clock:
        until = time.monotonic() + _CLOCK_S
        while link.fit is None and time.monotonic() < until:
            time.sleep(0.01)
        try:
            counters = link.ask(Op.READ, Group.EDGE_DX, Ours.COUNTERS, asked="its counters")
        except BridgeError:
            counters = None
    fit = link.fit
    clock = None if fit is None else {"uncertainty_ms": fit.uncertainty_s * 1e3,
                                      "skew_ppm": fit.skew_ppm, "points": fit.points}  # fmt: skip
    return {
        "hello": msgspec.to_builtins(link.hello), "clock": clock, "device_counters": counters,
        "troubles": link.troubles,
    }  # fmt: skip
