"""A simulated device, a cable and a link: streams, losses, restarts, unplugging, states."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest

import firmware_bridge
from firmware_bridge import Block, Gap, Link, LinkLost, Simulator, State
from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.descriptor import Opener, Port
from firmware_bridge.errors import DeviceRefused, Incompatible, NoAnswer, PortMissing
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.memory import pair
from firmware_bridge.simulator import PictureStream, RecordStream, SimulatedDevice
from firmware_bridge.smp import Group, Op, Ours
from tests.bridge.hearts import heart

LONG_S = 20.0
"""For what must happen; nothing here depends on how soon it does."""


def blocks_of(stream: Any, until: int) -> list[Block]:
    """All blocks up to the sample of that index."""
    found: list[Block] = []
    while not found or found[-1].first_index + len(found[-1]) < until:
        block = stream.get(LONG_S)
        assert isinstance(block, Block), f"nothing came after {len(found)} blocks"
        found.append(block)
    return found


def check(blocks: list[Block], counts: Any) -> int:
    """Every sample is that of the record at its index, gaps tell exactly what is missing; how many
    are.
    """
    missing, expected = 0, 0
    for block in blocks:
        np.testing.assert_array_equal(
            block.counts, counts[block.first_index : block.first_index + len(block)]
        )
        gap = block.first_index - expected
        if block.gap is None:
            assert gap == 0
        else:
            assert (block.gap.first, block.gap.count) == (expected, gap)
        missing += gap
        expected = block.first_index + len(block)
    return missing


@pytest.fixture(params=["memory", "tcp", "pty"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def target_of(simulator: Simulator, kind: str) -> str | Opener:
    if kind == "memory":
        return simulator.memory()
    return simulator.tcp() if kind == "tcp" else simulator.pty()


def test_a_record_arrives_as_it_is(kind: str) -> None:
    counts, record = heart(20)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(target_of(simulator, kind)) as link,
    ):
        assert link.hello.device == "edge-dx simulator"
        assert link.state is State.READY
        stream = link.stream("ecg", on_full="block")
        blocks = blocks_of(stream, len(counts))
        stream.close()
        assert check(blocks, counts) == 0
        assert link.counts["ecg"].received == len(counts)
        assert link.counts["ecg"].lost_link == link.counts["ecg"].lost_device == 0
        assert blocks[0].unit == "uV"
        np.testing.assert_allclose(blocks[0].samples, counts[:25] * 0.5)
        assert blocks[4].at.t_dev_us - blocks[0].at.t_dev_us == 400_000


@pytest.mark.parametrize(
    "lane",
    [
        Lane(flip=1e-4),
        Lane(drop=2e-3),
        Lane(duplicate=1e-3, insert=1e-3, chop=7),
        Lane(flip=1e-5, drop=5e-4, chop=64),
    ],
)
def test_over_a_bad_cable_each_loss_is_counted_and_nothing_is_made_up(lane: Lane) -> None:
    counts, record = heart(60)
    plan = Plan(seed=11, to_host=lane)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(bad_opener(simulator.memory(), plan)) as link,
    ):
        stream = link.stream("ecg", on_full="block", room=4096)
        blocks: list[Block] = []
        while (block := stream.get(1.0)) is not None:
            assert isinstance(block, Block)
            blocks.append(block)
        stream.close()
        lost = check(blocks, counts)
        tail = len(counts) - blocks[-1].first_index - len(blocks[-1])
        account = link.counts["ecg"]
        assert account.lost_link == lost + tail
        assert account.received == sum(map(len, blocks))
        assert account.received + account.lost_link == len(counts)
        assert account.lost_link > 0
        assert account.lost_device == account.restarts == 0
        assert link.troubles["damaged_frames"] > 0


def test_over_tcp_through_a_proxy_the_same(tmp_path: Any) -> None:
    """The whole way: device, TCP, a bad cable, TCP, pyserial, frames, counts."""
    from firmware_bridge.faults import Proxy
    from firmware_bridge.port import open_port

    counts, record = heart(60)
    device = SimulatedDevice([record])
    plan = Plan(seed=5, to_host=Lane(drop=1e-3, flip=1e-5), to_device=Lane(drop=1e-3))
    proxies: list[Proxy] = []

    def through_the_proxy() -> Port:
        host, other = pair(write_timeout_s=3600)
        proxies.append(Proxy(other, open_port(url), plan))
        return host

    with Simulator(device, "fast") as simulator:
        url = simulator.tcp()
        with firmware_bridge.connect(through_the_proxy) as link:
            stream = link.stream("ecg", on_full="block", room=4096)
            blocks = []
            while isinstance(block := stream.get(1.0), Block):
                blocks.append(block)
            stream.close()
            account = link.counts["ecg"]
            lost = check(blocks, counts)
            tail = len(counts) - blocks[-1].first_index - len(blocks[-1])
            assert account.lost_link == lost + tail > 0
            assert proxies[0].done["to_host"]["drop"] > 0
        for proxy in proxies:
            proxy.close()
            assert proxy.join(LONG_S)


def test_what_a_slow_reader_misses_is_told() -> None:
    counts, record = heart(60)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        stream = link.stream("ecg", on_full="drop", room=10)
        until = time.monotonic() + LONG_S
        while link.counts["ecg"].received < len(counts) and time.monotonic() < until:
            time.sleep(0.01)
        blocks = blocks_of(stream, len(counts))
        assert len(blocks) == 10
        assert stream.dropped == 590
        assert blocks[0].gap == Gap(0, 590 * 25, host=590 * 25)
        assert all(block.gap is None for block in blocks[1:])
        assert link.counts["ecg"].lost_link == 0


def test_a_request_behind_a_full_stream_says_why_it_is_not_answered() -> None:
    _, record = heart(60)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        stream = link.stream("ecg", on_full="block", room=2)
        until = time.monotonic() + LONG_S
        while not stream.waits and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(NoAnswer, match=r"stream 'ecg' is full .* read on, or ask from another"):
            link.ask(Op.READ, Group.EDGE_DX, Ours.HELLO, asked="the hello", timeout_s=0.05, tries=1)
        stream.close()
        assert not stream.waits
        assert link.echo("x") == "x"


def test_what_the_device_has_no_room_for_is_told() -> None:
    """The host does not read for a while, so that the device's buffer runs full."""
    counts, record = heart(40)
    device = SimulatedDevice([record], room=2000)
    device.receive(hello_and_start())
    device.advance(0)
    device.take()
    device.advance(30_000_000)
    receiver = receiver_of(device)
    receiver.ledger(0).expect(1, 0, 0)
    blocks = [item for item in receiver.feed(device.take(), 0) if isinstance(item, Block)]
    lost = 30 * 250 - 25 * len(blocks)
    assert blocks[0].gap == Gap(0, lost, device=lost)
    assert blocks[0].flags & 0x10
    assert not blocks[1].flags & 0x10
    assert check(blocks, counts) == lost
    assert receiver.counts()["ecg"].lost_device == lost


def hello_and_start() -> bytes:
    from firmware_bridge.frames import CONTROL, CobsFramer
    from firmware_bridge.smp import Message

    asked = [Message(Op.READ, Group.EDGE_DX, Ours.HELLO, 0),
             Message(Op.WRITE, Group.EDGE_DX, Ours.START, 1, {"id": 0})]  # fmt: skip
    return b"".join(CobsFramer().encode(CONTROL, one.to_bytes()) for one in asked)


def receiver_of(device: SimulatedDevice) -> Any:
    from firmware_bridge.frames import CobsFramer
    from firmware_bridge.receiver import Receiver

    receiver = Receiver(CobsFramer())
    receiver.meet(device.hello())
    return receiver


@pytest.fixture
def living() -> Iterator[tuple[Simulator, Link, Any]]:
    """A device at real pace whose record repeats."""
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)])
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        yield simulator, link, counts


def test_unplugging_while_it_streams_is_a_gap_and_no_end(living: Any) -> None:
    simulator, link, counts = living
    stream = link.stream("ecg")
    before = blocks_of(stream, 50)
    simulator.unplug()
    assert link.wait_for(State.LOST, timeout_s=1.0)  # within a second, as promised
    simulator.plug()
    assert link.wait_for(State.STREAMING, timeout_s=LONG_S)
    after = blocks_of(stream, before[-1].first_index + 200)
    joined = before + after
    repeated = np.tile(counts, (20, 1))
    check(joined, repeated)
    assert all(block.run == 0 for block in joined)
    assert link.reconnects >= 1


def test_a_restart_of_the_device_begins_a_new_run(living: Any) -> None:
    _, link, _ = living
    stream = link.stream("ecg")
    before = blocks_of(stream, 50)
    link.restart()
    after: list[Block] = []
    while not after or after[-1].run == 0:
        block = stream.get(LONG_S)
        assert isinstance(block, Block)
        after.append(block)
    assert after[-1].first_index == 0
    assert after[-1].gap is not None
    assert after[-1].gap.restart
    assert after[-1].gap.count is None
    assert before[0].run == 0
    assert link.counts["ecg"].restarts == 1
    assert link.hello.boot_id == 2


def test_without_reconnecting_a_lost_device_is_one_error(living: Any) -> None:
    simulator, _, _ = living
    with firmware_bridge.connect(simulator, reconnect=False) as link:
        stream = link.stream("ecg")
        blocks_of(stream, 25)
        simulator.unplug()
        with pytest.raises(LinkLost, match="memory: the device"):
            for _ in stream:
                pass
        assert link.state is State.LOST
        with pytest.raises(LinkLost):
            link.echo("x")


def test_a_silent_device_is_stalled_and_no_loss() -> None:
    counts, record = heart(1)
    with (
        Simulator(SimulatedDevice([record]), "fast") as simulator,
        firmware_bridge.connect(simulator) as link,
    ):
        stream = link.stream("ecg", on_full="block")
        blocks_of(stream, len(counts))
        assert link.wait_for(State.STALLED, timeout_s=LONG_S)
        stream.close()
        assert link.state is State.READY
        assert link.counts["ecg"].lost_link == 0


def test_the_clock_of_the_device_is_found(living: Any) -> None:
    _, link, _ = living
    stream = link.stream("ecg")
    until = time.monotonic() + LONG_S
    while link.fit is None and time.monotonic() < until:
        time.sleep(0.01)
    block = stream.get(LONG_S)
    while isinstance(block, Block) and block.at.t_host_ns is None:
        block = stream.get(LONG_S)
    assert isinstance(block, Block)
    assert block.at.t_host_ns is not None
    assert block.at.uncertainty_s is not None
    # Its 25 samples take 100 ms, and arrive afterwards.
    age_s = (block.at.arrived_ns - block.at.t_host_ns) * 1e-9
    assert 0.1 - block.at.uncertainty_s - 0.001 < age_s < LONG_S


def test_requests_go_through_a_cable_that_loses_many() -> None:
    _, record = heart(1)
    bad = Lane(drop=0.0015)  # of each byte: four of ten hellos, one of twenty others
    device = SimulatedDevice([record])
    with (
        Simulator(device) as simulator,
        # Without pings, so that which bytes are lost depends on the seed alone.
        Link(
            bad_opener(simulator.memory(), Plan(seed=3, to_host=bad, to_device=bad)),
            measure_clock=False,
        ) as link,
    ):
        done = 0
        for number in range(40):
            try:
                link.ask(Op.WRITE, Group.EDGE_DX, Ours.VERDICT, {"n": number}, asked="a verdict",
                         timeout_s=0.05, tries=12)  # fmt: skip
                done += 1
            except NoAnswer:
                pass
        told = [verdict["n"] for verdict in device.verdicts]
        assert done == 40
        assert told == sorted(set(told)), "done once each, however often they were asked"
        assert link.troubles["repeated_requests"] > 0


def test_a_device_that_says_no(living: Any) -> None:
    _, link, _ = living
    assert link.echo("hällo") == "hällo"
    link.verdict({"label": "N", "p": 0.9})
    with pytest.raises(DeviceRefused, match="not supported"):
        link.ask(Op.READ, 9, 9, asked="something")
    with pytest.raises(Incompatible, match="no stream 'eeg'; it has: ecg"):
        link.stream("eeg")
    stream = link.stream("ecg")
    with pytest.raises(Incompatible, match="already"):
        link.stream("ecg")
    stream.close()


def test_events_and_logs_are_told_with_their_time(living: Any) -> None:
    simulator, link, _ = living
    simulator.device.happen(1, {"button": 2})
    happened = link.events.get(LONG_S)
    assert (happened.event.kind, happened.event.told) == (1, {"button": 2})
    simulator.device.log("\x1b[2Jred")
    lines = [link.logs.get(LONG_S).text for _ in range(2)]
    assert lines == ["boot 1, firmware 1.0.0.0", "\\x1b[2Jred"]  # no escape reaches a terminal


def test_pictures_of_a_cart_arrive_whole_or_are_counted() -> None:
    rng = np.random.default_rng(1)
    pictures = [rng.integers(0, 256, (60, 80), dtype=np.uint8) for _ in range(5)]
    info = StreamInfo(id=4, name="us", kind="image", rate=(20, 1), format=16, bits=8)
    source = PictureStream(info, pictures, (0.2, 0.3))
    with (
        Simulator(SimulatedDevice([source], room=100_000), "fast") as simulator,
        firmware_bridge.connect(
            bad_opener(simulator.memory(), Plan(seed=1, to_host=Lane(drop=2e-5)))
        ) as link,
    ):
        stream = link.stream("us", on_full="block")
        expected = lost = 0
        for _ in range(200):
            picture = stream.get(LONG_S)
            assert isinstance(picture, firmware_bridge.Picture)
            np.testing.assert_array_equal(picture.pixels, pictures[picture.first_index % 5])
            assert picture.mm_per_px == pytest.approx((0.2, 0.3))
            missing = picture.first_index - expected
            assert (picture.gap.count if picture.gap else 0) == missing
            lost += missing
            expected = picture.first_index + 1
        assert lost > 0


def test_nobody_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.dialect.HELLO_TIMEOUT_S", 0.02)
    host, device = pair()
    answers = threading.Thread(target=lambda: device.read(LONG_S))
    answers.start()
    with pytest.raises(NoAnswer, match="did not answer the hello"):
        Link(lambda: host)
    answers.join()
    with Simulator(SimulatedDevice()) as simulator:
        opener = simulator.memory()
        simulator.unplug()
        with pytest.raises(PortMissing):
            firmware_bridge.connect(opener)


def test_another_major_version_is_refused() -> None:
    device = SimulatedDevice()
    hello = device.hello()
    newer = msgspec.structs.replace(hello, proto=(2, 0))
    device.hello = lambda: newer  # type: ignore[method-assign]  # a device of tomorrow
    with (
        Simulator(device) as simulator,
        pytest.raises(Incompatible, match="version 2 of the protocol, this end 1"),
    ):
        firmware_bridge.connect(simulator)
