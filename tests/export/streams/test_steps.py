from __future__ import annotations

import numpy as np
import pytest
import torch

from edge_dx.ecg.beats import FEATURES
from export.networks import ecg, rhythm
from export.streams.files import Maker
from export.streams.modules import Networks, step_of
from export.streams.onnx_from_step import kinds
from export.streams.steps import DetectorStep


@pytest.mark.parametrize("slices", [False, True])
def test_hops_give_what_the_whole_signal_gives(networks: Networks, slices: bool) -> None:
    module = networks.modules["detector"]
    signal = torch.randn(3, 1, 25 * 60, generator=torch.Generator().manual_seed(0))
    step = DetectorStep(module, slices=slices).eval()
    state, found = step.examples(3)[1], []
    with torch.inference_mode():
        whole = module(signal, *module.start(3))[0]
        for hop in range(60):
            frames, state = step(signal[:, :, hop * 25 : hop * 25 + 25], state)
            found.append(frames)
    assert torch.allclose(torch.cat(found, dim=1), whole, atol=2e-5)


def test_a_beat_is_what_the_network_says(networks: Networks) -> None:
    module = networks.modules["at_once"]
    random = torch.Generator().manual_seed(0)
    given = (
        torch.randn(4, 2, 64, generator=random), torch.randn(4, len(FEATURES), generator=random),
        torch.rand(4, 32, generator=random) - 0.5,
    )  # fmt: skip
    with torch.inference_mode():
        for mine, theirs in zip(
            step_of("at_once", module, "onnx")(*given), module(*given), strict=True
        ):
            assert torch.allclose(mine, theirs, atol=1e-5)


@pytest.mark.parametrize(("name", "states"), [("detector", 1), ("at_once", 1)])
def test_states_are_named_in_pairs(maker: Maker, name: str, states: int) -> None:
    step = maker.step("onnx", name)  # type: ignore[arg-type]  # both are names of networks
    assert [pair.input for pair in step.pairs] == [f"state.{n}.in" for n in range(states)]
    assert [pair.output for pair in step.pairs] == [f"state.{n}.out" for n in range(states)]
    assert [t.name for t in step.takes[-states:]] == [pair.input for pair in step.pairs]


def test_the_recurrent_unit_stays_one_operator(maker: Maker) -> None:
    assert kinds(maker.float_file("onnx", "at_once").payload)["GRU"] == 1
    module = rhythm.build().eval()
    alone = Maker(Networks({"rhythm": module}, {"rhythm": ""}))
    found = kinds(alone.float_file("onnx", "rhythm").payload)
    assert found["GRU"] == 1
    assert not found.keys() & {"Sigmoid", "Tanh", "Loop", "Scan"}


def test_the_detector_needs_no_transpose_and_no_convolution(maker: Maker) -> None:
    found = kinds(maker.float_file("onnx", "detector").payload)
    assert not found.keys() & {"Transpose", "Conv", "Pad", "Expand"}
    assert sum(found.values()) <= 60


def test_the_same_bytes_every_time(networks: Networks, maker: Maker) -> None:
    again = Maker(networks)
    for name in networks.modules:
        assert again.float_file("onnx", name).payload == maker.float_file("onnx", name).payload


def test_any_shape_of_detector_becomes_a_step() -> None:
    shape = ecg.Shape(stem=4, width=6, kernel=3, dilations=(1, 7))
    module = ecg.Detector(shape).eval()
    signal = torch.randn(2, 1, 25 * 8, generator=torch.Generator().manual_seed(1))
    step = DetectorStep(module).eval()
    state, found = step.examples(2)[1], []
    with torch.inference_mode():
        for hop in range(8):
            frames, state = step(signal[:, :, hop * 25 : hop * 25 + 25], state)
            found.append(frames.numpy())
        whole = module(signal, *module.start(2))[0].numpy()
    assert np.abs(np.concatenate(found, axis=1) - whole).max() < 2e-6
