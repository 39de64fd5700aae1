"""The resampler against scipy on the whole record, and its measured bands and delay."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from scipy import signal as scipy_signal

from edge_dx.errors import UnsupportedInput
from edge_dx.signal import Resample, SignalPath
from edge_dx.signal.resample import PASS, STOP, STOP_DB, Resampler, taps
from tests.signal.feeding import RATES, feed, noise, path

PAIRS = [(rate, 250) for rate in RATES if rate != 250] + [
    (250, rate) for rate in RATES if rate != 250
]


@pytest.mark.parametrize(("rate", "to"), PAIRS)
def test_it_is_upfirdn_of_the_whole_record(rate: int, to: int) -> None:
    signal_path = path(rate, [Resample(to_hz=to)])
    resampler = Resampler(Fraction(rate), to)
    x = noise(1500)
    _, block = feed(signal_path, [x])
    # The stream begins as if its first value had always been there; so does the record here.
    past = 2 * len(resampler.taps) // resampler.up // resampler.down + 2
    ahead = np.repeat(x[:1], past * resampler.down, axis=0)
    whole = scipy_signal.upfirdn(
        resampler.taps, np.concatenate([ahead, x]), resampler.up, resampler.down, axis=0
    )[past * resampler.up :]
    assert len(block.index) == -(-1500 * resampler.up // resampler.down)
    np.testing.assert_allclose(block.values, whole[: len(block.values)], rtol=0, atol=1e-13)


@pytest.mark.parametrize(("rate", "to"), PAIRS)
def test_it_is_resample_poly_shifted_by_its_delay(rate: int, to: int) -> None:
    signal_path = path(rate, [Resample(to_hz=to)])
    resampler = Resampler(Fraction(rate), to)
    # scipy's has no delay. Given so many samples more in front, the grids of the two meet.
    x, delay = noise(3000), int(signal_path.clock.delay)
    _, block = feed(signal_path, [x])
    late = np.concatenate([np.zeros((delay, 2)), x])
    window = resampler.taps / resampler.up
    offline = scipy_signal.resample_poly(late, resampler.up, resampler.down, axis=0, window=window)
    edge = len(resampler.taps) // resampler.down + 1
    n = min(len(block.values), len(offline)) - edge
    assert n - edge > 500
    np.testing.assert_allclose(block.values[edge:n], offline[edge:n], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("rate", "to"), PAIRS)
def test_its_bands_are_as_stated(rate: int, to: int) -> None:
    ratio = Fraction(to, rate)
    up, down = ratio.numerator, ratio.denominator
    low_pass = taps(up, down) / up
    frequency, response = scipy_signal.freqz(low_pass, worN=2**17)
    of_lower_rate = frequency / (2 * np.pi) * max(up, down)  # the lower rate is 1
    level_db = 20 * np.log10(np.abs(response) + 1e-12)
    assert np.abs(level_db[of_lower_rate <= PASS]).max() < 0.012
    assert level_db[of_lower_rate >= STOP].max() < -STOP_DB


@pytest.mark.parametrize("rate", RATES)
def test_a_constant_stays_one(rate: int) -> None:
    """The offset of an electrode, 300 mV, must not become a pattern."""
    for to in (250, 360):
        signal_path = path(rate, [Resample(to_hz=to)])
        _, block = feed(signal_path, [np.full((2000, 2), 300.0)])
        assert np.abs(block.values - 300.0).max() < 1e-11


@pytest.mark.parametrize(("rate", "to"), PAIRS)
def test_its_delay_is_a_whole_number_of_samples(rate: int, to: int) -> None:
    signal_path = path(rate, [Resample(to_hz=to)])
    delay = signal_path.timings[0].delay_samples
    assert signal_path.clock.delay == delay
    # A slow wave comes out as the same wave, later by exactly that.
    wave = lambda place: np.sin(2 * np.pi * 3.0 * place / rate)  # noqa: E731
    _, block = feed(signal_path, [wave(np.arange(2000.0))[:, None].repeat(2, 1)])
    ahead = 3 * signal_path.timings[0].receptive_field_samples * to // rate + 2
    places = block.index * float(signal_path.clock.down) / signal_path.clock.up - delay
    np.testing.assert_allclose(block.values[ahead:, 0], wave(places[ahead:]), rtol=0, atol=2e-3)


def test_the_same_rate_is_left_alone() -> None:
    signal_path = path(250, [Resample(to_hz=250)])
    assert signal_path.timings == ()
    x = noise(10)
    assert np.array_equal(feed(signal_path, [x])[1].values, x)


def test_a_grid_far_out_is_exact() -> None:
    """After two thousand years at 360 Hz the map has not moved by a sample."""
    clock = path(360, [Resample(to_hz=250)]).clock
    far = 2**44
    for index in (far, far + 1, far + 35):
        row = clock.first_row(index)
        assert Fraction(row * 36, 25) >= index > Fraction((row - 1) * 36, 25)
        assert index <= clock.arrives(row) <= index + 1
    rows = np.arange(clock.first_row(far), clock.first_row(far) + 100)
    assert [clock.when(int(row)) for row in rows] == clock.when(rows).tolist()
    assert all(abs(clock.row_showing(clock.when(int(row))) - row) <= 1 for row in rows)


@pytest.mark.parametrize("rate", [0, -250, float("nan"), float("inf"), 1e9, 5])
def test_rates_that_are_none_are_refused(rate: float) -> None:
    with pytest.raises(UnsupportedInput, match="samples per second"):
        path(rate)


def test_rates_that_no_filter_fits_are_refused() -> None:
    with pytest.raises(UnsupportedInput, match="nominal rate"):
        path(359.9, [Resample(to_hz=250)])
    with pytest.raises(UnsupportedInput, match="resamples once"):
        path(360, [Resample(to_hz=250), Resample(to_hz=125)])


def test_fractional_rates_are_taken_as_they_are_written() -> None:
    clock = SignalPath([Resample(to_hz=250)], rate_hz=62.5, leads=["I"]).clock
    assert (clock.up, clock.down) == (4, 1)
