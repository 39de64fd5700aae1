"""Activation ranges of a stream's networks, from long rollouts: memory as it becomes, not zeros."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edge_dx.ecg.networks import Network
from edge_dx.manifest import Manifest, PeakNetwork
from edge_dx.manifest.stream import NetworkName
from edge_dx.tensors import Array
from export.calibrate import Observed, Ranges, feeds_digest
from export.streams import onnx_from_step, tflite_from_step
from export.streams.files import Files, Maker, variant_of
from export.streams.following import Asked, Beats
from export.streams.modules import Format
from export.streams.recipe import CalibrationPart
from export.streams.recordings import Recording
from export.streams.running import open_network

Calls = list[dict[str, Array]]
_TRIED = 24
"""Calls on which methods are compared."""


def detector_calls(
    network: Asked, told: PeakNetwork, recordings: Sequence[Recording], part: CalibrationPart
) -> Calls:
    """Hops of all recordings side by side, one of `every`, with the state that they met."""
    size = told.hop_rows
    hops = min(int(part.seconds * 250), min(len(own.rows) for own in recordings)) // size
    memory = network.start(len(recordings))
    calls: Calls = []
    for hop in range(hops):
        rows = [own.rows[hop * size : (hop + 1) * size, 0] for own in recordings]
        feeds = {told.signal: np.stack(rows)[:, None]}
        if hop % part.every == part.every - 1:
            calls.append({**feeds, **_states(told, memory)})
        _, memory = network(feeds, memory)
    return calls


def beat_calls(
    network: Asked, told: object, beats: Sequence[Beats], part: CalibrationPart
) -> Calls:
    """The same beat by beat."""
    memory = network.start(len(beats))
    calls: Calls = []
    for turn in range(min(len(own.rows) for own in beats)):
        fresh = np.array([own.anew[turn] for own in beats])
        memory = np.where(fresh[:, None], np.float32(0), memory)
        feeds = {key: np.stack([own.feeds[key][turn] for own in beats]) for key in beats[0].feeds}
        if turn % part.every == part.every - 1:
            calls.append({**feeds, **_states(told, memory)})
        if len(calls) * part.every > part.seconds:  # about one beat per second
            break
        _, memory = network(feeds, memory)
    return calls


def _states(told: object, memory: Array) -> dict[str, Array]:
    """A packed memory as the named tensors, as `edge_dx.ecg.networks` lays it out."""
    found, at = {}, 0
    for pair in told.states:  # type: ignore[attr-defined]  # any network of the manifest has them
        size = int(np.prod(pair.shape))
        found[pair.input] = np.ascontiguousarray(memory[:, at : at + size]).reshape(-1, *pair.shape)
        at += size
    return found


def observed(maker: Maker, kind: Format, name: NetworkName, calls: Calls) -> Observed:
    """What a network's layers take on these calls."""
    prepared, step = maker.prepared(kind, name), maker.step(kind, name)
    streams: Iterator[Mapping[str, Array]]
    if kind == "onnx":
        streams = onnx_from_step.observe(prepared, calls)
    else:
        streams = tflite_from_step.observe(prepared, step, calls)
    graph = hashlib.sha256(prepared).hexdigest()
    joined = {key: np.stack([call[key] for call in calls]) for key in calls[0]}
    return Observed(graph, feeds_digest(joined), streams)


def chosen(
    manifest: Manifest, maker: Maker, kind: Format, name: NetworkName, calls: Calls,
    methods: Sequence[str],
) -> Ranges:  # fmt: skip
    """Ranges by the method whose int8 file answers nearest to the float one on these calls."""
    seen = observed(maker, kind, name, calls)
    candidates = [seen.ranges(method) for method in methods]
    if len(candidates) == 1:
        return candidates[0]
    wanted = _answers(manifest, maker, kind, name, calls, None)
    errors = [
        float(np.square(_answers(manifest, maker, kind, name, calls, ranges) - wanted).mean())
        for ranges in candidates
    ]
    return candidates[int(np.argmin(errors))]


def _answers(
    manifest: Manifest, maker: Maker, kind: Format, name: NetworkName, calls: Calls,
    ranges: Ranges | None,
) -> Array:  # fmt: skip
    file = maker.float_file(kind, name) if ranges is None else maker.quantized_file(
        kind, name, ranges)  # fmt: skip
    variant = variant_of(kind, "fp32" if ranges is None else "int8")
    network: Network = open_network(
        manifest,
        Files(variant, {name: file}),
        name,
    )
    told = manifest.stream and manifest.stream.network(name)
    states = [pair.input for pair in told.states] if told else []
    found = []
    for call in calls[:: max(1, len(calls) // _TRIED)]:
        rows = len(next(iter(call.values())))
        memory = np.concatenate([call[s].reshape(rows, -1) for s in states], axis=1)
        feeds = {key: array for key, array in call.items() if key not in states}
        found.append(network(feeds, memory)[0])
    network.close()
    return np.concatenate(found)
