"""Two slots for firmware, as MCUboot keeps them: the one that runs, and the one that may be tried.

An upload goes into the second slot. `test` marks it for one start; a reset swaps the slots; unless
the new image is then confirmed, the next reset swaps them back. An upload that was cut off goes on
where it stopped, if it is still the same image.
"""

from __future__ import annotations

import hashlib
from typing import Any

from firmware_bridge.errors import ImageRefused
from firmware_bridge.mcuboot import Held, read_image


class NotNow(Exception):
    """What is asked is right, but not in this state; the device answers so."""


class Slots:
    """The store.

    Args:
        image: what runs at first.
        size: bytes in each slot.
    """

    def __init__(self, image: bytes, size: int = 1 << 20) -> None:
        self.size = size
        self._slots: list[Held | None] = [read_image(image), None]
        self._confirmed = True
        self._pending = self._permanent = False
        self._upload = bytearray()
        self._told: tuple[int, bytes] | None = None

    @property
    def active(self) -> Held:
        """What runs."""
        held = self._slots[0]
        assert held is not None
        return held

    def state(self) -> dict[str, Any]:
        """The answer to a read of the image state."""
        images = [
            {
                "slot": slot, "version": held.version, "hash": held.digest, "bootable": True,
                "pending": slot == 1 and self._pending, "active": slot == 0,
                "confirmed": slot == 0 and self._confirmed,
                "permanent": slot == 1 and self._permanent,
            }
            for slot, held in enumerate(self._slots) if held is not None
        ]  # fmt: skip
        return {"images": images, "splitStatus": 0}

    def upload(self, offset: int, data: bytes, length: int | None, digest: bytes | None) -> int:
        """Takes a piece; the offset that is wanted next.

        Raises:
            ImageRefused: no room, or what was uploaded is no image.
            NotNow: the image that runs is not confirmed; the other one may have to come back.
        """
        if not self._confirmed:
            raise NotNow
        if offset == 0 and length is not None:
            told = (length, digest or b"")
            if length > self.size:
                raise ImageRefused("no room for it")
            if digest and told == self._told and self._upload:
                return len(self._upload)  # it was cut off: go on
            self._told = told
            self._upload.clear()
            self._slots[1] = None
            self._pending = self._permanent = False
        if self._told is None or offset != len(self._upload):
            return len(self._upload)
        self._upload += data[: self._told[0] - offset]
        if len(self._upload) == self._told[0]:
            done, digest = bytes(self._upload), self._told[1]
            self._upload.clear()
            self._told = None
            if digest and hashlib.sha256(done).digest() != digest:
                raise ImageRefused("what arrived has another digest")
            self._slots[1] = read_image(done)
            self._pending = self._permanent = False
            return len(done)
        return len(self._upload)

    def mark(self, digest: bytes | None, confirm: bool) -> bool:
        """Marks an image for the next start, or confirms the one that runs; whether it is there."""
        if digest is None or digest == self.active.digest:
            if confirm:
                self._confirmed = True
            return confirm
        other = self._slots[1]
        if other is None or other.digest != digest:
            return False
        self._pending, self._permanent = True, confirm
        return True

    def erase(self) -> None:
        """Empties the second slot and forgets what was uploaded.

        Raises:
            NotNow: as of an upload.
        """
        if not self._confirmed:
            raise NotNow
        self._slots[1] = None
        self._pending = self._permanent = False
        self._upload.clear()
        self._told = None

    def restart(self) -> None:
        """Swaps the slots where that is due."""
        if self._pending:
            self._slots.reverse()
            self._confirmed = self._permanent
            self._pending = self._permanent = False
        elif not self._confirmed:  # it was tried and nobody confirmed it
            self._slots.reverse()
            self._confirmed = True
