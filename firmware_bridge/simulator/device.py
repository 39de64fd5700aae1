"""A device without I/O: bytes in, time in, bytes out. The same inputs give the same bytes.

Streams take samples from their start on, at the device's own clock. Messages wait in a buffer of
limited size; where it is full the oldest samples are dropped and counted, as docs/wire.md §4 asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge.capabilities import PROTOCOL, Hello
from firmware_bridge.frames import CONTROL, EVENT, LOG, STREAM, CobsFramer, Framer
from firmware_bridge.mcuboot import firmware_image
from firmware_bridge.messages import Event, Flags, Format, Header, encode_event
from firmware_bridge.simulator.server import Server
from firmware_bridge.simulator.slots import Slots
from firmware_bridge.simulator.streams import SimulatedStream

_FACTORY_IMAGE = firmware_image(b"simulated firmware", (1, 0, 0, 0))


@dataclass
class _Running:
    """A stream's place."""

    stream: SimulatedStream
    on: bool = False
    acquired: int = 0
    taken_before: int = 0  # samples before the last start
    began_us: int = 0
    dropped: int = 0
    overflow: bool = False


@dataclass
class _Waiting:
    """Something that will leave: made when it does."""

    channel: int
    make: Callable[[], list[bytes]]
    size: int = 0
    running: _Running | None = None
    first: int = 0
    n: int = 0
    then: list[Callable[[], None]] = field(default_factory=list)


class SimulatedDevice:
    """The device.

    Args:
        streams: what it can send.
        serial: its serial number.
        boot_id: of its first start; each restart raises it.
        ppm: how much too fast its clock runs.
        room: bytes of stream messages that wait at most.
        max_frame: longest frame that it sends and takes.
        framer: None for the framing of docs/wire.md §2.
        image: the firmware that it runs at first, in MCUboot's format.
        told: further fields of its hello.

    Attributes:
        verdicts: what the host sent back.
        slots: its firmware.
    """

    def __init__(
        self,
        streams: Sequence[SimulatedStream] = (),
        *,
        serial: str = "SIM-1",
        boot_id: int = 1,
        ppm: float = 0.0,
        room: int = 16_384,
        max_frame: int = 1024,
        framer: Framer | None = None,
        image: bytes = _FACTORY_IMAGE,
        told: Mapping[str, Any] | None = None,
    ) -> None:
        self.verdicts: list[dict[str, Any]] = []
        self.slots = Slots(image)
        self._serial, self._boot_id, self._rate = serial, boot_id & 0xFFFF, 1.0 + ppm * 1e-6
        self._room, self._max_frame = room, max_frame
        self._framer = framer or CobsFramer(max_frame)
        self._told = dict(told or {})
        self._streams = list(streams)
        self._now_us = self._booted_us = 0
        self._boot()

    def _boot(self) -> None:
        self._running = {stream.info.id: _Running(stream) for stream in self._streams}
        self._out: deque[_Waiting] = deque()
        self._waiting_bytes = 0
        self._events = 0
        self._restarting = False
        self._booted_us = self._now_us
        self._server = Server(self, self._max_frame)
        self.log(f"boot {self._boot_id}, firmware {self.slots.active.version}")

    # --- the outside: power, cable and time ---

    def receive(self, data: bytes) -> None:
        """Bytes from the host."""
        for frame in self._framer.feed(data):
            if frame.channel == CONTROL and not self._restarting:
                answer = self._server.take(frame.payload)
                if answer is not None:
                    then: list[Callable[[], None]] = [self.restart] if self._restarting else []
                    self._out.append(_Waiting(CONTROL, _one(answer), then=then))

    def advance(self, now_us: int) -> None:
        """Lets the device's world reach a moment; microseconds that never go back."""
        self._now_us = max(self._now_us, now_us)
        for running in self._running.values():
            self._acquire(running)

    def take(self, at_most: int | None = None) -> bytes:
        """What leaves now: whole frames, as long as fewer than `at_most` bytes have left."""
        found = bytearray()
        while self._out and (at_most is None or len(found) < at_most):
            waiting = self._out.popleft()
            self._waiting_bytes -= waiting.size
            for payload in waiting.make():
                found += self._framer.encode(waiting.channel, payload)
            for act in waiting.then:
                act()
        return bytes(found)

    def restart(self) -> None:
        """A reset: everything is forgotten but the firmware, which may be swapped."""
        self._boot_id = (self._boot_id + 1) & 0xFFFF
        self.slots.restart()
        self._boot()

    def log(self, text: str) -> None:
        """A line for a person."""
        self._out.append(_Waiting(LOG, lambda: [text.encode()]))

    def happen(self, kind: int, told: Mapping[str, Any] | None = None) -> None:
        """Something happens at the device."""
        event = Event(kind, self._boot_id, self._events, self.time_us(), dict(told or {}))
        self._events = (self._events + 1) % 2**32
        payload = encode_event(event)
        self._out.append(_Waiting(EVENT, lambda: [payload]))

    @property
    def next_due_us(self) -> int | None:
        """When, in the world's time, the next message will be whole; None: never."""
        due = [
            running.began_us + _ceil_div(
                (running.acquired - running.taken_before + running.stream.info.per_message)
                * running.stream.info.rate[1] * 1_000_000, running.stream.info.rate[0],
            )
            for running in self._running.values()
            if running.on and not self._over(running)
        ]  # fmt: skip
        return self._booted_us + int(min(due) / self._rate) + 1 if due else None

    @property
    def silent(self) -> bool:
        """Nothing waits, and no stream has more to give."""
        return not self._out and self.next_due_us is None

    # --- samples ---

    def _over(self, running: _Running) -> bool:
        length = running.stream.length
        return length is not None and running.acquired >= length

    def _acquire(self, running: _Running) -> None:
        if not running.on:
            return
        info = running.stream.info
        passed = (self.time_us() - running.began_us) * info.rate[0]
        there = running.taken_before + passed // (info.rate[1] * 1_000_000)
        length = running.stream.length
        while running.acquired < there:
            n = info.per_message
            if length is not None:
                n = min(n, length - running.acquired)
            if n <= 0 or running.acquired + n > there:
                return
            self._queue(running, running.acquired, n)
            running.acquired += n

    def _queue(self, running: _Running, first: int, n: int) -> None:
        info = running.stream.info
        since = (first - running.taken_before) * info.rate[1] * 1_000_000 // info.rate[0]
        t_dev_us = running.began_us + since

        header = Header(info.id, Format(info.format), self._boot_id, n, first % 2**32, t_dev_us)
        payloads = running.stream.messages(header, self._max_frame - 5)

        def make() -> list[bytes]:
            overflow, running.overflow = running.overflow, False
            return [_stamped(payload, running.dropped, overflow) for payload in payloads]

        size = sum(map(len, payloads))
        while self._waiting_bytes + size > self._room and self._drop_oldest():
            pass
        self._waiting_bytes += size
        self._out.append(_Waiting(STREAM, make, size, running, first, n))

    def _drop_oldest(self) -> bool:
        for at, waiting in enumerate(self._out):
            if waiting.running is not None:
                waiting.running.dropped += waiting.n
                waiting.running.overflow = True
                self._waiting_bytes -= waiting.size
                del self._out[at]
                return True
        return False

    # --- what came back ---

    def results(self, stream: int) -> dict[int, dict[str, Any]]:
        """What the host said last of each message or picture of this boot, by index.

        Verdicts that name no place (docs/bridge.md, Pictures) or one of an earlier boot are not
        among them: numbers begin anew at each, so they would be put to the wrong picture.
        """
        return {
            int(told["index"]): told
            for told in self.verdicts
            if told.get("stream") == stream and told.get("boot") == self._boot_id
            and isinstance(told.get("index"), int)
        }  # fmt: skip

    # --- what the server asks ---

    def hello(self) -> Hello:
        """What it says about itself."""
        return Hello(
            proto=PROTOCOL, device="edge-dx simulator", serial=self._serial,
            firmware=self.slots.active.version, boot_id=self._boot_id,
            streams=tuple(stream.info for stream in self._streams),
            features=("image", "verdict"), max_frame=self._max_frame, buffers=4, **self._told,
        )  # fmt: skip

    def time_us(self) -> int:
        """Its clock, which is off by `ppm`."""
        return int((self._now_us - self._booted_us) * self._rate)

    def start(self, stream: int) -> bool:
        """Starts a stream; whether there is one of that number."""
        running = self._running.get(stream)
        if running is not None and not running.on:
            running.on, running.began_us = True, self.time_us()
            running.taken_before = running.acquired
        return running is not None

    def stop(self, stream: int) -> bool:
        """Stops a stream; whether there is one of that number."""
        running = self._running.get(stream)
        if running is not None:
            running.on = False
        return running is not None

    def told_of(self, stream: int) -> dict[str, Any]:
        """Boot id, next index and dropped in all."""
        running = self._running[stream]
        queued = next((w.first for w in self._out if w.running is running), None)
        index = running.acquired if queued is None else queued
        return {"boot": self._boot_id, "next": index % 2**32, "dropped": running.dropped % 2**32}

    def counters(self) -> dict[str, Any]:
        """What it received and dropped."""
        tally = self._framer.tally
        return {
            "frames": tally.frames, "damaged": tally.damaged + tally.oversized,
            "unreadable": self._server.unreadable, "repeated": self._server.repeated,
            "dropped": {str(number): r.dropped for number, r in self._running.items()},
        }  # fmt: skip

    def restart_soon(self) -> None:
        """Restarts once the answer has left."""
        self._restarting = True


def _stamped(payload: bytes, dropped: int, overflow: bool) -> bytes:
    """A stream message with what is known only when it leaves, docs/wire.md §4."""
    told = bytearray(payload)
    told[1] |= Flags.OVERFLOW if overflow else 0
    told[20:24] = (dropped % 2**32).to_bytes(4, "little")
    return bytes(told)


def _one(answer: Callable[[], bytes]) -> Callable[[], list[bytes]]:
    return lambda: [answer()]


def _ceil_div(above: int, below: int) -> int:
    return -(-above // below)
