"""From bytes to what they mean, without I/O: frames, messages, loss, places and times.

The same room serves a live link and a recording: bytes and the time at which they were read go in,
blocks, pictures, events, log lines and SMP messages come out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from firmware_bridge import messages, smp
from firmware_bridge.blocks import Block, Moment, Picture
from firmware_bridge.capabilities import Hello, StreamInfo
from firmware_bridge.clock import Fit
from firmware_bridge.errors import BadMessage
from firmware_bridge.frames import CONTROL, EVENT, LOG, STREAM, Frame, Framer
from firmware_bridge.loss import Counts, Ledger
from firmware_bridge.messages import Format, Header, Piece, SampleBlock


@dataclass(frozen=True)
class LogLine:
    """A line that the device wrote for a person; what cannot be shown is spelt as an escape."""

    text: str
    arrived_ns: int


@dataclass(frozen=True)
class Happened:
    """An event of the device, and when."""

    event: messages.Event
    at: Moment


Item = Block | Picture | Happened | LogLine | smp.Message


class Receiver:
    """One device's bytes, in order.

    Args:
        framer: of the device's framing.

    Attributes:
        framer: as given; its tally says what was thrown away.
        fit: what is known of the device's clock; set by whoever measures it.
        unreadable: frames that were whole and broke the specification, or came before the hello.
        lost_events: events whose number was skipped.
    """

    def __init__(self, framer: Framer) -> None:
        self.framer = framer
        self.fit: Fit | None = None
        self.unreadable = 0
        self.lost_events = 0
        self._streams: dict[int, _Heard] = {}
        self._event: tuple[int, int] | None = None
        self._boot: int | None = None

    def meet(self, hello: Hello) -> None:
        """Takes what the device is; streams of the same shape keep their account."""
        if hello.boot_id != self._boot:
            self.fit = None  # of a clock that ended with the boot before
        self._boot, kept = hello.boot_id, self._streams
        self._streams = {}
        for info in hello.streams:
            had = kept.get(info.id)
            self._streams[info.id] = had if had and had.info == info else _Heard(info)

    def ledger(self, stream: int) -> Ledger:
        """The account of a stream that the hello named."""
        return self._streams[stream].ledger

    def forget(self, stream: int) -> None:
        """Begins the account of a stream anew: what came before was wanted by nobody."""
        self._streams[stream] = _Heard(self._streams[stream].info)

    def counts(self) -> dict[str, Counts]:
        """The account of each stream, by name."""
        return {heard.info.name: heard.ledger.counts for heard in self._streams.values()}

    def feed(self, data: bytes, arrived_ns: int) -> Iterator[Item]:
        """What these bytes complete; never raises, whatever they are."""
        for frame in self.framer.feed(data):
            try:
                item = self._read(frame, arrived_ns)
            except BadMessage:
                self.unreadable += 1
                continue
            if item is not None:
                yield item

    def _read(self, frame: Frame, arrived_ns: int) -> Item | None:
        if frame.channel == STREAM:
            told = messages.decode_stream(frame.payload)
            heard = self._streams.get(told.header.stream)
            if heard is None:
                raise BadMessage("a stream that the hello did not name")
            at = self._moment(told.header.boot_id, told.header.t_dev_us, arrived_ns)
            return heard.piece(told, at) if isinstance(told, Piece) else heard.block(told, at)
        if frame.channel == CONTROL:
            return smp.decode(frame.payload)
        if frame.channel == EVENT:
            event = messages.decode_event(frame.payload)
            self._count(event)
            return Happened(event, self._moment(event.boot_id, event.t_dev_us, arrived_ns))
        if frame.channel == LOG:
            text = frame.payload.decode("utf-8", "backslashreplace")
            shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
            return LogLine(shown, arrived_ns)
        return None

    def _count(self, event: messages.Event) -> None:
        if self._event is not None and self._event[0] == event.boot_id:
            self.lost_events += (event.number - self._event[1] - 1) % 2**32
        self._event = event.boot_id, event.number

    def _moment(self, boot_id: int, t_dev_us: int, arrived_ns: int) -> Moment:
        fit = self.fit
        if fit is None or boot_id != self._boot:  # restarted, and not yet greeted again
            return Moment(t_dev_us, arrived_ns)
        return Moment(
            t_dev_us, arrived_ns, fit.host_ns(t_dev_us), fit.uncertainty_at(t_dev_us), fit.epoch
        )


class _Heard:
    """One stream: its account, and the picture that is being put together."""

    def __init__(self, info: StreamInfo) -> None:
        self.info = info
        self.ledger = Ledger(info.rate_hz)
        self._picture: Header | None = None
        self._size = (0, 0)
        self._pixels = bytearray()

    def block(self, told: SampleBlock, at: Moment) -> Block | None:
        header, info = told.header, self.info
        if info.kind != "samples" or header.format != info.format:
            raise BadMessage(f"stream {info.name!r} is announced otherwise")
        if header.n and told.counts.shape[1] != len(info.leads):
            raise BadMessage(f"stream {info.name!r} has {len(info.leads)} leads")
        place = self.ledger.take(header)
        if place is None or not header.n:
            return None
        off: tuple[str, ...] = ()
        if told.leads_off:
            off = tuple(lead for n, lead in enumerate(info.leads) if told.leads_off >> n & 1)
        return Block(info, told.counts, place.first, self.ledger.counts.restarts, at, place.gap,
                     header.flags, off, header.boot_id)  # fmt: skip

    def piece(self, told: Piece, at: Moment) -> Picture | None:
        """A picture with a piece missing is lost: the account tells with the next whole one."""
        header, info = told.header, self.info
        if info.kind != "image" or header.format != Format.GREY8:
            raise BadMessage(f"stream {info.name!r} is announced otherwise")
        same = replace(header, n=1, flags=messages.Flags.NONE, dropped_total=0)
        if told.offset == 0:
            self._picture, self._size = same, (told.height, told.width)
            self._pixels = bytearray()
        if (
            same != self._picture or told.offset != len(self._pixels)
            or (told.height, told.width) != self._size
        ):  # fmt: skip
            return None
        self._pixels += told.data
        if len(self._pixels) < told.width * told.height:
            return None
        self._picture = None
        place = self.ledger.take(replace(header, n=1))
        if place is None:
            return None
        pixels = np.frombuffer(bytes(self._pixels), np.uint8).reshape(self._size)
        return Picture(info, pixels, told.mm_per_px, place.first, self.ledger.counts.restarts, at,
                       place.gap, header.flags, header.boot_id)  # fmt: skip
