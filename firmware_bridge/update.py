"""Firmware to a device: looked at, sent in pieces that go on after any loss, tried, confirmed.

The device keeps what ran before, and takes it back at the next restart unless the new one was
confirmed. So an update is confirmed only after the device came back with it and shook hands.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_bridge.errors import BridgeError, DeviceRefused, ImageRefused, LinkLost, NoAnswer
from firmware_bridge.link import Link
from firmware_bridge.mcuboot import Held, read_image
from firmware_bridge.smp import Group, Image, Op

_AROUND = 160
"""Bytes of a piece's frame that are not its data: SMP header, keys, digest, framing."""
_BACK_S = 60.0
MAX_IMAGE = 16 << 20

Progress = Callable[[int, int], None]
"""Told after each piece: bytes done, bytes in all."""


def read_file(path: str | Path) -> Held:
    """An image from its file.

    Raises:
        ImageRefused: not there, too large, or no image.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(MAX_IMAGE + 1)
    except OSError as error:
        raise ImageRefused(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_IMAGE:
        raise ImageRefused(f"{path}: larger than {MAX_IMAGE >> 20} MB")
    try:
        return read_image(data)
    except ImageRefused as error:
        raise ImageRefused(f"{path}: {error}") from error


def images(link: Link) -> list[dict[str, Any]]:
    """What is in the device's slots."""
    told = link.ask(Op.READ, Group.IMAGE, Image.STATE, asked="its images").get("images")
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []


def update(
    link: Link,
    image: Held,
    *,
    allow_downgrade: bool = False,
    progress: Progress = lambda done, total: None,
    patience_s: float = _BACK_S,
) -> str:
    """Puts an image on the device, tries it and confirms it; the version that runs then.

    Args:
        link: that reconnects: the upload goes on after the cable was out.
        image: to be put there.
        allow_downgrade: whether an older version may be sent.
        progress: told after each piece.
        patience_s: how long the device may be away.

    Raises:
        ImageRefused: older than what runs, or the device came back with another one.
        DeviceRefused: the device does not take it.
        NoAnswer: the device did not come back; it takes the old image back at its next restart.
    """
    running = _running(link)
    if running.get("hash") == image.digest:
        _confirm(link, image, patience_s)
        return image.version
    if not allow_downgrade and _numbers(image.version) < _numbers(str(running.get("version"))):
        raise ImageRefused(
            f"version {image.version} is older than {running.get('version')}, which runs; say so "
            "where that is wanted (--allow-downgrade)"
        )
    upload(link, image.data, progress=progress, patience_s=patience_s)
    _patiently(lambda: link.ask(
        Op.WRITE, Group.IMAGE, Image.STATE, {"hash": image.digest, "confirm": False},
        asked="to try the new firmware"), patience_s)  # fmt: skip
    boot = link.hello.boot_id
    with contextlib.suppress(LinkLost, NoAnswer):  # it restarted before its answer was out
        link.restart()
    _wait_until_it_runs(link, image, boot, patience_s)
    _confirm(link, image, patience_s)
    return image.version


def upload(
    link: Link,
    data: bytes,
    *,
    progress: Progress = lambda done, total: None,
    patience_s: float = _BACK_S,
) -> None:
    """Sends all pieces; after a loss it goes on where the device says that it stopped.

    Raises:
        DeviceRefused: the device does not take it.
        NoAnswer: it was away for longer than `patience_s`.
    """
    first = {"off": 0, "len": len(data), "sha": hashlib.sha256(data).digest()}
    offset, begins = 0, True
    while offset < len(data):
        room = max(link.hello.max_frame - _AROUND, 32)
        body = {**(first if begins else {"off": offset}), "data": data[offset : offset + room]}
        try:
            told = link.ask(Op.WRITE, Group.IMAGE, Image.UPLOAD, body, asked="the upload")
        except (LinkLost, NoAnswer) as error:
            if not _is_back(link, patience_s):
                raise NoAnswer(
                    f"the device was away for more than {patience_s:g} s at byte {offset}; start "
                    "the update again, and it goes on there"
                ) from error
            offset, begins = 0, True  # the device says how far it came
            continue
        wanted = told.get("off")
        if not isinstance(wanted, int) or not 0 <= wanted <= len(data):
            raise DeviceRefused(f"the device wants byte {wanted} of {len(data)}", Group.IMAGE, 0)
        offset, begins = wanted, False
        progress(offset, len(data))


def _running(link: Link) -> dict[str, Any]:
    return next((one for one in images(link) if one.get("active")), {})


def _confirm(link: Link, image: Held, patience_s: float) -> None:
    if not _patiently(lambda: _running(link), patience_s).get("confirmed"):
        _patiently(lambda: link.ask(
            Op.WRITE, Group.IMAGE, Image.STATE, {"hash": image.digest, "confirm": True},
            asked="to keep the new firmware"), patience_s)  # fmt: skip


def _patiently(act: Callable[[], Any], patience_s: float) -> Any:
    until = time.monotonic() + patience_s
    while True:
        try:
            return act()
        except (LinkLost, NoAnswer):
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def _is_back(link: Link, patience_s: float) -> bool:
    try:
        _patiently(lambda: link.echo("?"), patience_s)
    except BridgeError:
        return False
    return True


def _wait_until_it_runs(link: Link, image: Held, boot: int, patience_s: float) -> None:
    until = time.monotonic() + patience_s
    while time.monotonic() < until:
        try:
            link.look_again()
            running = _running(link)
        except (LinkLost, NoAnswer):
            time.sleep(0.05)
            continue
        if running.get("hash") == image.digest:
            return
        if link.hello.boot_id != boot:
            raise ImageRefused(
                f"the device came back with version {running.get('version')}: it did not take "
                f"{image.version}"
            )
        time.sleep(0.05)
    raise NoAnswer(
        f"the device did not come back with the new firmware within {patience_s:g} s; unless it is "
        "confirmed, the old one comes back at the next restart"
    )


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]
