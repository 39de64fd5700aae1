"""Exact counts of what never came: jumps, drops, repeats, restarts, wraps."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.loss import Counts, Gap, Ledger
from firmware_bridge.messages import Format, Header

N = 25
RATE = 250


def sent(number: int, *, boot: int = 1, dropped: int = 0, begin: int = 0) -> Header:
    """The n-th message of a device that has run since `begin` samples."""
    index = begin + number * N
    t_us = round(index / RATE * 1e6)
    return Header(0, Format.I24, boot, N, index % 2**32, t_us, dropped % 2**32)


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.sampled_from([0, 2**32 - 300]))
def test_each_lost_message_is_counted_once(arrive: list[bool], begin: int) -> None:
    ledger = Ledger(RATE)
    ledger.expect(1, begin % 2**32, 0)
    found = [sent(n, begin=begin) for n, here in enumerate(arrive) if here]
    places = [ledger.take(header) for header in found]
    ledger.settle((begin + len(arrive) * N) % 2**32, 0)
    assert ledger.counts.lost_link == N * arrive.count(False)
    assert ledger.counts.received == N * arrive.count(True)
    before = 0
    for place, n in zip(places, [n for n, here in enumerate(arrive) if here], strict=True):
        assert place is not None
        missing = (n - before) * N
        start = begin % 2**32
        assert place.first == start + n * N
        assert place.gap == (Gap(start + before * N, missing) if missing else None)
        before = n + 1


@settings(deadline=None)
@given(st.data())
def test_drops_of_the_device_are_told_from_those_of_the_cable(data: st.DataObject) -> None:
    ledger = Ledger(RATE)
    index = dropped = lost = 0
    begin_drops = data.draw(st.integers(0, 2**32 - 1))
    ledger.expect(1, 0, begin_drops)
    for _ in range(data.draw(st.integers(1, 20))):
        what = data.draw(st.sampled_from(["sent", "lost", "dropped"]))
        if what == "sent":
            told = Header(0, Format.I24, 1, N, index, 0, (begin_drops + dropped) % 2**32)
            ledger.take(told)
        lost += N * (what == "lost")
        dropped += N * (what == "dropped")
        index += N
    ledger.settle(index, (begin_drops + dropped) % 2**32)
    assert (ledger.counts.lost_link, ledger.counts.lost_device) == (lost, dropped)


def test_the_causes_of_one_gap() -> None:
    ledger = Ledger(RATE)
    ledger.take(sent(0))
    place = ledger.take(sent(5, dropped=2 * N))
    assert place is not None
    assert place.gap == Gap(N, 4 * N, device=2 * N)
    assert place.gap.link == 2 * N


def test_a_message_that_came_twice_is_dropped() -> None:
    ledger = Ledger(RATE)
    headers = [sent(n) for n in range(3)]
    assert [ledger.take(header) is not None for header in headers] == [True] * 3
    assert ledger.take(headers[1]) is None
    assert ledger.take(headers[2]) is None
    assert ledger.counts == Counts(received=75, repeated=2)
    assert ledger.take(sent(3)) is not None


def test_a_restart_is_told_from_a_wrap() -> None:
    ledger = Ledger(RATE)
    begin = 2**32 - N
    for n in range(3):
        place = ledger.take(sent(n, begin=begin))
        assert place is not None
        assert place.gap is None
        assert place.first == begin + n * N
    place = ledger.take(sent(0, boot=2))
    assert place is not None
    assert place.first == 0
    assert place.gap == Gap(begin + 3 * N, None, restart=True)
    assert ledger.counts == Counts(received=4 * N, restarts=1)


def test_after_a_restart_the_new_boot_is_counted_from_its_start() -> None:
    ledger = Ledger(RATE)
    ledger.take(sent(0))
    ledger.expect(2, 1000, 0)
    place = ledger.take(replace(sent(41, boot=2)))
    assert place is not None
    assert place.first == 1025
    assert place.gap == Gap(N, None, restart=True)
    assert ledger.counts.lost_link == 25


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 2**31))
def test_a_silence_of_months_is_counted_by_the_devices_clock(wraps: int, more: int) -> None:
    missing = wraps * 2**32 + more
    ledger = Ledger(RATE)
    ledger.take(sent(0))
    index = N + missing
    t_us = round(index / RATE * 1e6 * 1.00005)  # 50 ppm off
    place = ledger.take(Header(0, Format.I24, 1, N, index % 2**32, t_us, 0))
    assert place is not None
    assert place.first == index
    assert ledger.counts.lost_link == missing


def test_a_long_uptime_before_the_first_message_is_no_loss() -> None:
    ledger = Ledger(RATE)
    days = 120 * 86400 * RATE
    ledger.expect(7, days, 0)
    place = ledger.take(Header(0, Format.I24, 7, N, days, 120 * 86400 * 10**6, 0))
    assert place is not None
    assert (place.first, place.gap) == (days, None)


def test_what_is_heard_again_after_an_outage_is_a_loss() -> None:
    ledger = Ledger(RATE)
    ledger.expect(1, 0, 0)
    ledger.take(sent(0))
    ledger.expect(1, 10 * N, 2 * N)  # connected again
    place = ledger.take(sent(11, dropped=2 * N))
    assert place is not None
    assert place.gap == Gap(N, 10 * N, device=2 * N)


def test_a_message_without_samples_tells_only_the_place() -> None:
    ledger = Ledger(RATE)
    ledger.take(sent(0))
    place = ledger.take(replace(sent(4), n=0))
    assert place is not None
    assert (place.first, place.gap) == (4 * N, None)
    assert ledger.counts.lost_link == 3 * N
    after = ledger.take(sent(4))
    assert after is not None
    assert after.gap == Gap(N, 3 * N)  # told with the samples that follow it


def test_what_was_lost_before_the_answer_came_is_counted() -> None:
    ledger = Ledger(RATE)
    ledger.take(sent(3, dropped=N))
    ledger.expect(1, 0, 0)
    assert ledger.counts == Counts(received=N, lost_link=2 * N, lost_device=N)
    ledger.expect(1, 4 * N, N)  # from now on nothing is unannounced
    assert ledger.counts.lost_link == 2 * N
