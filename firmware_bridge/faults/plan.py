"""Plans of a bad cable: the closed words of the TOML file, read and checked."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from firmware_bridge.errors import BadPlan, MissingExtra

_Chance = Annotated[float, Meta(ge=0.0, le=0.5)]
_Time = Annotated[float, Meta(ge=0.0, le=3600.0)]


class Lane(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What happens in one direction; see `firmware_bridge.faults`."""

    flip: _Chance = 0.0
    drop: _Chance = 0.0
    duplicate: _Chance = 0.0
    insert: _Chance = 0.0
    chop: Annotated[int, Meta(ge=0, le=65536)] = 0
    bytes_per_s: Annotated[int, Meta(ge=0)] = 0
    stall_every_s: _Time = 0.0
    stall_s: _Time = 0.0
    disconnect_after_bytes: Annotated[int, Meta(ge=0)] = 0


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A bad cable.

    Attributes:
        seed: of everything random.
        to_host: from the device.
        to_device: from the host.
    """

    seed: Annotated[int, Meta(ge=0, lt=2**62)] = 0
    to_host: Lane = Lane()
    to_device: Lane = Lane()


def read_plan(path: str | Path) -> Plan:
    """A plan from its TOML file.

    Raises:
        BadPlan: not there, no TOML, or a word or number that no plan has.
    """
    try:
        told = _toml(Path(path).read_text("utf-8"))
        return msgspec.convert(told, Plan)
    except OSError as error:
        raise BadPlan(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of msgspec
        raise BadPlan(f"{path}: no plan of faults: {error}") from error


def _toml(text: str) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise MissingExtra("tomli", "reading a plan of faults") from error
    return tomllib.loads(text)
