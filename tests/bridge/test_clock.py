"""The device's clock: simulated crystals, jitter, loss and restarts, in simulated time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge.clock import Clock, Fit, Probe
from tests.bridge.clocks import World, judged, main, run


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_after_a_minute_times_are_right_to_two_milliseconds(ppm: int) -> None:
    """Of 100 devices with 5 ms of jitter each way, 1 % loss and a restart in between."""
    found = judged(ppm, 100)
    assert found.kept
    assert np.percentile(np.abs(found.errors_s), 95) <= 2e-3
    assert np.median(found.told_s) <= 2e-3  # and it does not tell more than it must
    assert len(found.errors_s) > 100 * 500


def test_the_table_sees_a_clock_that_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["3"]) == 0
    assert "BROKEN" not in capsys.readouterr().out
    real = Fit.host_ns
    monkeypatch.setattr(Fit, "host_ns", lambda fit, t_dev_us: real(fit, t_dev_us) + 2_500_000)
    assert main(["3"]) == 1
    assert "BROKEN" in capsys.readouterr().out


def test_the_skew_is_found() -> None:
    for ppm in (-100, 37, 100):
        fit = run(World(1, ppm, jitter_s=1e-3), Clock(), 300)
        assert abs(fit.skew_ppm + ppm) < 5  # a fast device needs fewer host seconds


def test_a_restart_begins_a_new_epoch_and_bends_nothing() -> None:
    world, clock = World(3, 50), Clock()
    assert not clock.restart(1)
    before = run(world, clock, 60)
    at_s = world.now_s
    assert not clock.restart(1)
    world.boot_s = world.now_s
    assert clock.restart(2)
    assert clock.fit is None
    after = run(world, clock, 10)
    assert (before.epoch, after.epoch) == (0, 1)
    assert abs(world.error_s(after, world.now_s)) < 5e-3
    world.boot_s = 400.0
    assert abs(world.error_s(before, at_s)) < 2e-3  # what was known of the old one holds


@pytest.mark.parametrize("moved_s", [-30.0, 0.2, 30.0])
def test_a_clock_that_jumps_without_a_word_begins_a_new_epoch(moved_s: float) -> None:
    world, clock = World(4, 0), Clock()
    run(world, clock, 30)
    world.boot_s += moved_s
    fit = run(world, clock, 30)
    assert fit.epoch == 1
    assert abs(world.error_s(fit, world.now_s)) < 2e-3


def test_jitter_alone_begins_no_epoch() -> None:
    world = World(5, 100, jitter_s=0.2)
    assert run(world, Clock(), 120).epoch == 0


def test_probes_that_cannot_be_are_ignored() -> None:
    clock = Clock()
    assert clock.round([]) is None
    assert clock.round([Probe(1000, 5, 4, 2_000_000), Probe(10_000_000, 5, 5, 0)]) is None
    assert clock.round([Probe(0, 5, 9, 2_000)]) is None  # longer there than away
    fit = clock.round([Probe(0, 500, 500, 2_000_000)])
    assert fit is not None
    assert fit.host_ns(500) == 1_000_000
    assert clock.round([]) == fit


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**62), st.integers(0, 2**62))
def test_clocks_of_any_age_are_fitted_alike(device_us: int, host_ns: int) -> None:
    clock = Clock()
    fit = None
    for n in range(40):
        sent = host_ns + n * 2_000_000_000
        fit = clock.round([Probe(sent, device_us + n * 2_000_100, device_us + n * 2_000_100,
                                 sent + 1_000_000)])  # fmt: skip
    assert fit is not None
    assert abs(fit.skew_ppm + 50) < 1
    assert abs(fit.host_ns(device_us) - host_ns - 500_000) < 20_000
    assert fit.points == 40


def test_hours_of_rounds_stay_exact() -> None:
    clock = Clock()
    for n in range(7_200):
        sent = n * 2_000_000_000
        fit = clock.round([Probe(sent, n * 2_000_040, n * 2_000_040, sent + 1_000_000)])
    assert fit is not None
    assert abs(fit.host_ns(n * 2_000_040) - sent - 500_000) < 1_000
    assert abs(fit.skew_ppm + 20) < 0.01
