from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import pytest

from edge_dx.ecg.networks import Network
from edge_dx.manifest import Manifest
from export.calibrate import Observed
from export.streams import onnx_from_step, tflite_from_step
from export.streams.files import Files, Maker, variant_of
from export.streams.modules import Networks
from export.streams.rollout import Rounded, scales_of
from export.streams.running import open_network, torch_networks

HOPS = 600
needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("litert_torch") is None, reason="needs litert-torch (tflite-export)"
)


def rolled(network: Any, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Frames and memory after each hop."""
    memory, frames, memories = network.start(1), [], []
    for hop in range(HOPS):
        part = rows[hop * 25 : hop * 25 + 25, 0]
        answer, memory = network({"signal": part[None, None]}, memory)
        frames.append(answer[0])
        memories.append(memory[0])
    return np.concatenate(frames), np.array(memories)


@pytest.fixture(scope="session")
def detector(manifest: Manifest, networks: Networks) -> Network:
    return torch_networks(manifest, networks)["detector"]


def opened(manifest: Manifest, maker: Maker, kind: Any, ranges: Any = None) -> Network:
    if ranges is None:
        file = maker.float_file(kind, "detector")
    else:
        file = maker.quantized_file(kind, "detector", ranges)
    variant = variant_of(kind, "fp32" if ranges is None else "int8")
    return open_network(manifest, Files(variant, {"detector": file}), "detector")


def calls_of(network: Network, rows: np.ndarray) -> list[dict[str, np.ndarray]]:
    _, memories = rolled(network, rows)
    return [
        {
            "signal": rows[hop * 25 : hop * 25 + 25, 0][None, None],
            "state.0.in": memories[hop - 1][None],
        }
        for hop in range(10, HOPS, 10)
    ]


@pytest.mark.parametrize("kind", ["onnx", pytest.param("tflite", marks=needs_litert)])
def test_a_minute_of_float_is_torch(
    manifest: Manifest, maker: Maker, detector: Network, rows: np.ndarray, kind: str
) -> None:
    wanted, wanted_memory = rolled(detector, rows)
    found, memory = rolled(opened(manifest, maker, kind), rows)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    assert np.abs(memory - wanted_memory).max() <= 1e-5 * np.abs(wanted_memory).max()


@pytest.mark.parametrize("kind", ["onnx", pytest.param("tflite", marks=needs_litert)])
def test_a_minute_of_int8_keeps_near_and_does_not_drift(
    manifest: Manifest, maker: Maker, detector: Network, rows: np.ndarray, kind: str
) -> None:
    calls, prepared = calls_of(detector, rows), maker.prepared(kind, "detector")  # type: ignore[arg-type]
    if kind == "onnx":
        seen = onnx_from_step.observe(prepared, calls)
    else:
        seen = tflite_from_step.observe(prepared, maker.step("tflite", "detector"), calls)
    ranges = Observed("0" * 64, "0" * 64, seen).ranges("minmax")
    network = opened(manifest, maker, kind, ranges)
    wanted, _ = rolled(detector, rows)
    found, memory = rolled(network, rows)
    off = np.abs(found - wanted)[:, 0]
    assert off.max() > 1e-4, "it is not quantized at all"
    assert off.max() < 0.35 * np.abs(wanted[:, 0]).max()
    assert off[-750:].mean() < 2 * off[750:1500].mean() + 0.05
    assert memory.dtype == np.float32
    peaks = wanted[:, 0] > 0
    assert (peaks == (found[:, 0] > 0)).mean() > 0.99


def test_a_memory_in_eight_bits_is_off_by_far_more_than_float(
    manifest: Manifest, maker: Maker, detector: Network, rows: np.ndarray
) -> None:
    wanted, memories = rolled(detector, rows)
    rounded = Rounded(detector, scales_of([memories], [memories.shape[1]]))
    found, memory = rolled(rounded, rows)
    file, _ = rolled(opened(manifest, maker, "onnx"), rows)
    assert len(np.unique(np.rint(memory / memory[memory > 0].min()))) <= 255
    assert np.abs(found - wanted).max() > 100 * np.abs(file - wanted).max()


def test_a_recurrent_unit_carries_roundings_on(manifest: Manifest, networks: Networks) -> None:
    """One rounding changes what the next beats give, for as long as the unit remembers."""
    network = torch_networks(manifest, networks)["at_once"]
    random = np.random.default_rng(0)
    feeds = [
        {
            "window": random.normal(size=(1, 2, 64)).astype(np.float32),
            "features": random.normal(size=(1, len(features()))).astype(np.float32) * 0.3,
        }
        for _ in range(80)
    ]
    plain, rounded, states = network.start(1), network.start(1), []
    for one in feeds:
        _, plain = network(one, plain)
        states.append(plain)
    eight = Rounded(network, scales_of(states, [network.width]))
    off, plain = [], network.start(1)
    for one in feeds:
        _, plain = network(one, plain)
        _, rounded = eight(one, rounded)
        off.append(float(np.sqrt(np.square(plain - rounded).mean())))
    single = float(scales_of(states, [network.width])[0]) / np.sqrt(12)
    assert np.mean(off[-40:]) > 1.2 * single, "no more than one rounding: nothing is carried on"


def features() -> tuple[str, ...]:
    from edge_dx.ecg.beats import FEATURES

    return FEATURES
