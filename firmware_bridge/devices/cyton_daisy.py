"""OpenBCI Cyton with a Daisy: 16 channels at 125 Hz, in packets of the Cyton that take turns.

A packet with an even number holds channels 9 to 16, the odd one that follows it 1 to 8; the two
make a sample, as BrainFlow 5.23 joins them, though they leave the board 4 ms apart. Where one of
the two is lost the sample is, and is counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from firmware_bridge.devices.cyton import CHANNELS, Cyton, CytonDouble

_LEADS = tuple(f"ch{number + 1}" for number in range(2 * CHANNELS))


class CytonDaisy(Cyton):
    """The dialect.

    Args:
        gain: of the converters, as set on the board.
        leads: names of the channels, those of the Cyton first.
    """

    packets_per_sample = 2

    def __init__(self, gain: float = 24.0, leads: tuple[str, ...] = _LEADS) -> None:
        self._daisy: bytes | None = None
        super().__init__(gain, leads)

    def _samples(self, packets: list[bytes]) -> Iterator[tuple[int, bytes]]:
        for packet in packets:
            number, daisy = packet[1], self._daisy
            self._daisy = None if number % 2 else packet
            if daisy is not None and number == daisy[1] + 1:
                yield number // 2, packet + daisy

    def reset(self) -> None:
        """Forgets what has begun."""
        super().reset()
        self._daisy = None


class CytonDaisyDouble(CytonDouble):
    """Both boards.

    Args:
        samples: (n, 16) counts.
        limit: packets in all, two for each sample.
    """

    greeting = CytonDouble.greeting.replace(
        b"LIS3DH", b"On Daisy ADS1299 Device ID: 0x3E\r\nLIS3DH"
    )

    def __init__(self, samples: Any, limit: int | None = None) -> None:
        halves = [row[at : at + CHANNELS] for row in samples for at in (CHANNELS, 0)]
        super().__init__(halves, limit)
