"""What a simulated device measures: a record that is played, or pictures that are shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.messages import Flags, Format, Header, encode_picture, encode_samples

Array = np.ndarray[Any, np.dtype[Any]]


class SimulatedStream(Protocol):
    """A source of messages."""

    @property
    def info(self) -> StreamInfo:
        """What the hello says of it."""

    @property
    def length(self) -> int | None:
        """How many samples or pictures there are; None where it goes on for ever."""

    def messages(self, header: Header, payload_bytes: int) -> list[bytes]:
        """The messages of the samples from `header.first_index` on."""


class RecordStream:
    """Samples of a record, in the device's own counts.

    Args:
        info: rate, leads, unit, scale and format.
        counts: (samples, leads) whole numbers.
        repeat: begin again at the end; else the device falls silent.
        leads_off: from a sample's index to the mask of leads without contact.

    Attributes:
        counts: as given.
    """

    def __init__(
        self,
        info: StreamInfo,
        counts: Array,
        *,
        repeat: bool = False,
        leads_off: Callable[[int], int] | None = None,
    ) -> None:
        numbers = np.asarray(counts)
        if numbers.ndim != 2 or numbers.shape[1] != len(info.leads) or not len(numbers):
            raise ValueError(f"a record is (samples, {len(info.leads)} leads)")
        self.info = info
        self.counts = numbers
        self._repeat = repeat
        self._leads_off = leads_off

    @property
    def length(self) -> int | None:
        """Samples in the record; None where it repeats."""
        return None if self._repeat else len(self.counts)

    def messages(self, header: Header, payload_bytes: int) -> list[bytes]:
        """One message."""
        at = (header.first_index + np.arange(header.n)) % len(self.counts)
        off = self._leads_off(header.first_index) if self._leads_off else 0
        if off:
            header = Header(
                header.stream, header.format, header.boot_id, header.n, header.first_index,
                header.t_dev_us, header.dropped_total, header.flags | Flags.LEAD_OFF,
            )  # fmt: skip
        return [encode_samples(header, self.counts[at], off)]


class PictureStream:
    """Pictures of an ultrasound cart.

    Args:
        info: of the kind `image`.
        pictures: (height, width) uint8 each; shown one after the other, again and again.
        mm_per_px: across and down.
    """

    def __init__(
        self, info: StreamInfo, pictures: Sequence[Array], mm_per_px: tuple[float, float]
    ) -> None:
        if info.kind != "image" or not pictures:
            raise ValueError("a stream of pictures is of kind image, and has some")
        self.info = info
        self._pictures = list(pictures)
        self._mm_per_px = mm_per_px

    @property
    def length(self) -> int | None:
        """It goes on for ever."""
        return None

    def messages(self, header: Header, payload_bytes: int) -> list[bytes]:
        """The pieces of one picture."""
        pixels = self._pictures[header.first_index % len(self._pictures)]
        return encode_picture(header, pixels, self._mm_per_px, payload_bytes - 40)


def record_of(
    name: str, rate_hz: Fraction | int, leads: Sequence[str], mv: Array, *, stream: int = 0,
    uv_per_count: float = 0.5, per_message: int = 25,
) -> RecordStream:  # fmt: skip
    """A record of millivolts as a 24-bit converter would have taken it."""
    rate = Fraction(rate_hz)
    info = StreamInfo(
        id=stream, name=name, rate=(rate.numerator, rate.denominator), leads=tuple(leads),
        unit="uV", scale=uv_per_count, format=Format.I24, bits=24, per_message=per_message,
    )  # fmt: skip
    counts = np.clip(np.rint(np.asarray(mv) * 1000.0 / uv_per_count), -(2**23), 2**23 - 1)
    return RecordStream(info, counts.astype(np.int32))


# Peaks of P, Q, R, S and T: seconds from the R peak, millivolts, width in seconds.
_WAVES = ((-0.17, 0.12, 0.025), (-0.03, -0.1, 0.008), (0.0, 1.1, 0.01), (0.03, -0.25, 0.009),
          (0.28, 0.3, 0.05))  # fmt: skip


def made_up_heart(rate_hz: Fraction | int, bpm: float = 72.0, seed: int = 0) -> Array:
    """(n, 1) millivolts of 20 beats of an ECG that nobody has, which can be played end to end."""
    rate = float(rate_hz)
    beat = round(60.0 / bpm * rate)
    t = (np.arange(beat) - beat * 0.4) / rate
    one = sum(mv * np.exp(-((t - at) ** 2) / (2 * width**2)) for at, mv, width in _WAVES)
    noise = np.random.default_rng(seed).normal(0.0, 0.01, 20 * beat)
    return (np.tile(one, 20) + noise)[:, None]
