"""Off-the-shelf SMP servers: Zephyr's and Mynewt's MCUmgr, and MCUboot's serial recovery.

They do not know our hello. What they can take they say in the answer to `parameters`, where they
answer it; what they stream nobody knows, so they have no streams. What works is the standard:
`info`, `update`, and `Link.ask`.
"""

from __future__ import annotations

from firmware_bridge import dialect
from firmware_bridge.capabilities import Hello
from firmware_bridge.dialect import Line, Native
from firmware_bridge.errors import DeviceRefused
from firmware_bridge.frames import ConsoleFramer, Framer, RawFramer
from firmware_bridge.pacing import Intake
from firmware_bridge.smp import Group, Op, Os

_UNTOLD = 256
_LARGEST = 4096  # the framers' own limit


class _SmpServer(Native):
    """A dialect of the control plane alone."""

    has_clock = False

    def __init__(self, framer: Framer) -> None:
        super().__init__(framer)

    def greet(self, line: Line) -> Hello:
        """Asks for its buffers; a server that does not tell them has small ones.

        Raises:
            NoAnswer: nothing answers.
        """
        try:
            told = line.ask(Op.READ, Group.OS, Os.PARAMETERS, asked="its parameters",
                            timeout_s=dialect.HELLO_TIMEOUT_S)  # fmt: skip
        except DeviceRefused:
            told = {}
        size, count = told.get("buf_size"), told.get("buf_count")
        return Hello(
            proto=(1, 0), device="SMP server", boot_id=0, features=("image",),
            max_frame=min(size, _LARGEST) if isinstance(size, int) and size > 0 else _UNTOLD,
            buffers=count if isinstance(count, int) and 1 <= count <= 64 else 1,
        )  # fmt: skip


class SmpConsole(_SmpServer):
    """Lines of base64 between log lines.

    Args:
        room: bytes of lines that the device can hold: the product of Zephyr's
            `UART_MCUMGR_RX_BUF_SIZE` and `UART_MCUMGR_RX_BUF_COUNT`, which no answer tells. It
            drops lines that come faster without a word.
        bytes_per_s: how fast it takes them out; as a UART of 115,200 bit/s brings them.
    """

    def __init__(self, room: int = 256, bytes_per_s: float = 11_520.0) -> None:
        super().__init__(ConsoleFramer())
        self.intake = Intake(room, bytes_per_s)


class SmpRaw(_SmpServer):
    """Messages without framing.

    Args:
        room: bytes that the device can hold, where that is less than a whole message.
        bytes_per_s: how fast it takes them out.
    """

    def __init__(self, room: int | None = None, bytes_per_s: float = 11_520.0) -> None:
        super().__init__(RawFramer())
        self.intake = None if room is None else Intake(room, bytes_per_s)
