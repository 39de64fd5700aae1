"""Whatever comes: a typed error or a word on quality, never a crash, never a beat of nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_dx.ecg.events import Beat, Judging, Noise, happened_at
from edge_dx.errors import EdgeDxError, EngineFailed, TensorMismatch, UnsupportedInput
from edge_dx.signal import LeadOff, Quality, Samples, Warmup
from tests.ecg.scripted import backends, ecg, feed, same_state, stream


@pytest.mark.parametrize(
    "made",
    [np.full((3000, 1), np.nan), np.full((3000, 1), np.inf), np.zeros((3000, 1)),
     np.full((3000, 1), 1e300), np.full((3000, 1), -7.5)],
)  # fmt: skip
def test_what_is_no_signal_has_no_beats(made: Any) -> None:
    own = stream()
    state, events = feed(own, [made])
    events += own.finish(state)
    assert not any(isinstance(event, (Beat, Judging)) for event in events)
    assert any(isinstance(event, Quality) and event.state == "invalid" for event in events)


def test_a_saturated_amplifier_is_no_signal() -> None:
    mv = np.clip(40 * ecg(250, 12), -4.9, 4.9)
    square = np.where(np.arange(3000) % 40 < 20, 4.9, -4.9)[:, None]
    own = stream(full_scale_mv=5.0)
    _, events = feed(own, [square])
    assert not any(isinstance(event, Beat) for event in events)
    _, events = feed(own, [mv])
    assert any(isinstance(event, Quality) and event.cause == "saturated" for event in events)


@pytest.mark.parametrize("rate_hz", [20, 60, 96])
def test_too_few_samples_to_tell_beats_by_are_refused(rate_hz: float) -> None:
    with pytest.raises(UnsupportedInput, match="100 is the least"):
        stream(rate_hz)
    stream(100)


@settings(max_examples=60, deadline=None)
@given(
    hnp.arrays(
        st.sampled_from([np.float64, np.float32, np.int16]),
        st.tuples(st.integers(0, 1500), st.just(2)),
        elements=None,
    ),
    st.integers(0, 2**53),
)
def test_any_numbers_at_all(mv: Any, start: int) -> None:
    made = stream(250, ("I", "II"))
    try:
        state, events = made.step(made.start(), Samples(mv, start))
    except EdgeDxError:
        return
    for event in events + made.finish(state):
        assert start <= happened_at(event) < start + len(mv)


@pytest.mark.parametrize("chunk", [None, "ecg", [[1, 2]], np.zeros((4, 3)), np.zeros(4),
                                   np.zeros((2, 1), complex), [[object()]]])  # fmt: skip
def test_what_is_no_samples_is_refused_and_the_state_stays(chunk: Any) -> None:
    made = stream()
    state, _ = feed(made, [ecg(250, 6)])
    before = state.to_arrays()
    with pytest.raises(TensorMismatch):
        made.step(state, chunk)
    assert all(np.array_equal(before[n], a, equal_nan=a.dtype.kind == "f")
               for n, a in state.to_arrays().items())  # fmt: skip


def test_as_many_chunks_as_states() -> None:
    made = stream()
    with pytest.raises(TensorMismatch, match="2 streams, and 1"):
        made.step_many([made.start()] * 2, [np.zeros((1, 1))])
    assert made.step_many([], []) == ([], [])


@pytest.mark.parametrize("network", ["detector", "at_once"])
def test_a_network_that_gives_no_number_is_an_error_and_the_state_stays(network: str) -> None:
    own = backends()
    made = stream(own=own)
    state, _ = feed(made, [ecg(250, 8)])
    own[network].spoil = float("nan")
    with pytest.raises(EngineFailed, match=f"the network {network} gave"):
        made.step(state, ecg(250, 20)[2000:])
    own[network].spoil = None
    _, events = made.step(state, ecg(250, 20)[2000:])
    assert any(isinstance(event, Beat) for event in events)


# --- leads ---


def two(n: int = 20) -> tuple[Any, Any]:
    """Two leads alike, the second a little smaller, and no electrode off."""
    mv = ecg(250, n) * [[1.0, 0.85]]
    return mv, np.zeros(mv.shape, np.bool_)


def beats(events: Any) -> list[int]:
    return [event.sample for event in events if isinstance(event, Beat)]


def test_a_lead_that_comes_off_leaves_the_judging_to_the_other() -> None:
    mv, off = two()
    off[2000:3000, 0] = True
    made = stream(250, ("II", "V1"))
    _, events = feed(made, [Samples(mv, 0, off)])
    assert [event.change for event in events if isinstance(event, Judging)] == ["begins"]
    assert [event.off for event in events if isinstance(event, LeadOff)] == [True, False]
    assert [e.ready for e in events if isinstance(e, Warmup) and e.lead == "II"] == [
        False, True, False, True,
    ]  # fmt: skip
    # What lies in that time is told of the other lead alone, as if the first had been nothing.
    _, alone = feed(stream(250, ("V1",)), [mv[:, 1:]])
    inside = [b for b in beats(events) if 2150 < b < 2900]
    assert inside == [b for b in beats(alone) if 2150 < b < 2900]
    assert inside
    told = [event for event in events if isinstance(event, Beat) and 2150 < event.sample < 2900]
    assert all(beat.rr_s is not None for beat in told)


def test_what_an_absent_lead_holds_is_no_matter() -> None:
    """Nothing of a lead that is off reaches the answer: other values there, the same events."""
    mv, off = two()
    off[:, 0] = True
    _, one = feed(stream(250, ("II", "V1")), [Samples(mv, 0, off)])
    mv = mv.copy()
    mv[:, 0] = np.random.default_rng(0).normal(0, 3, len(mv))
    _, other = feed(stream(250, ("II", "V1")), [Samples(mv, 0, off)])
    assert one == other
    assert beats(one)


def test_two_leads_off_end_the_judging_and_no_interval_reaches_across() -> None:
    mv, off = two()
    off[2000:2600] = True
    _, events = feed(stream(250, ("II", "V1")), [Samples(mv, 0, off)])
    changes = [event for event in events if isinstance(event, Judging)]
    assert [change.change for change in changes] == ["begins", "ends", "begins"]
    assert changes[1].sample <= 2000 < 2600 < changes[2].sample
    assert not [b for b in beats(events) if changes[1].sample + 10 < b < changes[2].sample - 10]
    first = next(e for e in events if isinstance(e, Beat) and e.sample > 2600)
    assert first.rr_s is None


def test_noise_is_told_when_it_begins_and_ends() -> None:
    mv = ecg(250, 30)
    mv[2500:5000] += 8 * np.sin(np.arange(2500) / 1.5)[:, None]
    made = stream()
    _, events = feed(made, [mv])
    told = [event for event in events if isinstance(event, Noise)]
    assert [event.change for event in told] == ["begins", "ends"]
    assert 2400 < told[0].sample < 3200
    assert 4900 < told[1].sample < 5900
    inside = [event for event in events if isinstance(event, Beat) and 3300 < event.sample < 4700]
    assert all(beat.noisy for beat in inside)


def test_a_state_of_somebody_elses_making_does_not_get_in() -> None:
    one, other = stream(), stream(360)
    state, _ = feed(one, [ecg(250, 4)])
    with pytest.raises(TensorMismatch):
        other.step_many([state, other.start()], [np.zeros((1, 1))] * 2)
    assert same_state(state, one.resume(state.to_arrays()))
