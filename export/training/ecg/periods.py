"""RR intervals to learn rhythms from: of real records, altered, and drawn.

Few patients with atrial fibrillation may be trained on, so most of what the network hears is
drawn: sinus rhythm with breathing and vasomotor variation, ectopic beats alone, in couples, in
bigeminy and trigeminy, Wenckebach periods, pauses; and atrial fibrillation as intervals without a
pattern, whose spread relative to their mean is that reported for it (0.12 to 0.35: Tateno and
Glass 2001, Med. Biol. Eng. Comput. 39, 664). Over all of it go the mistakes of a detector.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
UNKNOWN = -1


@dataclass(frozen=True, eq=False)
class Periods:
    """A stretch without gaps.

    Attributes:
        patient: whose; `drawn` for none.
        rr_s: (n,) seconds from the beat before to each beat.
        af: (n,) 1 in atrial fibrillation, 0 not, `UNKNOWN` where it does not count.
    """

    patient: str
    rr_s: Array = field(repr=False)
    af: Array = field(repr=False)


def sinus(random: np.random.Generator, n: int) -> Array:
    """Sinus rhythm, from that of old people, stiff, to that of young ones, who breathe."""
    mean = float(np.clip(random.lognormal(np.log(0.82), 0.28), 0.38, 1.6))
    slow = np.cumsum(random.normal(0, random.uniform(0.001, 0.012), n))
    slow -= np.linspace(0, slow[-1], n)
    breath = random.uniform(0.0, 0.16) if random.random() < 0.8 else random.uniform(0.15, 0.32)
    hertz, at = random.uniform(0.12, 0.4), np.cumsum(np.full(n, mean))
    wave = breath * np.sin(2 * np.pi * hertz * at + 6.3 * random.random())
    wave *= 1 + 0.3 * random.normal(0, 1, n) * (random.random() < 0.5)
    vasomotor = random.uniform(0, 0.06) * np.sin(2 * np.pi * 0.1 * at + 6.3 * random.random())
    return mean * np.exp(slow + np.clip(wave, -0.4, 0.4) + vasomotor
                         + random.normal(0, random.uniform(0.003, 0.03), n))  # fmt: skip


def ectopic(random: np.random.Generator, rr: Array) -> Array:
    """The same with early beats and the pauses behind them."""
    rr = rr.copy()
    kind = random.random()
    rate = 10 ** random.uniform(-2.3, -0.5)
    every = int(random.integers(2, 6)) if kind < 0.35 else 0
    k = 1
    while k < len(rr) - 3:
        due = (k % every == 0 and random.random() < 0.93) if every else random.random() < rate
        if not due:
            k += 1
            continue
        run = 1 if random.random() < 0.8 else int(random.integers(2, 8))
        base, early = float(rr[k]), random.uniform(0.42, 0.85)
        full = random.random() < 0.6  # compensatory pause, or the sinus node begins anew
        for j in range(min(run, len(rr) - 2 - k)):
            rr[k + j] = base * (early if j == 0 else random.uniform(0.4, 0.75))
        last = min(k + run, len(rr) - 1)
        rr[last] = base * ((2 - early) if full else random.uniform(0.95, 1.25))
        k = last + 1
    return rr


def blocked(random: np.random.Generator, rr: Array) -> Array:
    """Wenckebach periods, or pauses of double length."""
    rr = rr.copy()
    if random.random() < 0.5:
        k = 0
        while k < len(rr):
            length = int(random.integers(3, 7))
            steps = 1 + np.linspace(0.08, -0.04, length)
            part = rr[k : k + length]
            part *= steps[: len(part)]
            if len(part) == length:
                part[-1] *= 1.75
            k += length
    else:
        rr[random.random(len(rr)) < random.uniform(0.005, 0.08)] *= random.uniform(1.7, 2.1)
    return rr


def fibrillation(random: np.random.Generator, n: int) -> Array:
    """Intervals of no pattern, not shorter than the node lets through."""
    mean, spread = random.uniform(0.36, 1.15), random.uniform(0.12, 0.35)
    least = max(0.24, mean * random.uniform(0.45, 0.68))
    if random.random() < 0.5:
        shape = 1 / spread**2
        found = random.gamma(shape, mean / shape, n)
    else:
        found = mean * np.exp(random.normal(0, spread, n) - spread**2 / 2)
    slow = 1 + 0.1 * np.sin(np.arange(n) / random.uniform(20, 120))
    found = np.maximum(found * slow, least + random.exponential(0.03, n))
    if random.random() < 0.15:
        found = ectopic(random, found)
    return np.minimum(found, 3.0)


def drawn(random: np.random.Generator, n: int) -> Periods:
    """A stretch of `n` beats that nobody had, of one rhythm or of several in turn."""
    rr, af = np.zeros(0), np.zeros(0, np.int64)
    one = random.random() < 0.4
    within = random.random() < 0.5
    while len(rr) < n:
        length = n if one else int(np.clip(random.lognormal(np.log(90), 0.9), 12, n))
        if within:
            part = fibrillation(random, length)
        else:
            part = sinus(random, length)
            turn = random.random()
            part = ectopic(random, part) if turn < 0.5 else part
            part = blocked(random, part) if turn > 0.85 else part
        rr = np.concatenate([rr, part])
        af = np.concatenate([af, np.full(length, int(within))])
        within = not within
    return Periods("drawn", np.clip(rr[:n], 0.2, 4.0), af[:n])


def mistaken(random: np.random.Generator, periods: Periods) -> Periods:
    """The same beats as a detector finds them: shaken, a few missed, a few made up."""
    rr = periods.rr_s * 10 ** random.uniform(-0.15, 0.15)
    at = np.concatenate([[0.0], np.cumsum(rr)])
    af = np.concatenate([periods.af[:1], periods.af])
    at = at + np.clip(random.normal(0, random.uniform(0.001, 0.012), len(at)), -0.04, 0.04)
    keep = random.random(len(at)) >= (random.uniform(0, 0.03) if random.random() < 0.5 else 0.0)
    at, af = at[keep], af[keep]
    if random.random() < 0.4:
        extra = random.random(len(at) - 1) < random.uniform(0, 0.02)
        new = at[:-1][extra] + np.diff(at)[extra] * random.uniform(0.3, 0.7, int(extra.sum()))
        order = np.argsort(np.concatenate([at, new]), kind="stable")
        af = np.concatenate([af, af[:-1][extra]])[order]
        at = np.concatenate([at, new])[order]
    at = np.sort(at)
    return Periods(periods.patient, np.maximum(np.diff(at), 0.2), af[1:])
