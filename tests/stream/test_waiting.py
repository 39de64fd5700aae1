"""The queue between grabber and model: nothing is lost without being counted."""

from __future__ import annotations

import threading
from collections import deque

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.errors import Overrun, UnreadableInput
from edge_dx.sources.frames import Frame
from edge_dx.stream.waiting import Arrival, Counters, Drop, Waiting

PIXELS = np.zeros((2, 2), np.uint8)


def arrival(number: int, host_ns: int = 0) -> Arrival:
    return Arrival(Frame(PIXELS, number, None, host_ns))


def numbers_left(waiting: Waiting) -> list[int]:
    waiting.end()
    found = []
    while (item := waiting.take(0)) is not None:
        found.append(item.frame.number)
    return found


@pytest.mark.parametrize(
    ("drop", "kept", "dropped", "refused"),
    [("oldest", [3, 4], 3, 0), ("newest", [0, 1], 3, 3)],
)
def test_who_goes_when_there_is_no_room(
    drop: Drop, kept: list[int], dropped: int, refused: int
) -> None:
    waiting = Waiting(2, drop)
    assert all(waiting.offer(arrival(number)) for number in range(5))
    assert waiting.counters == Counters(received=5, dropped=dropped, refused=refused, waiting=2)
    assert numbers_left(waiting) == kept


def test_fault_stops_at_once_and_says_what_to_do() -> None:
    waiting = Waiting(2, "fault")
    assert [waiting.offer(arrival(number)) for number in range(4)] == [True, True, False, False]
    with pytest.raises(Overrun, match="frame 2 found no room: 2 frames wait already"):
        waiting.take(0)
    assert waiting.counters == Counters(received=3, dropped=1, waiting=2)
    assert waiting.over


def test_a_source_that_can_wait_is_made_to() -> None:
    waiting = Waiting(1, None)
    offered = []

    def grab() -> None:
        offered.extend(waiting.offer(arrival(number)) for number in range(4))
        waiting.end()

    thread = threading.Thread(target=grab)
    thread.start()
    taken = []
    while (item := waiting.take(5)) is not None:
        taken.append(item.frame.number)
        waiting.answered()
    thread.join(5)
    assert taken == [0, 1, 2, 3]
    assert offered == [True] * 4
    assert waiting.counters == Counters(received=4, processed=4)


def test_closing_frees_a_source_that_waits() -> None:
    waiting = Waiting(1, None)
    waiting.offer(arrival(0))
    offered = []
    thread = threading.Thread(target=lambda: offered.append(waiting.offer(arrival(1))))
    thread.start()
    waiting.close()
    thread.join(5)
    assert not thread.is_alive()
    assert offered == [False]
    assert waiting.counters == Counters(received=1, waiting=1)


def test_jumps_of_the_source_are_counted_as_missed() -> None:
    waiting = Waiting(9, "oldest")
    for number in (3, 4, 7, 8, 20, 2, 3):  # it may begin anywhere, and begin again
        waiting.offer(arrival(number))
    assert waiting.counters.missed == 2 + 11
    assert waiting.counters.received == 7


def test_every_nth_is_kept_by_the_number_of_the_source() -> None:
    waiting = Waiting(9, "oldest", every=3)
    for number in (0, 1, 2, 4, 5, 6, 9):
        waiting.offer(arrival(number, host_ns=number))
    assert waiting.counters == Counters(received=7, skipped=4, waiting=3, missed=3)
    assert waiting.heard_ns == 9
    assert numbers_left(waiting) == [0, 6, 9]


def test_what_ended_the_source_is_told_after_all_before_it() -> None:
    waiting = Waiting(9, "oldest")
    waiting.offer(arrival(0))
    waiting.end(UnreadableInput("unplugged", "unreadable"))
    assert not waiting.over
    assert waiting.take(0) is not None
    with pytest.raises(UnreadableInput, match="unplugged"):
        waiting.take(0)
    assert waiting.take(0) is None
    assert waiting.over


def test_nothing_comes_in_time() -> None:
    waiting = Waiting(1, "oldest")
    assert waiting.take(0) is None
    assert not waiting.over
    assert waiting.heard_ns is None


@pytest.mark.parametrize(("room", "every"), [(0, 1), (1, 0)])
def test_numbers_that_make_no_sense(room: int, every: int) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Waiting(room, "oldest", every)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(1, 4)),  # by how much the number goes on
        st.just(("take", 0)),
        st.just(("answer", 0)),
    ),
    max_size=60,
)


@given(
    script=steps,
    drop=st.sampled_from(["oldest", "newest", "fault"]),
    room=st.integers(1, 4),
    every=st.integers(1, 3),
)
def test_every_frame_is_in_one_counter_and_order_is_kept(
    script: list[tuple[str, int]], drop: Drop, room: int, every: int
) -> None:
    waiting = Waiting(room, drop, every)
    queue: deque[int] = deque()  # what a reader of the documentation expects
    expected = dict.fromkeys(("received", "dropped", "refused", "skipped", "missed"), 0)
    number, in_hand, processed, taken, stopped = -1, 0, 0, [], False
    for step, value in script:
        if step == "offer":
            first, number = number < 0, number + value
            wanted = waiting.offer(arrival(number))
            assert wanted == (not stopped and not (
                drop == "fault" and number % every == 0 and len(queue) == room
            ))  # fmt: skip
            if stopped:
                continue
            expected["received"] += 1
            expected["missed"] += 0 if first else value - 1
            if number % every:
                expected["skipped"] += 1
            elif len(queue) < room:
                queue.append(number)
            else:
                expected["dropped"] += 1
                expected["refused"] += drop == "newest"
                stopped = drop == "fault"
                if drop == "oldest":
                    queue.popleft()
                    queue.append(number)
        elif step == "take":
            if stopped:
                continue
            item = waiting.take(0)
            assert (item.frame.number if item else None) == (queue.popleft() if queue else None)
            if item:
                taken.append(item.frame.number)
                in_hand += 1
        elif in_hand:
            waiting.answered()
            in_hand, processed = in_hand - 1, processed + 1
        told = waiting.counters
        assert told == Counters(**expected, processed=processed, waiting=len(queue) + in_hand)
        assert told.received == told.processed + told.dropped + told.skipped + told.waiting
    assert taken == sorted(set(taken))
