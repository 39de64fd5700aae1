"""How the serial port of each kind of board wants to be opened: speed, DTR, RTS, and a pause.

Linux raises DTR and RTS by itself while it opens a port; what is asked for here holds from then on,
DTR first. So a line that is wanted low has been high for a moment, and boards that restart on that
edge restart: their profile waits until they are back.
"""

from __future__ import annotations

from dataclasses import dataclass

from firmware_bridge.errors import Incompatible


@dataclass(frozen=True)
class Settings:
    """How a serial port is opened; a board's profile has one.

    Attributes:
        baud: bits per second; USB devices and ptys take any.
        dtr: level of that line while open; many boards restart when it changes. None: as it comes.
        rts: likewise.
        settle_s: to wait after opening, where that restarts the board.
        write_timeout_s: how long a device may take no bytes.
    """

    baud: int = 115200
    dtr: bool | None = False
    rts: bool | None = False
    settle_s: float = 0.0
    write_timeout_s: float = 2.0


@dataclass(frozen=True)
class Profile:
    """One kind of board.

    Attributes:
        settings: to open it with.
        why: in words.
        source: where that is known from.
        usb: vendor and product numbers by which it is known for certain, as `2fe3:` for all of a
            vendor or `2341:0043`. Bridge chips (FTDI, CP210x, CH340) are on boards of every kind
            and tell nothing.
    """

    settings: Settings
    why: str
    source: str
    usb: tuple[str, ...] = ()


PROFILES = {
    "plain": Profile(
        Settings(),
        "a cable or a board of which nothing is known: both lines low, as a terminal that is not "
        "there",
        "pyserial issues 124 and 729",
    ),
    "arduino": Profile(
        Settings(settle_s=2.0),
        "DTR going up resets it through a capacitor (Uno, Nano, Mega), and its boot loader takes "
        "what comes in the first second or two for a new program",
        "Arduino's board schematics; avrdude issue 1262",
        ("2341:0001", "2341:0010", "2341:0042", "2341:0043", "2a03:0042", "2a03:0043"),
    ),
    "cdc-acm": Profile(
        Settings(dtr=True, rts=True),
        "USB on the microcontroller itself: it sends nothing until DTR says that somebody listens "
        "(Zephyr, nRF, Arduino Leonardo and its kin, Pico, debuggers with a port)",
        "Zephyr's CONFIG_USB_UART_DTR_WAIT; Microchip's EDBG guide, Signaling",
        ("2fe3:", "1915:", "2e8a:", "239a:", "2341:8036", "2341:8037", "2341:804d", "03eb:2111"),
    ),
    "esp32": Profile(
        Settings(dtr=True, rts=True),
        "two transistors pull reset or the boot pin down whenever DTR and RTS differ; both high is "
        "what Linux opens with, so neither moves and the chip runs on",
        "Espressif's automatic boot loader circuit (esptool); ESPHome pull request 2089",
        ("303a:",),
    ),
    "cyton": Profile(
        Settings(dtr=None, rts=None),
        "the dongle is opened as OpenBCI's own programs do, and the greeting resets the board",
        "BrainFlow's serial port, which touches neither line",
    ),
}
"""Name → profile; `--profile`, and `profile=` of `connect`."""


def profile(name: str) -> Profile:
    """The profile of that name.

    Raises:
        Incompatible: there is none.
    """
    if name not in PROFILES:
        raise Incompatible(f"no profile {name!r} is known; these are: {', '.join(PROFILES)}")
    return PROFILES[name]


def known_by(usb: str) -> str:
    """The name of the profile of a USB device, `vendor:product:serial`; else `plain`."""
    for name, found in PROFILES.items():
        if any(usb.startswith(f"{numbers.rstrip(':')}:") for numbers in found.usb):
            return name
    return "plain"
