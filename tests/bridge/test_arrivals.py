"""Times of devices without a clock: simulated rates, delays, losses and restarts."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import Gap
from firmware_bridge.arrivals import BUCKET_S, Arrivals
from firmware_bridge.capabilities import StreamInfo
from firmware_bridge.devices.foreign import Account

LEAST_S = 0.004  # the same for all samples: no one can see it
BOOT_NS = 10**12


class Board:
    """Sends blocks at a rate that is not quite the nominal one, each later than it should.

    Args:
        rate_hz: nominal.
        per: samples in a block.
        ppm: how much too fast it runs.
        jitter: delays beyond the least one.
        seed: of the jitter and the losses.
    """

    def __init__(self, rate_hz: int, per: int, ppm: float, jitter: str, seed: int) -> None:
        self.rate_hz, self.per = rate_hz, per
        self.true_hz = rate_hz * (1 + ppm * 1e-6)
        self._jitter, self._rng = jitter, np.random.default_rng(seed)
        self._last_s = 0.0

    def taken_ns(self, index: int) -> int:
        """When, with the least delay, this sample was there."""
        return BOOT_NS + round(((index + 1) / self.true_hz + LEAST_S) * 1e9)

    def arrived_ns(self, index: int) -> int:
        """When the block that ends with it was read; bytes do not overtake each other."""
        rng = self._rng
        late_s = {
            "uniform": lambda: rng.uniform(0, 0.016),
            "exponential": lambda: rng.exponential(0.005),
            "stalls": lambda: rng.exponential(0.002) + 0.3 * (rng.random() < 0.02),
        }[self._jitter]()
        self._last_s = max(self._last_s, (index + 1) / self.true_hz + LEAST_S + late_s)
        return BOOT_NS + round(self._last_s * 1e9)

    def lost(self, chance: float) -> bool:
        """Whether a block is."""
        return bool(self._rng.random() < chance)


def judged(board: Board, seconds: float, loss: float = 0.0) -> tuple[Any, Any]:
    """Errors and told uncertainties of the first sample of each block, in seconds."""
    line, errors, told = Arrivals(Fraction(board.rate_hz)), [], []
    for first in range(0, int(seconds * board.rate_hz), board.per):
        last = first + board.per - 1
        arrived_ns = board.arrived_ns(last)
        if board.lost(loss):
            continue
        line.heard(last, arrived_ns)
        found = line.at(first)
        if found is not None:
            errors.append((found.t_host_ns - board.taken_ns(first)) * 1e-9)
            told.append(found.uncertainty_s)
    assert line.epoch == 0
    return np.array(errors), np.array(told)


@pytest.mark.parametrize("jitter", ["uniform", "exponential", "stalls"])
@pytest.mark.parametrize(("rate_hz", "per"), [(250, 1), (250, 10), (128, 8), (25, 1)])
def test_times_are_within_what_is_told(jitter: str, rate_hz: int, per: int) -> None:
    """Of six boards from -100 to +100 ppm, with 1 % of the blocks lost, over three minutes."""
    errors, told = [], []
    for seed, ppm in enumerate((-100, -40, 0, 0, 40, 100)):
        one, uncertainties = judged(Board(rate_hz, per, ppm, jitter, seed), 180, loss=0.01)
        assert np.mean(np.abs(one) <= uncertainties) >= 0.95
        errors.append(one)
        told.append(uncertainties)
    p95_s = np.percentile(np.abs(np.concatenate(errors)), 95)
    assert p95_s <= np.percentile(np.concatenate(told), 95)
    assert p95_s <= (2.5e-4 if jitter == "uniform" else 1e-4)
    assert np.median(np.concatenate(told)) <= 2e-3  # and no more is told than must be


@settings(deadline=None, max_examples=25)
@given(
    st.integers(0, 2**32), st.floats(-100, 100), st.sampled_from(["uniform", "exponential"]),
    st.sampled_from([(500, 5), (250, 1), (100, 4)]), st.floats(0, 0.2),
)  # fmt: skip
def test_whatever_the_board(
    seed: int, ppm: float, jitter: str, shape: tuple[int, int], loss: float
) -> None:
    errors, told = judged(Board(*shape, ppm, jitter, seed), 60, loss)
    assert np.percentile(np.abs(errors), 95) <= np.percentile(told, 95)
    assert np.mean(np.abs(errors) <= told) >= 0.9


def test_a_rate_that_is_off_by_percents_is_found() -> None:
    errors, told = judged(Board(250, 10, 20_000, "exponential", 1), 60)
    settled = slice(len(errors) // 2, None)
    assert np.percentile(np.abs(errors[settled]), 95) <= np.percentile(told[settled], 95)
    assert np.abs(errors[settled]).max() < 5e-3


def test_the_first_two_seconds_have_no_time() -> None:
    line = Arrivals(Fraction(250))
    for index in range(int(250 * BUCKET_S)):
        line.heard(index, BOOT_NS + index * 4_000_000)
        assert line.at(index) is None
    line.heard(501, BOOT_NS + 501 * 4_000_000)
    found = line.at(501)
    assert found is not None
    assert abs(found.t_host_ns - BOOT_NS - 501 * 4_000_000) < 1000


@pytest.mark.parametrize("jump", [-500, 500])
def test_numbers_that_went_wrong_begin_a_new_epoch_and_bend_nothing(jump: int) -> None:
    """Samples that nobody counted, or that were counted twice: two seconds of them."""
    board, line = Board(250, 5, 0, "exponential", 2), Arrivals(Fraction(250))
    for first in range(0, 250 * 60, 5):
        index = first + 4
        line.heard(index + (jump if first > 250 * 30 else 0), board.arrived_ns(index))
    found = line.at(index + jump)
    assert line.epoch == 1
    assert found is not None
    assert found.epoch == 1
    assert abs(found.t_host_ns - board.taken_ns(index)) * 1e-9 <= 2 * found.uncertainty_s


def test_blocks_of_other_devices_have_times_and_a_restart_begins_anew() -> None:
    info = StreamInfo(id=0, name="ecg", rate=(250, 1), leads=("a",), per_message=10)
    board, account = Board(250, 10, 50, "exponential", 3), Account(info)
    rows = np.zeros((10, 1), np.int32)

    def block(first: int) -> Any:
        return account.block(rows, board.arrived_ns(first + 9))

    assert block(0).at.t_host_ns is None
    for first in range(10, 5000, 10):
        last = block(first)
    assert last.at.t_dev_us == 4990 * 4000
    assert abs(last.at.t_host_ns - board.taken_ns(4990)) * 1e-9 <= last.at.uncertainty_s
    account.missing(200)  # known: times go on
    assert block(5200).at.epoch == 0
    account.missing(None)
    after = block(6000)
    assert (after.gap, after.at.t_host_ns, after.at.epoch) == (Gap(5210, None), None, 1)
    account.missing(None, restart=True)
    assert block(7000).at.epoch == 2
