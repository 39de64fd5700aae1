"""An ultrasound cart: pictures over the link, whole or counted, and what was found goes back."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import firmware_bridge
from firmware_bridge.blocks import Picture
from firmware_bridge.capabilities import PROTOCOL, Hello
from firmware_bridge.faults import Lane, Plan, bad_opener
from firmware_bridge.frames import STREAM, CobsFramer
from firmware_bridge.messages import Format, Header, encode_picture
from firmware_bridge.receiver import Receiver
from firmware_bridge.simulator import SimulatedDevice, Simulator
from tests.bridge.cart import INFO, MM, Cart, drawn

LONG_S = 60.0


def test_pictures_through_a_bad_cable_and_results_back() -> None:
    """Both ways bad: no torn picture is handed out, each loss is told, each result comes home."""
    device = SimulatedDevice([Cart()], room=100_000)
    plan = Plan(seed=3, to_host=Lane(flip=4e-6, drop=4e-5), to_device=Lane(drop=1e-3))
    said: dict[int, int] = {}
    lost = 0
    with (
        Simulator(device) as simulator,
        firmware_bridge.connect(bad_opener(simulator.memory(), plan)) as link,
        link.stream("us") as stream,
    ):
        expected = 0
        for _ in range(100):
            picture = stream.get(LONG_S)
            assert isinstance(picture, Picture)
            np.testing.assert_array_equal(picture.pixels, drawn(picture.first_index))
            assert picture.mm_per_px == MM
            assert (picture.gap.count if picture.gap else 0) == picture.first_index - expected
            lost += picture.first_index - expected
            expected = picture.first_index + 1
            said[picture.first_index] = int(picture.pixels.sum())
            link.verdict({**picture.place, "sum": said[picture.first_index]})
        assert link.counts["us"].lost_link > 0
        assert link.counts["us"].lost_link + link.counts["us"].lost_device + stream.dropped >= lost
        assert link.troubles["repeated_requests"] > 0  # the way back was bad, too
    assert {index: told["sum"] for index, told in device.results(INFO.id).items()} == said
    assert len(device.verdicts) == len(said)  # none was taken twice


def test_a_result_of_before_a_restart_is_put_to_no_new_picture() -> None:
    device = SimulatedDevice([Cart()], room=100_000)
    with Simulator(device) as simulator, firmware_bridge.connect(simulator) as link:
        with link.stream("us") as stream:
            old = stream.get(LONG_S)
            assert isinstance(old, Picture)
            link.restart()
            while (new := stream.get(LONG_S)) is not None and new.run == old.run:
                pass
            assert isinstance(new, Picture)
            assert new.boot_id != old.boot_id
            link.verdict({**old.place, "says": "old"})
            link.verdict({**new.place, "says": "new"})
            link.verdict({"says": "nothing of a place"})
        assert [told["says"] for told in device.results(INFO.id).values()] == ["new"]
        assert len(device.verdicts) == 3


def receiver() -> Receiver:
    found = Receiver(CobsFramer())
    found.meet(Hello(proto=PROTOCOL, device="a cart", boot_id=1, streams=(INFO,)))
    found.ledger(INFO.id).expect(1, 0, 0)
    return found


def pieces(number: int, boot_id: int = 1) -> list[bytes]:
    header = Header(INFO.id, Format.GREY8, boot_id, 1, number, number * 10_000)
    coder = CobsFramer()
    return [coder.encode(STREAM, one) for one in encode_picture(header, drawn(number), MM, 200)]


fates = st.sampled_from(["comes"] * 12 + ["lost", "twice", "late"])


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_whatever_becomes_of_the_pieces_only_whole_pictures_are_given(data: st.DataObject) -> None:
    """Pieces lost, doubled and out of their order, over several pictures."""
    count = data.draw(st.integers(1, 5))
    wire, late, hurt = list[bytes](), list[bytes](), set[int]()
    for number in range(count):
        for piece in pieces(number):
            fate = data.draw(fates)
            if fate in ("lost", "late"):
                hurt.add(number)
            if fate == "late":
                late.append(piece)
            else:
                wire += {"comes": [piece], "twice": [piece] * 2, "lost": []}[fate]
            if data.draw(st.booleans()) and late:
                wire.append(late.pop(0))
    heard = receiver()
    found = [item for item in heard.feed(b"".join(wire + late), 0) if isinstance(item, Picture)]
    for picture in found:
        np.testing.assert_array_equal(picture.pixels, drawn(picture.first_index))
    came = [picture.first_index for picture in found]
    assert came == sorted(set(came))
    assert set(range(count)) - hurt <= set(came)
    heard.ledger(INFO.id).settle(count, 0)
    assert heard.counts()["us"].lost_link == count - len(came)
    assert heard.unreadable == 0


@pytest.mark.parametrize("other", [{"first_index": 1}, {"boot_id": 2}, {"t_dev_us": 9}])
def test_halves_of_two_pictures_make_none(other: dict[str, Any]) -> None:
    """Of two in succession, of one before and one after a restart, of one number and other time."""
    place: dict[str, Any] = {"first_index": 0, "boot_id": 1, "t_dev_us": 0}
    picture, coder, heard = drawn(0), CobsFramer(), receiver()
    one, two = (
        encode_picture(Header(INFO.id, Format.GREY8, n=1, **told), picture, MM, 2400)
        for told in (place, {**place, **other})
    )
    assert len(one) == len(two) == 2
    mixed = coder.encode(STREAM, one[0]) + coder.encode(STREAM, two[1])
    assert list(heard.feed(mixed, 0)) == []
    whole = b"".join(coder.encode(STREAM, piece) for piece in two)
    (found,) = heard.feed(whole, 0)
    assert isinstance(found, Picture)


def test_a_cart_that_does_not_know_its_scale_says_so() -> None:
    header = Header(INFO.id, Format.GREY8, 1, 1, 0, 0)
    (piece,) = encode_picture(header, drawn(2), (math.nan, math.nan), 4000)
    (found,) = receiver().feed(CobsFramer().encode(STREAM, piece), 0)
    assert isinstance(found, Picture)
    assert all(map(math.isnan, found.mm_per_px))


def test_the_example_runs() -> None:
    example = Path(__file__).parents[2] / "examples" / "cart_pictures.py"
    done = subprocess.run([sys.executable, str(example), "--pictures", "4"], capture_output=True,
                          text=True, check=True, timeout=LONG_S)  # fmt: skip
    found = re.findall(r"picture (\d+): .*'diameter_mm': ([\d.]+)", done.stdout)
    assert len(found) == 4
    for number, measured in found:
        drawn_mm = (8.0, 10.0, 12.0, 14.0)[int(number) % 4]
        assert abs(float(measured) - drawn_mm) < 0.5
    assert "the cart has 4 results" in done.stdout
