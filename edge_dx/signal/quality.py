"""What each sample is worth, lead by lead, before any filter sees it.

A sample is *missing* where it was lost, the electrode is off, the value is no number or absurd, or
the amplifier stands at its rail. The last good value is held in its place: up to 40 ms in a row
the lead is `concealed`, after that `invalid` until a good sample comes, and with that sample its
filters begin anew. A line that does not move for a second is `invalid` likewise; that it was flat
from the beginning is said when it is known, never earlier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta

from edge_dx.signal.events import (
    CAUSES,
    CONCEALED,
    INVALID,
    Array,
    Event,
    LeadOff,
    Quality,
    Warmup,
)
from edge_dx.signal.run import Run
from edge_dx.signal.state import Arrays

_LOST, _OFF, _NOT_FINITE, _ABSURD, _RAIL, _FLAT = range(1, len(CAUSES) + 1)
_STATES = ("valid", "concealed", "invalid")


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The limits behind the words; part of a path, and so of its state's digest.

    Attributes:
        conceal_s: missing samples in a row that are held; one more and the lead is invalid.
        flat_s: how long a line may stand still.
        flat_mv: neighbouring samples that differ by no more stand still. Slower drift than that
            is no heart: 0.25 mV per second at 250 samples per second.
        absurd_mv: beyond it no electrode goes (electrode offset is allowed 300 mV, IEC 60601-2-27).
        full_scale_mv: of the converter, where known.
        rail: the part of full scale from which on the amplifier counts as saturated.
    """

    conceal_s: Annotated[float, Meta(ge=0.0, le=0.2)] = 0.04
    flat_s: Annotated[float, Meta(gt=0.0, le=10.0)] = 1.0
    flat_mv: Annotated[float, Meta(ge=0.0, le=0.1)] = 0.001
    absurd_mv: Annotated[float, Meta(gt=0.0, le=1e6)] = 1000.0
    full_scale_mv: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None
    rail: Annotated[float, Meta(gt=0.0, le=1.0)] = 0.95


class Watch:
    """Applies the rules to the samples of all leads at a rate.

    Attributes:
        conceal: samples in a row that are held.
        moving: names of the arrays that sound samples change.
    """

    moving = ("held", "still")

    def __init__(
        self, rules: Rules, rate_hz: Fraction, leads: Sequence[str], *, warms_up: bool
    ) -> None:
        self.conceal = int(Fraction(rules.conceal_s).limit_denominator(10_000) * rate_hz)
        self._flat = max(1, round(Fraction(rules.flat_s).limit_denominator(10_000) * rate_hz))
        self._rules, self._leads, self._warms_up = rules, tuple(leads), warms_up
        self._rail_mv = None if rules.full_scale_mv is None else rules.rail * rules.full_scale_mv

    def start(self) -> Arrays:
        """Nothing is known of any lead yet, so the first good sample begins it."""
        leads = len(self._leads)
        return {
            "held": np.zeros(leads),
            "missing": np.full(leads, self.conceal + 1, np.int64),
            "still": np.zeros(leads, np.int64),
            "invalid": np.ones(leads, np.bool_),
            "told": np.zeros(leads, np.uint8),
            "off": np.zeros(leads, np.bool_),
        }

    def step(
        self, state: Arrays, first: Array, mv: Array, off: Array | None, *, lost: int, jump: bool
    ) -> tuple[Arrays, Run, list[list[Event]]]:
        """Judges consecutive samples of several streams.

        Args:
            state: arrays as in `start`, streams first.
            first: (streams,) device index of the first sample.
            mv: (streams, leads, n), n > 0.
            off: likewise bool; None where no front end reports.
            lost: so many samples at the front never came.
            jump: what was before is not to be joined with this.
        """
        if jump:
            state = {
                **state,
                "missing": np.full_like(state["missing"], self.conceal + 1),
                "invalid": np.ones_like(state["invalid"]),
            }
        if off is None:
            off = np.zeros(mv.shape, np.bool_)
        if lost:
            off = off.copy()
            off[..., :lost] = state["off"][..., None]
        cause = self._cause(mv, off, lost)
        held, missing = _hold(mv, cause > 0, state["held"], state["missing"])
        before = np.concatenate([state["held"][..., None], held[..., :-1]], axis=-1)
        stands = np.abs(held - before) <= self._rules.flat_mv
        if jump:
            stands[..., 0] = False
        still = _run_lengths(stands, state["still"])
        cause[(cause == 0) & (still >= self._flat)] = _FLAT
        invalid = (missing > self.conceal) | (still >= self._flat)
        was = np.concatenate([state["invalid"][..., None], invalid[..., :-1]], axis=-1)
        anew = was & ~invalid
        flags = np.where(invalid, INVALID, np.where(cause > 0, CONCEALED, 0)).astype(np.uint8)
        status = (flags > 0).astype(np.uint8) + invalid
        events = self._events(state, first, cause, status, still, off, anew, lost)
        if jump:
            anew[..., 0] = True  # also of a lead without signal: nothing is joined across
        after = {
            "held": held[..., -1], "missing": missing[..., -1], "still": still[..., -1],
            "invalid": invalid[..., -1], "told": status[..., -1], "off": off[..., -1],
        }  # fmt: skip
        return after, Run(first, held, flags, anew), events

    def sound(self, arrays: Mapping[str, Array]) -> Array:
        """(streams, leads) where nothing was amiss with the last sample, nor was anything told."""
        amiss = arrays["invalid"] | arrays["off"] | (arrays["missing"] > 0) | (arrays["told"] > 0)
        return np.asarray(~amiss)

    def calmly(self, state: Mapping[str, Array], mv: Array) -> Arrays | Array:
        """The moving arrays after samples of sound leads; or (streams,) in which nothing is amiss.

        Args:
            state: streams first.
            mv: (streams, leads, n), n > 0, of which none was lost and no electrode is off.
        """
        size = np.abs(mv)
        if not self._whole(size.max()):  # NaN is not
            return np.asarray(self._whole(size.max(axis=(1, 2))))
        apart = np.empty_like(mv)
        np.subtract(mv[..., 0], state["held"], out=apart[..., 0])
        np.subtract(mv[..., 1:], mv[..., :-1], out=apart[..., 1:])
        stands = np.abs(apart, out=apart) <= self._rules.flat_mv
        still = state["still"]
        if int(still.max()) + mv.shape[-1] < self._flat and not stands[..., -1].any():
            return {"held": mv[..., -1].copy(), "still": np.zeros_like(still)}
        runs = _run_lengths(stands, still)
        moving = (runs < self._flat).all(axis=(1, 2))
        if not moving.all():
            return np.asarray(moving)
        return {"held": mv[..., -1].copy(), "still": runs[..., -1].copy()}

    def _whole(self, size: Any) -> Any:
        """Whether what is so large is a signal."""
        whole = size <= self._rules.absurd_mv
        return whole if self._rail_mv is None else whole & (size < self._rail_mv)

    def _cause(self, mv: Array, off: Array, lost: int) -> Array:
        cause = np.zeros(mv.shape, np.uint8)
        size = np.abs(mv)
        if self._rail_mv is not None:
            cause[size >= self._rail_mv] = _RAIL
        cause[size > self._rules.absurd_mv] = _ABSURD
        cause[~np.isfinite(mv)] = _NOT_FINITE
        cause[off] = _OFF
        cause[..., :lost] = _LOST
        return cause

    def _events(
        self, state: Arrays, first: Array, cause: Array, status: Array, still: Array,
        off: Array, anew: Array, lost: int,
    ) -> list[list[Event]]:  # fmt: skip
        found: list[list[Event]] = [[] for _ in first]
        for stream, lead, row in _changes(off, state["off"]):
            at = int(first[stream]) + row
            found[stream].append(LeadOff(at, at, self._leads[lead], bool(off[stream, lead, row])))
        for stream, lead, row in _changes(status, state["told"]):
            index = int(first[stream]) + row
            at = int(first[stream]) + max(row, lost)  # what was lost is known by what came next
            why = int(cause[stream, lead, row])
            since = index - int(still[stream, lead, row]) if why == _FLAT else index
            word: Any = _STATES[status[stream, lead, row]]
            found[stream].append(
                Quality(since, at, self._leads[lead], word, CAUSES[why - 1] if why else None)
            )
        if self._warms_up and anew.any():
            for stream, lead, row in np.argwhere(anew).tolist():
                at = int(first[stream]) + row
                found[stream].append(Warmup(at, at, self._leads[lead], ready=False))
        return found


def _changes(now: Array, before: Array) -> list[list[int]]:
    """(stream, lead, row) of all values that differ from the one before."""
    earlier = np.concatenate([before[..., None], now[..., :-1]], axis=-1)
    changed = now != earlier
    return np.argwhere(changed).tolist() if changed.any() else []


def _hold(mv: Array, bad: Array, held: Array, missing: Array) -> tuple[Array, Array]:
    """Values with the last good one in place of bad ones; and bad ones in a row."""
    if not bad.any():
        return mv, np.zeros(mv.shape, np.int64)
    rows = np.where(bad, -1, np.arange(mv.shape[-1]))
    last = np.maximum.accumulate(rows, axis=-1)
    values = np.take_along_axis(mv, np.maximum(last, 0), axis=-1)
    return np.where(last >= 0, values, held[..., None]), _run_lengths(bad, missing)


def _run_lengths(holds: Array, before: Array) -> Array:
    """How long it has held, row by row; `before` is how long it had when the first one came."""
    rows = np.arange(1, holds.shape[-1] + 1)
    broken = np.maximum.accumulate(np.where(holds, 0, rows), axis=-1)
    return np.where(broken > 0, rows - broken, rows + before[..., None])
