"""Rows to hops, lead by lead: what begins anew, what is dropped, what windows see."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.ecg.rows import AT_FRONT, INSIDE, FullHop, Jump, Rows, Stretch
from edge_dx.signal import CONCEALED, INVALID, Block
from edge_dx.signal.calm import Blocks, Lot
from edge_dx.tensors import Array

HOP, KEPT = 5, 12


def block(index: Any, segment: Any = None, flags: Any = None, leads: int = 1) -> Block:
    """Rows whose values are their numbers."""
    index = np.asarray(index, np.int64)
    values = np.repeat(index[:, None].astype(float), leads, axis=1)
    segment = np.ones((len(index), leads), np.int64) if segment is None else np.asarray(segment)
    flags = np.zeros((len(index), leads), np.uint8) if flags is None else np.asarray(flags)
    return Block(index, values, flags.astype(np.uint8), segment, ())


def told(unit: FullHop | Jump) -> Any:
    if isinstance(unit, Jump):
        return unit.row, unit.ends
    low = unit.row - unit.stretch.first
    values: Array = unit.stretch.values[low : low + HOP, 0]
    return unit.row, values.tolist(), unit.flags.tolist(), unit.begins.tolist()


def test_hops_follow_each_other_and_the_rest_waits() -> None:
    rows = Rows(1, HOP, KEPT)
    state, hops = rows.step(rows.start(), block(range(7, 19)))
    assert [told(hop) for hop in hops] == [
        (7, [7, 8, 9, 10, 11], [0], [AT_FRONT]),
        (12, [12, 13, 14, 15, 16], [0], [0]),
    ]
    state, hops = rows.step(state, block(range(19, 22)))
    assert [told(hop) for hop in hops] == [(17, [17, 18, 19, 20, 21], [0], [0])]
    assert rows.step(state, block([]))[0] is state


def test_a_jump_is_told_at_once_and_drops_what_waited() -> None:
    rows = Rows(1, HOP, KEPT)
    state, hops = rows.step(rows.start(), block([*range(8), *range(100, 103)]))
    assert [told(unit) for unit in hops] == [
        (0, [0, 1, 2, 3, 4], [0], [AT_FRONT]), (100, 8),
    ]  # fmt: skip
    jump = hops[1]
    assert isinstance(jump, Jump)
    assert jump.stretch.around(5, 2, 2).tolist() == [[3, 4, 5, 6, 7]]  # still numbered as it was
    _, hops = rows.step(state, block(range(103, 106)))
    assert [told(hop) for hop in hops] == [(100, [100, 101, 102, 103, 104], [0], [AT_FRONT])]
    hop = hops[0]
    assert isinstance(hop, FullHop)
    assert hop.stretch.around(101, 3, 1).tolist() == [[100, 100, 100, 101, 102]]


def test_one_lead_beginning_anew_leaves_the_other_alone() -> None:
    rows = Rows(2, HOP, KEPT)
    segment = np.ones((20, 2), np.int64)
    segment[5:, 0] += 1
    segment[12:, 1] += 1
    flags = np.zeros((20, 2))
    flags[3, 0], flags[11, 1] = CONCEALED, INVALID
    _, hops = rows.step(rows.start(), block(range(20), segment, flags, 2))
    assert [told(hop)[2:] for hop in hops] == [
        ([CONCEALED, 0], [AT_FRONT, AT_FRONT]),
        ([0, 0], [AT_FRONT, 0]),
        ([0, INVALID], [0, INSIDE]),
        ([0, 0], [0, 0]),
    ]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 30), max_size=20))
def test_any_cutting_gives_the_same_hops(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    n = 120
    index = np.cumsum(rng.choice([1, 1, 1, 1, 1, 1, 1, 9], n))
    segment = 1 + np.cumsum(rng.random((n, 2)) < 0.03, axis=0)
    flags = rng.choice([0, 0, 0, 0, CONCEALED, INVALID], (n, 2))
    rows = Rows(2, HOP, KEPT)

    def run(cuts: list[int]) -> Any:
        state, found, begin = rows.start(), [], 0
        for size in [*cuts, n]:
            part = slice(begin, begin + size)
            begin += size
            whole = block(index[part], segment[part], flags[part], 2)
            state, hops = rows.step(state, whole)
            found += [told(hop) for hop in hops]
        return found, {name: array.tobytes() for name, array in state.items()}

    assert run([]) == run(sizes)


def test_a_stretch_has_nothing_in_front_of_its_beginning() -> None:
    stretch = Stretch(np.arange(20.0, dtype=np.float32)[:, None], first=100, begin=110)
    assert stretch.around(111, 3, 2).tolist() == [[10, 10, 10, 11, 12, 13]]
    assert stretch.around(115, 2, 2).tolist() == [[13, 14, 15, 16, 17]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 14), st.booleans())
def test_streams_side_by_side_are_each_as_alone(seed: int, size: int, alike: bool) -> None:
    """In bulk or one by one: the same hops, jumps and rows to look back on."""
    rng, rows, streams = np.random.default_rng(seed), Rows(1, HOP, KEPT), 4
    alone = [rows.start() for _ in range(streams)]
    for which in range(streams):  # each waits for its hop at a place of its own
        first = block(range(which if alike else 3 * which + 1))
        alone[which], _ = rows.step(alone[which], first)
    joined = {name: np.stack([own[name] for own in alone]) for name in alone[0]}
    for _ in range(8):
        blocks, following = [], [int(own["place"][1]) for own in alone]
        for at in following:
            index = np.arange(max(at, 0), max(at, 0) + size) + 100 * (rng.random() < 0.1)
            flags = np.full((size, 1), INVALID if rng.random() < 0.1 else 0)
            blocks.append(block(index, flags=flags))
        calm = [n for n, own in enumerate(blocks)
                if not own.flags.any() and own.index[0] == following[n]]  # fmt: skip
        lots = [Lot(np.array(calm), np.array([blocks[n].index[0] for n in calm]),
                    np.array([blocks[n].values for n in calm]))] if calm else []  # fmt: skip
        rest = {n: own for n, own in enumerate(blocks) if n not in calm}
        together = Blocks(lots, rest, np.ones((streams, 1), np.int64))
        joined, units = rows.step_joined(joined, together)
        told_together = [[told(unit) for unit in own] for own in units.rest]
        for which, batch in units.batches:
            for place, stream in enumerate(which):
                hop = FullHop(int(batch.rows[place]), batch.flags[place], batch.begins[place],
                              batch.stretches(place))  # fmt: skip
                assert batch.values[place].tolist() == hop.values(HOP).tolist()
                told_together[stream].append(told(hop))
        for stream in range(streams):
            alone[stream], hops = rows.step(alone[stream], blocks[stream])
            assert told_together[stream] == [told(hop) for hop in hops]
            for name, array in alone[stream].items():
                assert joined[name][stream].tolist() == array.tolist(), name
