"""The ring between the reader and the user: bounded, and never silent about it."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.errors import LinkLost
from firmware_bridge.ring import Ring


@settings(deadline=None)
@given(st.integers(1, 9), st.lists(st.booleans(), max_size=60))
def test_dropping_keeps_the_newest_and_counts_the_others(room: int, puts: list[bool]) -> None:
    ring: Ring[int] = Ring(room, "drop")
    put, got = 0, []
    for is_put in puts:
        if is_put:
            ring.put(put)
            put += 1
        else:
            got.append(ring.get(0))
        assert len(ring) <= room
    taken = [n for n in got if n is not None]
    assert taken == sorted(taken)
    assert put == len(taken) + len(ring) + ring.dropped


def test_blocking_makes_the_reader_wait_and_loses_nothing() -> None:
    ring: Ring[int] = Ring(2, "block")
    writer = threading.Thread(target=lambda: [ring.put(n) for n in range(500)])
    writer.start()
    assert [ring.get(10) for _ in range(500)] == list(range(500))
    writer.join(10)
    assert ring.dropped == 0


def test_the_end_comes_after_what_was_before_it() -> None:
    ring: Ring[int] = Ring(4, "drop")
    ring.put(1)
    ring.end(LinkLost("unplugged"))
    ring.end()  # the first word stands
    assert not ring.ended
    assert ring.get() == 1
    with pytest.raises(LinkLost, match="unplugged"):
        ring.get()
    assert ring.ended
    assert not ring.put(2)


def test_an_end_frees_whoever_waits() -> None:
    full: Ring[int] = Ring(1, "block")
    full.put(0)
    answers: list[bool | int | None] = []
    empty: Ring[int] = Ring(1, "drop")
    waits = [threading.Thread(target=lambda: answers.append(full.put(1))),
             threading.Thread(target=lambda: answers.append(empty.get(0.01)))]  # fmt: skip
    for thread in waits:
        thread.start()
    full.end()
    for thread in waits:
        thread.join(10)
    assert sorted(map(str, answers)) == ["False", "None"]
    assert full.get() == 0
    assert full.get() is None


def test_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        Ring[int](0, "drop")
    with pytest.raises(ValueError, match="block or drop"):
        Ring[int](1, "other")  # type: ignore[arg-type]  # that is what is tried
