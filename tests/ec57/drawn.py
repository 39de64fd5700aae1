"""Random pairs of annotators: a reference, and a test that misses, invents, shifts and gives up."""

from __future__ import annotations

import random

from edge_dx.wfdb import Annotation

RATE_HZ = 250
SAMPLES = 400 * RATE_HZ
BEATS = "NNNNNNLRVVVFASaJejn/fQE?"


def reference(dice: random.Random, *, fibrillation: bool = True) -> list[Annotation]:
    """Beats at 40 to 300 a minute with shutdowns, fibrillation and rhythms in between."""
    items: list[Annotation] = []
    at = dice.randint(0, 300)
    while at < SAMPLES:
        items.append(Annotation(at, dice.choice(BEATS)))
        at += dice.randint(*dice.choice([(50, 120), (120, 260), (20, 60), (200, 375)]))
        chance = dice.random()
        if chance < 0.02:
            items += _shutdown(dice, at)
        elif fibrillation and chance < 0.03:
            end = at + dice.randint(50, 3000)
            items.append(Annotation(at, "["))
            items += [Annotation(k, "!") for k in range(at + 20, end - 10, 97)]
            items.append(Annotation(end, "]"))
        elif fibrillation and chance < 0.05:
            items.append(Annotation(at, "+", note=dice.choice(["(AFIB", "(N", "(AFL", "(VT"])))
            continue
        else:
            continue
        at = items[-1].sample + dice.randint(1, 200)
    return items


def test_of(dice: random.Random, items: list[Annotation]) -> list[Annotation]:
    """What a mediocre detector makes of it."""
    found: list[Annotation] = []
    for item in items:
        chance = dice.random()
        if chance < 0.05:
            continue
        sample = max(0, item.sample + dice.choice([0, 0, dice.randint(-60, 60)]))
        symbol = dice.choice(BEATS) if chance < 0.15 and item.symbol not in "~[]+!" else item.symbol
        found.append(item._replace(sample=sample, symbol=symbol))
        if chance > 0.95:
            found.append(Annotation(sample + dice.randint(1, 90), dice.choice(BEATS)))
        if chance > 0.99:
            found += _shutdown(dice, sample + 1)
    return sorted(found, key=lambda item: item.sample)


def _shutdown(dice: random.Random, at: int) -> list[Annotation]:
    end = at + dice.randint(1, 1500)
    return [Annotation(at, "~", dice.choice([0x30, -1])), Annotation(end, "~", dice.choice([0, 1]))]
