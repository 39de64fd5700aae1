"""Requests whose numbers come round, and times of a device that was restarted in between."""

from __future__ import annotations

import pytest

from firmware_bridge.capabilities import PROTOCOL, Hello
from firmware_bridge.clock import Clock, Probe
from firmware_bridge.frames import EVENT, STREAM, CobsFramer
from firmware_bridge.messages import Event, Format, Header, encode_event, encode_samples
from firmware_bridge.receiver import Happened, Receiver
from firmware_bridge.requests import Requests
from firmware_bridge.simulator import SimulatedDevice
from firmware_bridge.smp import Group, Op, Ours, decode
from tests.bridge.noise import INFO, counts_of


@pytest.mark.parametrize("between", range(0, 600, 51))
def test_a_write_like_an_earlier_one_is_done_again_whatever_was_asked_in_between(
    between: int,
) -> None:
    """A device takes the same bytes for the same request; numbers come round after 256."""
    device, coder, back = SimulatedDevice(), CobsFramer(), CobsFramer()
    device.take()

    def send(message: bytes) -> None:
        device.receive(coder.encode(1, message))
        for frame in back.feed(device.take()):
            requests.offer(decode(frame.payload))

    requests = Requests(send)
    for near in range(between, between + 51):
        device.verdicts.clear()
        for _ in range(2):
            requests.ask(Op.WRITE, Group.EDGE_DX, Ours.VERDICT, {"says": "same"}, asked="a verdict")
            for number in range(near):
                requests.ask(Op.READ, Group.EDGE_DX, Ours.PING, {"t1": number}, asked="a ping")
        assert len(device.verdicts) == 2
    assert device.counters()["repeated"] == 0


def test_times_of_a_new_boot_are_not_read_on_the_old_clock() -> None:
    """Between a restart and the next hello nothing is known of the device's clock."""
    receiver, coder = Receiver(CobsFramer()), CobsFramer()
    receiver.meet(Hello(proto=PROTOCOL, device="x", boot_id=1, streams=(INFO,)))
    receiver.fit = Clock().round([Probe(10**9, 5_000_000, 5_000_000, 10**9 + 1000)])

    def host_ns(boot_id: int, index: int) -> list[int | None]:
        event = coder.encode(EVENT, encode_event(Event(1, boot_id, 0, 5_000_000)))
        header = Header(0, Format.I24, boot_id, 1, index, 5_000_000)
        block = coder.encode(STREAM, encode_samples(header, counts_of(1)[:1, None]))
        items = list(receiver.feed(event + block, 0))
        assert isinstance(items[0], Happened)
        assert len(items) == 2
        return [item.at.t_host_ns for item in items]  # type: ignore[union-attr]

    assert host_ns(1, 0) == [10**9 + 500] * 2
    assert host_ns(2, 0) == [None, None]
    receiver.meet(Hello(proto=PROTOCOL, device="x", boot_id=2, streams=(INFO,)))
    assert host_ns(2, 1) == [None, None]
