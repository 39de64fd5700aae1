"""What a device says about itself in its answer to `hello`, docs/wire.md §6.1.

Fields that this end does not know are ignored, so that a newer minor version can say more. Another
major version is refused.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from firmware_bridge.errors import Incompatible
from firmware_bridge.frames import MAX_FRAME
from firmware_bridge.messages import MAX_LEADS, Format

PROTOCOL = (1, 0)
"""Major and minor version of docs/wire.md that this end speaks."""

_Text = Annotated[str, Meta(max_length=64)]
_Byte = Annotated[int, Meta(ge=0, le=255)]
_Positive = Annotated[int, Meta(gt=0, lt=2**32)]


class StreamInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One stream of a device.

    Attributes:
        id: number in the stream's messages.
        name: what a person calls it, `ecg`.
        kind: samples of leads, or pictures.
        rate: samples or pictures per second, as numerator and denominator.
        leads: names of the columns, in their order; of pictures, none.
        unit: of a count times `scale`, `mV` or `uV`; of pictures, empty.
        scale: units in one count.
        format: of the numbers, see `Format`.
        bits: of the converter.
        per_message: samples in each message, so that a silence can be told.
    """

    id: _Byte
    name: Annotated[str, Meta(min_length=1, max_length=32)]
    kind: Literal["samples", "image"] = "samples"
    rate: tuple[_Positive, _Positive]
    leads: Annotated[tuple[_Text, ...], Meta(max_length=MAX_LEADS)] = ()
    unit: Annotated[str, Meta(max_length=16)] = ""
    scale: float = 1.0
    format: int = Format.I24
    bits: Annotated[int, Meta(ge=1, le=32)] = 24
    per_message: Annotated[int, Meta(ge=1, le=65535)] = 1

    @property
    def rate_hz(self) -> Fraction:
        """Samples or pictures per second."""
        return Fraction(*self.rate)


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """What the device is and can do.

    Attributes:
        proto: major and minor version of the protocol.
        device: maker's name for it.
        serial: tells one from another of the same kind.
        firmware: its version.
        boot_id: as in its stream messages.
        streams: what it can send.
        features: what it knows beyond the smallest device: `image`, `verdict`, `params`.
        max_frame: longest frame that it takes, in bytes as in docs/wire.md §2.
        buffers: how many of them it can hold; what is sent without an answer stays below.
        mains_hz: of the power line where it is used; 0 where it does not know.
        model: digest of the model on it, where there is one.
    """

    proto: tuple[_Byte, _Byte]
    device: _Text
    serial: _Text = ""
    firmware: _Text = ""
    boot_id: Annotated[int, Meta(ge=0, le=0xFFFF)]
    streams: Annotated[tuple[StreamInfo, ...], Meta(max_length=32)] = ()
    features: Annotated[tuple[_Text, ...], Meta(max_length=32)] = ()
    max_frame: Annotated[int, Meta(ge=256, le=MAX_FRAME)] = 1024
    buffers: Annotated[int, Meta(ge=1, le=64)] = 1
    mains_hz: Literal[0, 50, 60] = 0
    model: _Text = ""

    def stream(self, name: str) -> StreamInfo:
        """The stream of that name.

        Raises:
            Incompatible: the device has none.
        """
        for info in self.streams:
            if info.name == name:
                return info
        have = ", ".join(info.name for info in self.streams) or "none"
        raise Incompatible(f"{self.device} has no stream {name!r}; it has: {have}")


def read_hello(told: dict[str, Any]) -> Hello:
    """The answer to `hello`, checked.

    Raises:
        Incompatible: another major version, or no such answer.
    """
    proto = told.get("proto")
    if isinstance(proto, list) and proto and isinstance(proto[0], int) and proto[0] != PROTOCOL[0]:
        raise Incompatible(
            f"the device speaks version {proto[0]} of the protocol, this end {PROTOCOL[0]}; "
            "update whichever is older"
        )
    try:
        found = msgspec.convert(told, Hello)
    except msgspec.ValidationError as error:
        raise Incompatible(f"the device's hello is none of docs/wire.md: {error}") from error
    for info in found.streams:
        if info.format not in set(Format):
            raise Incompatible(f"stream {info.name!r} has the unknown format {info.format}")
        if (info.kind == "samples") != bool(info.leads):
            raise Incompatible(f"stream {info.name!r} of {info.kind} has leads {info.leads}")
    if len({info.id for info in found.streams}) < len(found.streams) or len(
        {info.name for info in found.streams}
    ) < len(found.streams):
        raise Incompatible("two streams of the device have one id or name")
    return found


def to_map(hello: Hello) -> dict[str, Any]:
    """The map of an answer to `hello`."""
    told: dict[str, Any] = msgspec.to_builtins(hello)
    return told
