"""A device double: everything that docs/wire.md asks of a device, without one.

`SimulatedDevice` is the device itself, without I/O and with whatever time it is told. `Simulator`
lets it live on a TCP port, a pty or a cable in memory. Demonstrations, tests and the fault matrix
use it; what it does a reader of the specification may expect of a real one.
"""

from __future__ import annotations

from firmware_bridge.simulator.device import SimulatedDevice
from firmware_bridge.simulator.hosting import Simulator
from firmware_bridge.simulator.slots import Slots
from firmware_bridge.simulator.streams import PictureStream, RecordStream, SimulatedStream

__all__ = [
    "PictureStream", "RecordStream", "SimulatedDevice", "SimulatedStream", "Simulator", "Slots",
]  # fmt: skip
