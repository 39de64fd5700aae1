"""Half an hour, hop by hop: how far each variant's answers and memory drift from the module's.

Beside the variants stands what is not shipped: the module with its memory rounded to eight bits
after every call, as a file with an int8 state would hold it. Convolution caches forget by
themselves; a recurrent unit carries each rounding on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edge_dx.manifest import Name, Part, PeakNetwork, Text
from edge_dx.tensors import Array
from export.streams.following import Asked, Beats, logits_of
from export.streams.recordings import Recording

PARTS = 6
"""Pieces that the recording is told in; of half an hour five minutes each."""
ROUNDED = "torch, state int8"


class Rounded:
    """A network whose memory passes through eight bits after every call, symmetric, one scale for
    each state.

    Args:
        network: that is asked.
        scale: of each number of its memory, (width,).
    """

    def __init__(self, network: Asked, scale: Array) -> None:
        self._network, self._scale, self.width = network, scale.astype(np.float32), network.width

    def start(self, rows: int) -> Array:
        """Memory at a beginning."""
        return self._network.start(rows)

    def __call__(self, feeds: Mapping[str, Array], memory: Array) -> tuple[Array, Array]:
        """The answer, and the memory as eight bits hold it."""
        answer, kept = self._network(feeds, memory)
        levels = np.clip(np.rint(kept / self._scale), -127, 127)
        return answer, (levels * self._scale).astype(np.float32)


class Stretch(Part, frozen=True, kw_only=True):
    """A piece of the recording.

    Attributes:
        until_s: where it ends.
        answer_rms: of the difference of the answer's logits from the module's.
        answer_max: largest absolute value of it.
        state_rms: of the memory's difference, as a share of the memory's own root mean square.
        state_max: largest absolute difference of the memory.
    """

    until_s: float
    answer_rms: float
    answer_max: float
    state_rms: float
    state_max: float


class Drift(Part, frozen=True, kw_only=True):
    """One network of one variant beside the module.

    Attributes:
        variant: its name, or that of the experiment.
        network: its name.
        calls: how many.
        events: detections or classes of the module.
        changed: how many of them are others, or missing, or too many.
    """

    variant: Text
    network: Name
    calls: int
    stretches: tuple[Stretch, ...]
    events: int = 0
    changed: int = 0

    @property
    def worst(self) -> float:
        """Largest difference of the answer."""
        return max(stretch.answer_max for stretch in self.stretches)


class _Sum:
    """Differences of one piece."""

    def __init__(self) -> None:
        self.answer = self.state = self.own = self.answer_max = self.state_max = 0.0
        self.answers = self.states = 0

    def add(self, answer: Array, state: Array, wanted: Array, wanted_state: Array) -> None:
        off, far = answer - wanted, state - wanted_state
        self.answer += float((off.astype(np.float64) ** 2).sum())
        self.state += float((far.astype(np.float64) ** 2).sum())
        self.own += float((wanted_state.astype(np.float64) ** 2).sum())
        self.answers, self.states = self.answers + off.size, self.states + far.size
        self.answer_max = max(self.answer_max, float(np.abs(off).max()))
        self.state_max = max(self.state_max, float(np.abs(far).max(initial=0.0)))

    def told(self, until_s: float) -> Stretch:
        return Stretch(
            until_s=round(until_s, 1),
            answer_rms=_short((self.answer / max(self.answers, 1)) ** 0.5),
            answer_max=_short(self.answer_max),
            state_rms=_short((self.state / max(self.own, 1e-30)) ** 0.5),
            state_max=_short(self.state_max),
        )


def detector_drift(
    reference: Asked, variants: Mapping[str, Asked], told: PeakNetwork, recording: Recording
) -> tuple[dict[str, Drift], dict[str, Array]]:
    """The detectors over a recording, all side by side.

    Returns:
        Variant to its drift, and of each variant and of the module (`torch`) the frames.
    """
    rows, size = recording.rows[:, 0], told.hop_rows
    hops = len(rows) // size
    networks = {"torch": reference, **variants}
    memory = {name: network.start(1) for name, network in networks.items()}
    frames: dict[str, list[Array]] = {name: [] for name in networks}
    sums = {name: [_Sum() for _ in range(PARTS)] for name in variants}
    for hop in range(hops):
        signal = rows[None, None, hop * size : (hop + 1) * size]
        found = {n: network({told.signal: signal}, memory[n]) for n, network in networks.items()}
        for name, (answer, kept) in found.items():
            memory[name] = kept
            frames[name].append(answer)
            if name in sums:
                sums[name][hop * PARTS // hops].add(answer, kept, *found["torch"])
    ends = [(part + 1) * hops * size / PARTS / 250 for part in range(PARTS)]
    drifts = {
        name: Drift(
            variant=name, network="detector", calls=hops,
            stretches=tuple(own.told(end) for own, end in zip(parts, ends, strict=True)),
        )
        for name, parts in sums.items()
    }  # fmt: skip
    return drifts, {name: np.concatenate(own)[None] for name, own in frames.items()}


def beat_drift(
    network: str, reference: Asked, variants: Mapping[str, Asked], beats: Beats,
) -> tuple[dict[str, Drift], dict[str, Array]]:  # fmt: skip
    """The same of a network that is asked once per beat; all are asked about the same beats.

    Returns:
        Variant to its drift, and of each variant and of the module the logits.
    """
    memories: dict[str, list[Array]] = {}
    logits: dict[str, Array] = {}
    for name, own in {"torch": reference, **variants}.items():
        memories[name] = []
        logits[name] = logits_of(own, [beats], memories[name])[0]
    calls = len(beats.rows)
    drifts = {}
    for name in variants:
        sums = [_Sum() for _ in range(PARTS)]
        for call in range(calls):
            sums[call * PARTS // calls].add(
                logits[name][call], memories[name][call], logits["torch"][call],
                memories["torch"][call],
            )  # fmt: skip
        last = [max((part + 1) * calls // PARTS - 1, 0) for part in range(PARTS)]
        drifts[name] = Drift(
            variant=name, network=network, calls=calls,
            stretches=tuple(
                own.told(float(beats.rows[at]) / 250) for own, at in zip(sums, last, strict=True)
            ),
        )  # fmt: skip
    return drifts, logits


def scales_of(memories: Sequence[Array], sizes: Sequence[int]) -> Array:
    """Scale of each number of a memory, from the largest value of its state in a rollout.

    Args:
        memories: (batch, width) each.
        sizes: numbers of each state.
    """
    peak = np.abs(np.concatenate(list(memories))).max(axis=0)
    found, at = np.empty(len(peak)), 0
    for size in sizes:
        found[at : at + size] = max(float(peak[at : at + size].max()), 1e-6) / 127
        at += size
    return found


def _short(value: float) -> float:
    return float(f"{value:.3g}")
