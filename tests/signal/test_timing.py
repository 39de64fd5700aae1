"""Published delays and receptive fields, measured with impulses and waves."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy import signal as scipy_signal

from edge_dx.errors import MissingExtra, UnsupportedInput
from edge_dx.signal import Bandpass, Highpass, Notch, Resample, Scale, SignalPath
from edge_dx.signal.filters import FORGOTTEN, _cascade, group_delay, sections, settling_samples
from tests.signal.feeding import RATES, STEPS, feed, path

FILTERS = [
    Highpass(cutoff_hz=0.05),
    Highpass(cutoff_hz=0.5, order=4),
    Bandpass(low_hz=0.5, high_hz=40.0, order=3),
    Bandpass(low_hz=5.0, high_hz=15.0, order=1),
    Bandpass(low_hz=0.1, high_hz=2.0, order=2),
    Notch(),
    Notch(harmonics=2, quality=10.0),
]


def beat(centre: float, n: int, rate: float) -> np.ndarray:
    """A QRS complex of 15 Hz at a place that need not be a sample."""
    t = (np.arange(n) - centre) / rate
    return np.cos(2 * np.pi * 15 * t) * np.exp(-((t / 0.022) ** 2))


@pytest.mark.parametrize("step", FILTERS, ids=str)
@pytest.mark.parametrize("rate", [250, 360, 500])
def test_filters_are_sosfilt_of_the_whole_record(step: object, rate: int) -> None:
    signal_path = path(rate, [step])
    x = np.random.default_rng(1).normal(0.2, 0.5, (1200, 2))
    _, block = feed(signal_path, [x[:1], x[1:400], x[400:]])
    sos = sections(step, signal_path.rate_hz, 50)
    at_rest = scipy_signal.sosfilt_zi(sos)[:, :, None] * x[0]
    whole, _ = scipy_signal.sosfilt(sos, x, axis=0, zi=at_rest)
    assert np.array_equal(block.values, whole)


@pytest.mark.parametrize("step", FILTERS, ids=str)
def test_the_published_receptive_field_is_where_the_past_ends(step: object) -> None:
    signal_path = path(250, [step])
    field = signal_path.timings[0].receptive_field_samples
    sos = sections(step, signal_path.rate_hz, 50)
    rng = np.random.default_rng(0)
    pasts = rng.choice([-1.0, 1.0], (4, 20_000))
    # The worst past of all: each sample has the sign that the filter holds against it.
    impulse = np.zeros(20_000)
    impulse[0] = 1.0
    response = scipy_signal.sosfilt(sos, impulse)
    pasts[0] = np.sign(response[::-1])
    followed = np.concatenate([pasts, np.zeros((4, field + 1))], axis=1)
    after = scipy_signal.sosfilt(sos, followed, axis=1)[:, 20_000 + field :]
    assert np.abs(after).max() < FORGOTTEN
    if field > 3:  # and it is no longer than it must be
        assert np.abs(response[field - 1 :]).sum() >= FORGOTTEN


@pytest.mark.parametrize("step", [s for s in FILTERS if getattr(s, "high_hz", 40) > 4], ids=str)
@pytest.mark.parametrize("rate", [250, 500])
def test_the_published_delay_is_that_of_a_beat(step: object, rate: int) -> None:
    signal_path = path(rate, [step])
    x = beat(2000.0, 4000, rate)
    _, block = feed(signal_path, [x[:, None].repeat(2, 1)])
    late = scipy_signal.correlate(block.values[:, 0], x).argmax() - (len(x) - 1)
    assert abs(late - signal_path.timings[0].delay_samples) <= rate // 250  # 4 ms


def test_group_delay_is_that_of_the_textbook() -> None:
    sos = scipy_signal.butter(3, (0.5, 40), "bandpass", fs=250, output="sos")
    b, a = scipy_signal.butter(3, (0.5, 40), "bandpass", fs=250)
    for frequency in (2.0, 5.0, 15.0, 30.0):
        _, oracle = scipy_signal.group_delay((b, a), w=[frequency], fs=250)
        assert group_delay(sos, frequency, 250) == pytest.approx(oracle[0], rel=1e-2)


@pytest.mark.parametrize("rate", RATES)
def test_an_impulse_stands_where_it_was(rate: int) -> None:
    """The whole path: a beat is where it was, to a row and half a sample, at any rate."""
    signal_path = path(rate, STEPS)
    settled = signal_path.clock.receptive_field * rate // 250 + 50
    for centre in (settled, settled + 7, settled + 111):
        x = beat(centre, settled + 600, rate)
        _, block = feed(signal_path, [x[:, None].repeat(2, 1)])
        peak = int(block.index[np.abs(block.values[:, 0]).argmax()])
        off_s = (signal_path.clock.when(peak) - centre) / rate
        assert abs(off_s) <= 1 / 250 + 0.5 / rate + 1e-9


def test_the_past_of_the_whole_path_ends_where_it_says() -> None:
    signal_path = path(360, STEPS)
    rng = np.random.default_rng(3)
    same = rng.normal(0, 0.3, (3000, 2))
    one, other = rng.normal(0, 1.0, (2, 2000, 2)).clip(-1, 1)
    # Both pasts reach the same rows through state, not through a new beginning.
    rows = [feed(signal_path, [np.concatenate([past, same])])[1] for past in (one, other)]
    first = signal_path.clock.first_row(2000) + signal_path.clock.receptive_field
    late = rows[0].index >= first
    scale = 2.0  # the path's own factor
    difference = np.abs(rows[0].values - rows[1].values)[late].max()
    assert difference < 3 * FORGOTTEN * scale * 2  # three filters, pasts that differ by up to 2


def test_warm_up_lasts_as_long_as_published() -> None:
    signal_path = path(360, STEPS)
    _, block = feed(signal_path, [np.random.default_rng(0).normal(size=(3000, 2))])
    warm = np.flatnonzero(block.flags[:, 0] == 0)
    assert warm[0] == signal_path.clock.receptive_field - 1
    ready = [event for event in block.events if getattr(event, "ready", False)]
    assert [event.index for event in ready] == [signal_path.clock.arrives(int(warm[0]))] * 2


def test_delays_add_up_in_the_device_s_samples() -> None:
    signal_path = path(
        500, [Highpass(cutoff_hz=0.5), Resample(to_hz=250), STEPS[2], Scale(factor=1)]
    )
    delays = [t.delay_samples for t in signal_path.timings]
    assert signal_path.clock.delay == delays[0] + delays[1] + 2 * delays[2]
    assert [t.rate_hz for t in signal_path.timings] == ["500", "500", "250", "250"]


def test_the_power_line_s_frequency_is_asked_for() -> None:
    with pytest.raises(UnsupportedInput, match="mains_hz=50"):
        SignalPath([Notch()], rate_hz=250, leads=["I"])
    for mains in (50, 60):
        signal_path = path(250, [Notch()], mains_hz=mains)
        t = np.arange(2000) / 250
        hum = np.sin(2 * np.pi * np.array([[50.0, 60.0]]) * t[:, None])
        _, block = feed(signal_path, [hum])
        left = np.abs(block.values[1000:]).max(axis=0)
        assert left[(50, 60).index(mains)] < 1e-3
        assert left[(60, 50).index(mains)] > 0.9


def test_harmonics_that_the_rate_does_not_carry_are_left_out() -> None:
    assert len(sections(Notch(harmonics=3), path(250).rate_hz, 50)) == 2
    assert len(sections(Notch(harmonics=3), path(500).rate_hz, 50)) == 3


def test_filters_that_the_rate_does_not_carry_are_refused() -> None:
    for step in (Bandpass(low_hz=1, high_hz=70), Highpass(cutoff_hz=70), Notch()):
        with pytest.raises(UnsupportedInput, match="samples per second"):
            path(100, [step])
    with pytest.raises(UnsupportedInput, match="not settled"):
        settling_samples(sections(Highpass(cutoff_hz=0.001), path(250).rate_hz, None),
                         path(250).rate_hz)  # fmt: skip
    with pytest.raises(ValueError, match="must be below"):
        Bandpass(low_hz=40, high_hz=0.5)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scipy.signal", None)
    with pytest.raises(MissingExtra, match=r"edge-dx\[ecg\]"):
        path()


def test_without_scipy_s_inner_loop_the_outer_one_gives_the_same_bits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    samples = np.random.default_rng(0).normal(size=(3000, 2))
    _, wanted = feed(path(360, STEPS), [samples[:100], samples[100:]])
    inner = _cascade()
    monkeypatch.setitem(sys.modules, "scipy.signal._sosfilt", None)
    _cascade.cache_clear()
    try:
        _, found = feed(path(360, STEPS), [samples[:100], samples[100:]])
        assert _cascade() is not inner
    finally:
        _cascade.cache_clear()
    assert found.values.tobytes() == wanted.values.tobytes()
