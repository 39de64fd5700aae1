"""The noise matrix with few frames; `python -m tests.bridge.noise` runs it with 100,000 each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import BadPlan
from firmware_bridge.faults import Lane, Mangler, Plan, read_plan
from tests.bridge.noise import CONDITIONS, run


@pytest.mark.parametrize("name", CONDITIONS)
def test_nothing_false_comes_and_each_loss_is_counted(name: str) -> None:
    found = run(CONDITIONS[name], 3000, seed=5)
    assert found.sound
    assert (found.faults == 0) == (name == "clean")
    assert (found.came == 3000) == (name == "clean")


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
