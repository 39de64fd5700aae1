"""Devices of others, each with its byte layout, its greeting, and a double; docs/bridge.md.

A dialect is chosen by name and imported when it is used.
"""

from __future__ import annotations

import importlib
from typing import Any

from firmware_bridge.dialect import Dialect
from firmware_bridge.errors import Incompatible

DEVICES = {
    "edge-dx": ("firmware_bridge.dialect", "Native", "devices of docs/wire.md"),
    "smp-console": (
        "firmware_bridge.devices.smp_server", "SmpConsole", "SMP on a console: Zephyr, MCUboot"
    ),
    "smp-raw": ("firmware_bridge.devices.smp_server", "SmpRaw", "SMP without framing"),
    "cyton": ("firmware_bridge.devices.cyton", "Cyton", "OpenBCI Cyton, 8 channels"),
    "cyton-daisy": (
        "firmware_bridge.devices.cyton_daisy", "CytonDaisy", "OpenBCI Cyton with Daisy, 16 channels"
    ),
    "openview": (
        "firmware_bridge.devices.openview", "OpenView", "ProtoCentral OpenView and HealthyPi",
    ),
    "heartypatch": (
        "firmware_bridge.devices.heartypatch", "HeartyPatch", "ProtoCentral HeartyPatch, protocol 3"
    ),
    "csv": ("firmware_bridge.devices.csv", "Csv", "numbers in lines of text"),
}  # fmt: skip
"""Name → module, class, and what it is."""


def dialect(name: str, **options: Any) -> Dialect:
    """The dialect of that name.

    Args:
        name: a key of `DEVICES`.
        options: of its class.

    Raises:
        Incompatible: there is none, or it needs other options.
    """
    if name not in DEVICES:
        raise Incompatible(f"no device {name!r} is known; these are: {', '.join(DEVICES)}")
    module, kind, _ = DEVICES[name]
    try:
        made: Dialect = getattr(importlib.import_module(module), kind)(**options)
    except (TypeError, ValueError) as error:
        raise Incompatible(f"the device {name!r} cannot be set up so: {error}") from error
    return made
