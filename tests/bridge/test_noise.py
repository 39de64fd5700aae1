"""The noise matrix with few frames; `python -m tests.bridge.noise` runs it with 100,000 each."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import BadPlan
from firmware_bridge.faults import Lane, Mangler, Plan, read_plan
from firmware_bridge.frames import native
from firmware_bridge.loss import Ledger, Place
from firmware_bridge.messages import Header
from tests.bridge.noise import BYTE_US, CONDITIONS, TICK_US, main, run, sent

FRAMES = 3000


@pytest.mark.parametrize("name", CONDITIONS)
def test_nothing_false_comes_and_each_loss_is_counted_and_told(name: str) -> None:
    found = run(CONDITIONS[name], FRAMES, seed=5)
    assert found.sound
    assert (found.faults == 0) == (name == "clean")
    assert (found.came == FRAMES) == (name == "clean")
    assert (found.recovery == 0) == (name == "clean")
    assert len(found.latency_ms) == found.came


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_line_that_loses_makes_nothing_late(name: str) -> None:
    """Beyond the bytes that it adds; nothing is sent again, and nothing waits for what follows."""
    latency_ms = run(CONDITIONS[name], FRAMES, seed=6).latency_ms
    line_ms = [len(wire) * BYTE_US / 1e3 for wire in sent(FRAMES)]
    added = name in ("bytes doubled 0.001", "bytes inserted 0.001", "all together")
    assert min(latency_ms) >= min(line_ms)
    assert max(latency_ms) <= max(line_ms) + TICK_US / 1e3 + added * 5 * BYTE_US / 1e3


def test_the_matrix_sees_a_checksum_that_checks_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sent(500)  # written with a checksum that is right
    blind = SimpleNamespace(crc32=lambda data: native._RESIDUE)
    monkeypatch.setattr("firmware_bridge.frames.native.zlib", blind)
    found = run(Lane(flip=1e-4), 500, seed=1)
    assert found.false
    assert not found.sound
    monkeypatch.setattr("tests.bridge.noise.CONDITIONS", {"bad": Lane(flip=1e-4)})
    assert main(["500"]) == 1
    assert "| BROKEN |" in capsys.readouterr().out


@pytest.mark.parametrize("fault", ["counted", "told"])
def test_the_matrix_sees_a_loss_that_is_miscounted(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    class Careless(Ledger):
        def take(self, header: Header) -> Place | None:
            place = super().take(header)
            if place is None or place.gap is None:
                return place
            if fault == "told":
                return Place(place.first, None)
            self.counts.lost_link -= 1
            return place

    monkeypatch.setattr("firmware_bridge.receiver.Ledger", Careless)
    found = run(Lane(drop=1e-3), 500, seed=1)
    assert not found.sound
    assert (found.mistold > 0) == (fault == "told")
    assert (found.counted != found.lost) == (fault == "counted")


@settings(deadline=None, max_examples=40)
@given(
    st.builds(
        Lane, flip=st.floats(0, 1e-3), drop=st.floats(0, 0.02), duplicate=st.floats(0, 0.02),
        insert=st.floats(0, 0.02),
    ),
    st.integers(0, 2**32),
)  # fmt: skip
def test_any_cable_keeps_the_promises(lane: Lane, seed: int) -> None:
    assert run(lane, 60, seed).sound


@settings(deadline=None)
@given(st.lists(st.integers(0, 300), max_size=8), st.integers(0, 9))
def test_the_same_bytes_are_hit_however_they_come(sizes: list[int], seed: int) -> None:
    lane = Lane(flip=1e-3, drop=0.01, duplicate=0.01, insert=0.01)
    data = np.random.default_rng(seed).bytes(sum(sizes))
    whole, pieces = Mangler(lane, seed, keep=True), Mangler(lane, seed, keep=True)
    at, found = 0, b""
    for size in sizes:
        found += pieces.apply(data[at : at + size])
        at += size
    assert found == whole.apply(data)
    assert (whole.hit, whole.done) == (pieces.hit, pieces.done)


def test_as_many_faults_as_the_plan_says() -> None:
    lane = Lane(flip=1e-4, drop=1e-3, duplicate=2e-3, insert=3e-3)
    mangler = Mangler(lane, 1)
    out = mangler.apply(bytes(1_000_000))
    done = mangler.done
    expected = {"flip": 800, "drop": 1000, "duplicate": 2000, "insert": 3000}
    assert all(abs(done[kind] - n) < 5 * n**0.5 for kind, n in expected.items())
    assert abs(len(out) - (1_000_000 - done["drop"] + done["duplicate"] + done["insert"])) < 20


def test_a_plan_is_read_from_toml(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text("seed = 7\n[to_host]\nflip = 1e-5\nchop = 16\n")
    assert read_plan(path) == Plan(seed=7, to_host=Lane(flip=1e-5, chop=16))
    for text, why in (
        ("seed = -1", "seed"), ("speed = 1", "speed"), ("[to_host]\nflip = 2", "flip"),
        ("[to_host\n", "no plan"), ("\xff", "no plan"),
    ):  # fmt: skip
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(BadPlan, match=why):
            read_plan(path)
    with pytest.raises(BadPlan, match="cannot be read"):
        read_plan(path.with_name("none"))
