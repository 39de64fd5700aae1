"""A cart whose pictures are all different, each of them known by its number."""

from __future__ import annotations

import numpy as np

from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.messages import Array, Header
from firmware_bridge.simulator import PictureStream

MM = (0.25, 0.5)
INFO = StreamInfo(id=4, name="us", kind="image", rate=(100, 1), format=16, bits=8)
SHAPES = [(60, 80), (1, 700), (33, 41)]


def drawn(number: int) -> Array:
    """A picture whose every row says which one it is: of two, no whole one can be made."""
    height, width = SHAPES[number % len(SHAPES)]
    rows = np.random.default_rng(number).integers(0, 256, (height, width), np.uint8)
    rows[:, 0] = number % 251
    return rows


class Cart:
    """A stream of pictures that are all different."""

    info = INFO
    length = None

    def messages(self, header: Header, payload_bytes: int) -> list[bytes]:
        picture = drawn(header.first_index)
        return PictureStream(INFO, [picture], MM).messages(header, payload_bytes)
