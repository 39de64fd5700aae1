"""The link to wearables and to the firmware of ultrasound carts; docs/bridge.md.

with firmware_bridge.connect("/dev/ttyACM0") as device:
    for block in device.stream("ecg"):
        ...
"""

from __future__ import annotations

from firmware_bridge.blocks import Block, Moment, Picture
from firmware_bridge.connecting import connect
from firmware_bridge.errors import BridgeError, LinkLost
from firmware_bridge.link import Link
from firmware_bridge.loss import Gap
from firmware_bridge.simulator import Simulator
from firmware_bridge.state import State

__all__ = [
    "Block", "BridgeError", "Gap", "Link", "LinkLost", "Moment", "Picture", "Simulator", "State",
    "connect",
]  # fmt: skip
