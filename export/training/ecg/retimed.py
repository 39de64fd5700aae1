"""Rhythms that a patient did not have, made out of the beats that he had.

Supraventricular beats are few and stand in few patients, and what makes them is mostly their time.
So beats are moved: the rows between two R peaks are cut to another length with the first beat's
T wave and the second one's P wave left as they are, one riding on the other where the beat comes
early. A normal beat that was moved forward, with its P wave changed or not, is a supraventricular
one. Pauses, breathing, a change of pace and fibrillation are made in the same way, of beats that
stay normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 250
_N, _S, _V = 0, 1, 2


@dataclass
class Timing:
    """What becomes of each beat.

    Attributes:
        rr: (n,) new interval before the beat, seconds; the first is not used.
        labels: (n,) class, -1 where it does not count.
        p_gain: (n,) factor on the P wave.
        p_bump: (n, 3) height (of the QRS), place before R and width in seconds of a wave put there.
        tremor: (n,) height of fibrillation waves behind the beat, of the QRS.
        foreign: (n,) whether another patient's ventricular beat stands in its place.
    """

    rr: NDArray[np.float64]
    labels: NDArray[np.int64]
    p_gain: NDArray[np.float64]
    p_bump: NDArray[np.float64]
    tremor: NDArray[np.float64]
    foreign: NDArray[np.bool_]


def drawn(
    random: np.random.Generator,
    rr: NDArray[np.float64],
    labels: NDArray[np.int64],
    donors: bool = False,
) -> Timing:
    """New times for beats with these intervals before them.

    Args:
        random: generator.
        rr: (n,) seconds.
        labels: (n,) class.
        donors: whether there are ventricular beats of other patients to put in.
    """
    n = len(rr)
    plan = Timing(rr.copy(), labels.copy(), np.ones(n), np.zeros((n, 3)), np.zeros(n),
                  np.zeros(n, np.bool_))  # fmt: skip
    plan.rr *= np.exp(random.normal(0, 0.12))
    at = 1
    while at < n:
        end = min(n, at + int(random.integers(40, 300)))
        kinds = (
            _nothing,
            _isolated,
            _patterned,
            _runs,
            _mostly,
            _breathing,
            _fibrillation,
            _pauses,
        )
        kind = kinds[random.choice(len(kinds), p=(0.14, 0.18, 0.09, 0.13, 0.14, 0.08, 0.18, 0.06))]
        kind(random, plan, at, end)
        if donors and random.random() < 0.3:
            _ventricular(random, plan, at, end)
        at = end
    plan.rr = np.maximum(plan.rr, np.minimum(rr, 0.3))
    return plan


def _normal(plan: Timing, at: int, end: int) -> NDArray[np.int64]:
    """Beats that may be moved: normal, between normal ones."""
    place = np.arange(max(at, 2), min(end, len(plan.rr) - 2))
    labels, rr = plan.labels, plan.rr
    good = (labels[place] == _N) & (labels[place - 1] <= _S) & (labels[place + 1] == _N)
    good &= (labels[place - 1] >= _N) & (rr[place] < 2) & (rr[place + 1] < 2)
    typical = np.median(rr[at:end])
    good &= np.abs(np.log(rr[place] / typical)) < 0.2
    return np.asarray(place[good])


def _ectopic(
    random: np.random.Generator, plan: Timing, beats: NDArray[np.int64], early: Any
) -> None:
    plan.labels[beats] = _S
    plan.rr[beats] *= early
    style = random.choice(5, p=(0.2, 0.2, 0.2, 0.15, 0.25))  # one focus, one shape
    bump = (random.choice([-1, 1]) * random.uniform(0.03, 0.22), random.uniform(0.08, 0.2),
            random.uniform(0.012, 0.03))  # fmt: skip
    plan.p_gain[beats] = (1.0, 0.0, -random.uniform(0.3, 1.2), random.uniform(0.3, 1.8),
                          random.uniform(0, 0.4))[style]  # fmt: skip
    if style == 4:
        plan.p_bump[beats] = bump


def _nothing(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """Left as it is."""


def _isolated(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    beats = _normal(plan, at, end)
    beats = beats[random.random(len(beats)) < random.uniform(0.02, 0.2)]
    beats = beats[np.diff(beats, prepend=-9) > 1]
    whole = plan.rr[beats].copy()
    early = random.uniform(0.5, 0.85) + random.normal(0, 0.04, len(beats))
    _ectopic(random, plan, beats, np.clip(early, 0.42, 0.88))
    if random.random() < 0.4:
        plan.rr[beats + 1] += whole - plan.rr[beats]  # a pause that compensates
    else:
        plan.rr[beats + 1] *= random.uniform(0.97, 1.3)


def _patterned(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """Every second, third or fourth beat."""
    beats = _normal(plan, at, end)
    beats = beats[beats % int(random.integers(2, 5)) == 0]
    beats = beats[np.diff(beats, prepend=-9) > 1]
    early = random.uniform(0.5, 0.82)
    _ectopic(random, plan, beats, early + random.normal(0, 0.02, len(beats)))
    plan.rr[beats + 1] *= random.uniform(1.0, 1.45)


def _runs(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """Couplets to long runs, at a pace of their own."""
    allowed = set(_normal(plan, at, end).tolist())
    beat = at + int(random.integers(3, 20))
    fast = random.uniform(0.45, 0.78)
    while beat < end:
        length = int(random.choice([2, 2, 3, 4, 6, 10, 25, 80, 160]))
        run = [b for b in range(beat, min(beat + length, end)) if b in allowed]
        if run:
            own = np.array(run)
            typical = np.median(plan.rr[max(1, beat - 16) : beat])
            plan.rr[own] = typical
            _ectopic(random, plan, own, fast * np.exp(random.normal(0, 0.03, len(own))))
            if run[-1] + 1 < len(plan.rr):
                plan.rr[run[-1] + 1] *= random.uniform(1.0, 1.6)
        beat += length + int(random.integers(4, 30))


def _mostly(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """A slow sinus with an atrial focus that takes most beats: short intervals, then a pause."""
    allowed = set(_normal(plan, at, end).tolist())
    slow = random.uniform(0.95, 1.7)
    fast = random.uniform(0.4, 0.75)
    usual = random.uniform(1.5, 6)
    wander = random.uniform(0.02, 0.08)
    beat = at
    style = random.integers(1 << 30)
    while beat < end:
        length = 1 + int(random.poisson(usual))
        run = [b for b in range(beat, min(beat + length, end)) if b in allowed]
        if run:
            own = np.array(run)
            plan.rr[own] = slow
            _ectopic(np.random.default_rng(style), plan, own,
                     fast * np.exp(random.normal(0, wander, len(own))))  # fmt: skip
        after = beat + length
        for sinus in range(after, min(after + int(random.choice([1, 1, 1, 2, 3])), end)):
            if plan.labels[sinus] == _N:
                plan.rr[sinus] = slow * np.exp(random.normal(0, wander))
                if sinus == after and random.random() < 0.3:
                    plan.rr[sinus] *= random.uniform(1.1, 2.0)
            beat = sinus
        beat = max(beat + 1, after + 1)


def _breathing(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """Sinus arrhythmia and changes of pace: all normal."""
    count = end - at
    wave = np.sin(2 * np.pi * np.arange(count) / random.uniform(3, 9) + random.uniform(0, 6))
    slow = np.cumsum(random.normal(0, 0.02, count))
    size = random.uniform(0.03, 0.16)
    plan.rr[at:end] *= np.exp(size * wave + slow - slow.mean())


def _fibrillation(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """No P waves, no two intervals alike; the beats are normal."""
    own = np.arange(at, end)
    own = own[plan.labels[own] == _N]
    if len(own) < 5:
        return
    typical = np.median(plan.rr[own]) * random.uniform(0.65, 1.1)
    plan.rr[own] = typical * np.exp(random.normal(0, random.uniform(0.12, 0.28), len(own)))
    plan.p_gain[own] = random.uniform(0, 0.15)
    plan.tremor[own] = random.uniform(0.0, 0.1)


def _pauses(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    beats = _normal(plan, at, end)
    beats = beats[random.random(len(beats)) < 0.06]
    plan.rr[beats] *= random.uniform(1.3, 2.5, len(beats))


def _ventricular(random: np.random.Generator, plan: Timing, at: int, end: int) -> None:
    """Ventricular beats among the others: single, in bigeminy, in couplets, late ones too."""
    labels = plan.labels
    beats = np.arange(max(at, 3), min(end, len(labels) - 3))
    good = (labels[beats] == _N) & (labels[beats - 1] == _N) & (labels[beats + 1] == _N)
    good &= plan.rr[beats] < 2
    beats = beats[good]
    style = random.choice(4, p=(0.5, 0.25, 0.15, 0.1))
    if style == 1:
        beats = beats[beats % int(random.integers(2, 4)) == 0]
    else:
        beats = beats[random.random(len(beats)) < random.uniform(0.03, 0.15)]
    beats = beats[np.diff(beats, prepend=-9) > 1]
    early = random.uniform(0.5, 0.9) if style < 3 else random.uniform(0.95, 1.3)
    if style == 2:
        second = beats + 1
        plan.rr[second] *= early
        labels[second] = _V
        plan.foreign[second] = True
        plan.p_gain[second] = 0
    whole = plan.rr[beats].copy()
    plan.rr[beats] *= np.clip(early + random.normal(0, 0.05, len(beats)), 0.4, 1.4)
    labels[beats] = _V
    plan.foreign[beats] = True
    plan.p_gain[beats] = random.choice([0.0, 0.0, 1.0])
    plan.p_bump[beats] = 0
    if style < 2 and random.random() < 0.7:
        plan.rr[beats + 1] += whole - plan.rr[beats]


def retimed(
    random: np.random.Generator,
    rows: NDArray[np.float32],
    beats: NDArray[np.int64],
    plan: Timing,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows (n, leads) with their beats at new times, and where these are."""
    old = np.diff(beats).astype(np.float64)
    new = np.maximum(np.round(plan.rr[1:] * RATE_HZ), 40).astype(np.int64)
    # Where next to nothing changes nothing is touched.
    new = np.where(np.abs(new - old) < 2, old.astype(np.int64), new)
    # Long stretches without beats stay as they are.
    new = np.where(old > 3 * RATE_HZ, old.astype(np.int64), new)
    places = beats[0] + np.concatenate([[0], np.cumsum(new)])
    total = int(new.sum())
    k = np.repeat(np.arange(len(new)), new)
    t = np.arange(total) - (places[:-1] - beats[0])[k]
    before = np.minimum(0.26 * RATE_HZ, 0.55 * np.minimum(old, new))[k]
    length, was = new[k].astype(np.float64), old[k]
    head = np.minimum(0.1 * RATE_HZ, 0.2 * np.minimum(length, was))
    room, had = length - before - head, was - before - head
    # The T wave shortens a little with the interval, as QT does; a longer one is filled with rest.
    pace = np.minimum((was / length) ** 0.35, 1.3)
    knee = np.minimum(0.42 * RATE_HZ, head + 0.7 * had)
    idle = (head + had - knee) / np.maximum(head + room - knee, 1)
    longer = np.where(t < knee, t, knee + (t - knee) * idle)
    left = np.where(length < was, head + (t - head) * pace, longer)
    left = np.where(t < head, t, np.minimum(left, head + had))
    rest = length - t  # rows to the next R
    rise = np.clip((t - (length - before)) / (0.03 * RATE_HZ), 0, 1)
    fall = np.clip((t - (length - before)) / np.maximum(before - 0.04 * RATE_HZ, 1), 0, 1)
    fall = 0.5 - 0.5 * np.cos(np.pi * fall)
    start = beats[:-1][k]
    gain = 1 + (plan.p_gain[1:][k] - 1) * _hill(rest / RATE_HZ, 0.05, 0.24)
    bump, place, width = (plan.p_bump[1:, i][k] for i in range(3))
    wave = bump * np.exp(-0.5 * ((rest / RATE_HZ - place) / np.maximum(width, 0.01)) ** 2)
    beating = random.uniform(4.5, 8.5)
    phase = np.cumsum(np.exp(random.normal(0, 0.3, total // 25 + 2)).repeat(25)[:total])
    tremor = plan.tremor[1:][k] * np.sin(2 * np.pi * beating * phase / RATE_HZ)
    quiet = np.clip(t / (0.1 * RATE_HZ), 0, 1) * np.clip(rest / (0.06 * RATE_HZ), 0, 1)
    made = np.empty((total, rows.shape[1]), np.float32)
    axis = np.arange(len(rows))
    for lead in range(rows.shape[1]):
        x = rows[:, lead].astype(np.float64)
        size = np.percentile(np.abs(x), 99)
        first = np.interp(start + left, axis, x)
        base = np.interp(start + was - before, axis, x)
        second = np.interp(start + was - rest, axis, x)
        made[:, lead] = (
            base + (1 - fall) * (first - base) + rise * gain * (second - base)
            + size * (wave + tremor * quiet)
        )  # fmt: skip
    front, back = rows[: beats[0]], rows[beats[-1] :]
    return np.concatenate([front, made, back]).astype(np.float32), places


def _hill(s: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """1 between two times before R, 0 outside, with soft sides of 20 ms."""
    return np.clip((s - low) / 0.02, 0, 1) * np.clip((high + 0.02 - s) / 0.02, 0, 1)
