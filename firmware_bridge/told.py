"""What serving tells beside the model's own events, and what a device says in words for JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from firmware_bridge.messages import EventKind
from firmware_bridge.receiver import Happened
from firmware_bridge.state import State


@dataclass(frozen=True)
class Break:
    """Of what lies in front of this sample nobody knows how much is missing.

    Attributes:
        sample: the first one after it.
        restart: the device was restarted; its index began anew.
    """

    sample: int
    restart: bool


@dataclass(frozen=True)
class LinkIs:
    """The link's state changed."""

    state: State


def in_json(happened: Happened) -> dict[str, Any]:
    """What the device itself said."""
    kind = happened.event.kind
    name = EventKind(kind).name.lower() if kind in set(EventKind) else str(kind)
    return {"type": "device", "kind": name, "told": _plain(happened.event.told)}


def _plain(value: Any) -> Any:
    """What CBOR can say and JSON cannot: bytes as hexadecimal, numbers that are none as text."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def ends_after(seconds: float | None) -> Callable[[], bool]:
    """For `Serving.events`: true once so many seconds have passed."""
    if seconds is None:
        return lambda: False
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
