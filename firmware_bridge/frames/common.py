"""What all framers share: the frame, the promise, and the tally of what was thrown away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

LOG = 0
"""Text for a person; nothing depends on it."""
CONTROL = 1
"""One SMP message: a request to the device, or its answer."""
STREAM = 2
"""Samples or a piece of a picture, as the device makes them."""
EVENT = 3
"""Something that happened at the device, with its time."""


class Frame(NamedTuple):
    """What a framer found whole.

    Attributes:
        channel: which of the four above; others are given on and ignored above.
        payload: without framing and checksum.
    """

    channel: int
    payload: bytes


@dataclass
class Tally:
    """What became of the bytes.

    Attributes:
        frames: whole ones, given on.
        damaged: stretches that began like a frame and failed their check.
        oversized: stretches longer than the cap, dropped without being held.
        skipped_bytes: bytes in none of the frames.
    """

    frames: int = 0
    damaged: int = 0
    oversized: int = 0
    skipped_bytes: int = 0


class Framer(Protocol):
    """Both directions of one framing."""

    tally: Tally

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete; never raises, whatever they are."""

    def idle(self) -> list[Frame]:
        """Says that the line is silent: what has begun will not go on."""

    def reset(self) -> None:
        """Begins anew, as after the port was opened again; the tally goes on."""

    def encode(self, channel: int, payload: bytes) -> bytes:
        """The bytes of a frame.

        Raises:
            BadMessage: it does not fit, or this framing has no such channel.
        """
