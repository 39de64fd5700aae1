"""Devices of others against their doubles, whose bytes are those of the real ones."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_bridge
from firmware_bridge import Block, Gap, Simulator
from firmware_bridge.blocks import Picture
from firmware_bridge.devices import dialect
from firmware_bridge.devices.csv import Csv, CsvDouble
from firmware_bridge.devices.cyton import Cyton, CytonDouble
from firmware_bridge.devices.cyton_daisy import CytonDaisy, CytonDaisyDouble
from firmware_bridge.devices.foreign import Double, Foreign
from firmware_bridge.devices.heartypatch import HeartyPatch, HeartyPatchDouble
from firmware_bridge.devices.openview import OpenView, OpenViewDouble
from firmware_bridge.errors import BadMessage, Incompatible, NoAnswer
from firmware_bridge.memory import pair
from tests.bridge.test_link import LONG_S

RNG = np.random.default_rng(4)
WIDE = RNG.integers(-(2**23), 2**23, (500, 8))
BOTH = RNG.integers(-(2**23), 2**23, (500, 16))


def blocks(items: Any) -> list[Block]:
    return [item for item in items if isinstance(item, Block)]


def made(kind: str, limit: int | None = None) -> tuple[Foreign, Double, Any]:
    """A dialect, its double, and the samples that it plays."""
    if kind == "cyton":
        return Cyton(), CytonDouble(WIDE, limit), WIDE
    if kind == "cyton-daisy":
        return CytonDaisy(), CytonDaisyDouble(BOTH, limit), BOTH
    if kind == "openview":
        return OpenView(rate_hz=125), OpenViewDouble(WIDE[:, :3], 125, limit), WIDE[:, :1]
    if kind == "heartypatch":
        return HeartyPatch(), HeartyPatchDouble(WIDE, 128, limit), WIDE.reshape(-1, 1)
    return (
        Csv(250, leads=("a", "b"), step=1.0, index=True),
        CsvDouble(WIDE[:, :2] // 256, 250, limit, index=True), WIDE[:, :2] // 256,
    )  # fmt: skip


FOREIGN = ["cyton", "cyton-daisy", "openview", "heartypatch", "csv"]


@pytest.mark.parametrize("kind", FOREIGN)
def test_its_samples_arrive(kind: str) -> None:
    speaks, double, samples = made(kind)  # it plays them again and again
    with (
        Simulator(double, "fast") as simulator,
        firmware_bridge.connect(simulator, speaks, reconnect=False) as link,
    ):
        assert link.hello.streams == speaks._infos
        stream = link.stream(link.hello.streams[0].name, on_full="block")
        found: list[Block] = []
        while sum(len(block) for block in found) < 600:
            block = stream.get(LONG_S)
            assert isinstance(block, Block)
            found.append(block)
        stream.close()
    got = np.concatenate([block.counts for block in found])
    twice = np.tile(samples, (4, 1))
    first = find(twice, got[:20])  # those that stream by themselves have begun before we listened
    np.testing.assert_array_equal(got[:600], twice[first : first + 600])
    assert all(block.gap is None for block in found[1:])


def find(samples: Any, counts: Any) -> int:
    return next(
        n for n in range(len(samples)) if np.array_equal(samples[n : n + len(counts)], counts)
    )


def bytes_of(kind: str, packets: int) -> tuple[Foreign, list[bytes], Any]:
    """Packets in a row, as the double makes them, and a dialect that is listening."""
    speaks, double, samples = made(kind)
    wire = [double.packet(n, double._samples[n]) for n in range(packets)]
    if isinstance(speaks, Cyton):
        speaks.start(_Mute(), speaks._infos[0])
    return speaks, wire, samples


class _Mute:
    def write(self, data: bytes) -> None:
        pass

    def ask(self, *_: Any, **__: Any) -> dict[str, Any]:
        raise AssertionError


@pytest.mark.parametrize("kind", FOREIGN)
@settings(deadline=None, max_examples=30)
@given(sizes=st.lists(st.integers(0, 90), max_size=30))
def test_any_split_gives_the_same_samples(kind: str, sizes: list[int]) -> None:
    speaks, packets, samples = bytes_of(kind, 20)
    wire, at, found = b"".join(packets), 0, []
    for size in [*sizes, len(wire)]:
        found += blocks(speaks.feed(wire[at : at + size], 0))
        at += size
    found += blocks(speaks.idle(0))
    counts = np.concatenate([b.counts for b in found if b.stream.id == 0])
    np.testing.assert_array_equal(counts, samples[: len(counts)])
    assert len(counts) == {"heartypatch": 160, "cyton-daisy": 10}.get(kind, 20)
    assert all(block.gap is None for block in found)


@pytest.mark.parametrize("kind", FOREIGN)
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_lost_byte_costs_its_packet_and_is_told(kind: str, data: Any) -> None:
    speaks, packets, samples = bytes_of(kind, 12)
    hit = data.draw(st.integers(3, 9))
    at = data.draw(st.integers(0, len(packets[hit]) - (3 if kind == "csv" else 1)))
    broken = packets[hit][:at] + packets[hit][at + 1 :]
    found = blocks(speaks.feed(b"".join([*packets[:hit], broken, *packets[hit + 1 :]]), 0))
    found += blocks(speaks.idle(0))
    per = 8 if kind == "heartypatch" else 1
    counts = np.concatenate([b.counts for b in found if b.stream.id == 0])
    if kind == "csv":  # a lost digit makes another number, and nobody can know
        assert len(counts) >= 10
        return
    sent = 12 * per
    if kind == "cyton-daisy":  # a sample in two packets
        hit, sent = hit // 2, 6
    whole = np.delete(samples[:sent], np.s_[hit * per : (hit + 1) * per], axis=0)
    np.testing.assert_array_equal(counts, whole)
    gaps = [b.gap for b in found if b.gap is not None and b.stream.id == 0]
    if kind == "openview":
        assert [gap.count for gap in gaps] == [None]
        assert speaks.counts()["ecg"].unknown == 1
    else:
        assert gaps == [Gap(hit * per, per)]
        assert speaks.counts()[speaks._infos[0].name].lost_link == per


@pytest.mark.parametrize("kind", FOREIGN)
@settings(deadline=None, max_examples=60)
@given(pieces=st.lists(st.binary(max_size=300), max_size=12))
def test_random_bytes_raise_nothing(kind: str, pieces: list[bytes]) -> None:
    speaks, _, _ = bytes_of(kind, 0)
    for n, piece in enumerate(pieces):
        for item in [*speaks.feed(piece, n * 10**9), *speaks.idle(n * 10**9)]:
            assert isinstance(item, Block | Picture)


def test_a_cyton_says_what_it_is_and_its_microvolts() -> None:
    with (
        Simulator(CytonDouble(WIDE, 50), "fast") as simulator,
        firmware_bridge.connect(simulator, dialect("cyton", gain=24.0)) as link,
    ):
        assert link.hello.firmware == "v3.1.2"
        block = link.stream("exg", on_full="block").get(LONG_S)
        assert isinstance(block, Block)
        np.testing.assert_allclose(
            block.samples, block.counts * 4.5e6 / 24 / (2**23 - 1), rtol=1e-12
        )


def test_a_cyton_over_a_silence_counts_beyond_256() -> None:
    speaks, packets, _ = bytes_of("cyton", 2)
    blocks([*speaks.feed(packets[0] + packets[1], 0), *speaks.idle(0)])
    later = CytonDouble(WIDE).packet(702, WIDE[0])
    found = blocks([*speaks.feed(later, int(2.83e9)), *speaks.idle(int(2.83e9))])
    assert found[0].gap == Gap(2, 700)


def test_a_heartypatch_that_was_restarted_begins_a_new_run() -> None:
    speaks = HeartyPatch()
    old, new = HeartyPatchDouble(WIDE, first=5000), HeartyPatchDouble(WIDE)
    wire = [old.packet(0, WIDE[0]), new.packet(0, WIDE[0]), new.packet(1, WIDE[1])]
    found = blocks([*speaks.feed(b"".join(wire), 0), *speaks.idle(0)])
    assert [(block.run, block.gap) for block in found] == [
        (0, None), (1, Gap(8, None, restart=True)), (1, None)
    ]  # fmt: skip
    assert found[2].at.t_dev_us == 62_500


def test_lines_that_make_no_sense_are_told() -> None:
    speaks = Csv(250, leads=("a", "b"), step=0.5)
    wire = b"99\n1,2\n3;4\n\n5,x\n1e999,1\nnan,1\n7\t8.26\n" + b"9" * 400 + b"\n1,1\n"
    found = blocks(speaks.feed(wire, 0))
    counts = np.concatenate([block.counts for block in found])
    assert counts.tolist() == [[2, 4], [6, 8], [14, 17], [2, 2]]
    assert [block.gap for block in found] == [None, Gap(2, None), Gap(3, None)]
    assert speaks.unreadable == 4


@pytest.mark.parametrize(
    ("speaks", "double", "why"),
    [
        (Cyton(), CytonDaisyDouble(BOTH), "has a Daisy .* use --device cyton-daisy"),
        (CytonDaisy(), CytonDouble(WIDE), "no Daisy answered"),
    ],
)
def test_channels_are_never_mixed_up(speaks: Cyton, double: CytonDouble, why: str) -> None:
    with Simulator(double) as simulator, pytest.raises(Incompatible, match=why):
        firmware_bridge.connect(simulator, speaks)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(0, 39), unique=True, max_size=30))
def test_halves_of_different_samples_are_never_joined(lost: list[int]) -> None:
    speaks, packets, samples = bytes_of("cyton-daisy", 40)
    wire = b"".join(packet for n, packet in enumerate(packets) if n not in lost)
    found = blocks([*speaks.feed(wire, 0), *speaks.idle(0)])
    whole = [n for n in range(20) if not {2 * n, 2 * n + 1} & set(lost)]
    got = {b.first_index + n: row for b in found for n, row in enumerate(b.counts)}
    start = whole[0] if whole else 0  # what was lost in front of the first one nobody knows
    assert sorted(got) == [n - start for n in whole]
    for n in whole:
        np.testing.assert_array_equal(got[n - start], samples[n])


@pytest.mark.parametrize("kind", ["openview", "heartypatch", "csv"])
def test_a_stream_that_is_wanted_while_bytes_are_read_begins_at_nought(kind: str) -> None:
    """A board that streams by itself is in the middle of it, on another thread."""
    speaks, packets, _ = bytes_of(kind, 40)
    for packet in packets[:20]:
        blocks([*speaks.feed(packet, 0), *speaks.idle(0)])
    reading = speaks.feed(packets[20] + packets[21] + packets[23], 0)
    speaks.forget(speaks._infos[0])
    first = next(item for item in reading if isinstance(item, Block) and item.stream.id == 0)
    assert (first.first_index, first.gap, first.run) == (0, None, 0)
    assert speaks.counts()[first.stream.name].received == len(first)


def test_nobody_who_is_a_cyton(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firmware_bridge.devices.cyton._GREETING_S", 0.05)
    host, _ = pair()
    with pytest.raises(NoAnswer, match="no OpenBCI board"):
        firmware_bridge.connect(lambda: host, Cyton())


def test_the_table_says_what_is_missing() -> None:
    with pytest.raises(Incompatible, match="these are: edge-dx, smp-console"):
        dialect("muse")
    with pytest.raises(Incompatible, match="rate_hz"):
        dialect("openview")
    with pytest.raises(Incompatible, match="8 channels"):
        dialect("cyton", leads=("a",))
    with pytest.raises(BadMessage, match="takes no requests"):
        dialect("csv", rate_hz=1).encode(1, b"")


# It asks an old package of setuptools where its libraries are.
@pytest.mark.filterwarnings("ignore:pkg_resources is deprecated:UserWarning")
@pytest.mark.parametrize("kind", ["cyton", "cyton-daisy"])
def test_brainflow_reads_our_double(kind: str) -> None:
    """The vendor-neutral client takes the double for the real board, and reads the same numbers."""
    board_shim = pytest.importorskip("brainflow.board_shim", reason="a peer: pip install brainflow")
    boards = board_shim.BoardIds
    board_id = boards.CYTON_BOARD if kind == "cyton" else boards.CYTON_DAISY_BOARD
    _, double, samples = made(kind)
    with Simulator(double) as simulator:
        parameters = board_shim.BrainFlowInputParams()
        parameters.serial_port = simulator.pty()
        parameters.timeout = int(LONG_S)
        board_shim.BoardShim.disable_board_logger()
        board = board_shim.BoardShim(board_id, parameters)
        board.prepare_session()
        try:
            board.start_stream()
            while board.get_board_data_count() < 60:
                time.sleep(0.01)
            data = board.get_board_data()
            board.stop_stream()
        finally:
            board.release_session()
    channels = board_shim.BoardShim.get_eeg_channels(board_id)
    counts = np.rint(data[channels] / (4.5e6 / 24 / (2**23 - 1))).astype(np.int64).T
    np.testing.assert_array_equal(counts, samples[: len(counts)])
    numbers = range(60) if kind == "cyton" else range(0, 120, 2)
    assert data[0, :60].tolist() == list(numbers)
