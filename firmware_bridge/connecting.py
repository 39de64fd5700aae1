"""From what a user names to a link: a path, a URL, a recording, a simulator."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from firmware_bridge.descriptor import Opener
from firmware_bridge.dialect import Dialect
from firmware_bridge.link import Link, Tap
from firmware_bridge.replay import Replay
from firmware_bridge.simulator import Simulator

RECORDING = ".edxr"


def connect(
    target: str | Path | Opener | Simulator,
    dialect: Dialect | None = None,
    *,
    baud: int = 115200,
    profile: str | None = None,
    reconnect: bool = True,
    tap: Tap | None = None,
    pace: Literal["fast", "real"] = "fast",
) -> Link:
    """A link to a device, with its handshake done.

    Args:
        target: a device file, `socket://host:port`, `rfc2217://host:port`, a recording (`.edxr`), a
            simulator, or what opens a port.
        dialect: what it speaks, see `firmware_bridge.devices`; None for docs/wire.md.
        baud: of a serial line.
        profile: of its board, see `firmware_bridge.profiles`: which lines are raised, and how long
            it needs; None: by what the USB device is known to need.
        reconnect: whether a lost device is looked for until you close the link.
        tap: sees all bytes.
        pace: of a recording: as fast as it is read (streams then wait for you by default), or as it
            was recorded.

    Raises:
        BridgeError: it cannot be reached, or nothing answers that can be understood.
    """
    if isinstance(target, Simulator):
        opener = target.memory()
    elif isinstance(target, Path | str) and Path(target).suffix == RECORDING:
        replay = Replay(target, dialect, pace)
        return Link(
            lambda: replay, replay, reconnect=False, measure_clock=False, tap=tap,
            now_ns=replay.now_ns, on_full="block" if pace == "fast" else "drop",
        )  # fmt: skip
    elif isinstance(target, Path | str):
        from firmware_bridge import port, profiles

        settings = None if profile is None else profiles.profile(profile).settings
        opener = port.opener(str(target), settings, baud=baud)
    else:
        opener = target
    return Link(opener, dialect, reconnect=reconnect, tap=tap)
