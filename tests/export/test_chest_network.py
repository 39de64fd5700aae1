from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from edge_dx.image import compile_steps
from export.networks.chest import SIDE_PX, STRIDE, ChestNet, build
from export.training.augment import augment
from export.training.chest_tb import (
    PREPARE,
    VALIDATION_FOLD,
    figures,
    learned_from,
)
from export.training.films import NIH_TARGETS, Film
from export.training.fitting import Plan, fit, fuse, normed

ZOO = Path(__file__).parents[2] / "export" / "zoo" / "chest_tb"


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def film(k: int, site: str = "Shenzhen", fold: int = 0) -> Film:
    nih = site == "NIH"
    return Film(
        name=f"{site}{k}",
        site=site,
        fold=fold,
        tuberculosis=None if nih else bool(k % 2),
        findings=(0.0,) * len(NIH_TARGETS) if nih else (),
        pixels=np.random.default_rng(k).integers(0, 256, (90, 80)).astype(np.uint8),
        sha256="",
    )


def test_the_mean_of_the_heat_map_and_the_bias_are_the_logit() -> None:
    torch.manual_seed(0)
    network = build().eval()
    with torch.inference_mode():
        logits, cam, features = network(torch.randn(2, 1, SIDE_PX, SIDE_PX))
    side = SIDE_PX // STRIDE
    assert (logits.shape, cam.shape, features.shape) == ((2, 1), (2, 1, side, side), (2, 320))
    torch.testing.assert_close(cam.mean((2, 3)) + network.head.bias, logits)


def test_the_network_keeps_its_size_budget() -> None:
    assert 250_000 <= sum(p.numel() for p in build().parameters()) <= 320_000


def test_folding_the_normalisation_changes_nothing() -> None:
    torch.manual_seed(0)
    trained = ChestNet(normed)
    for module in trained.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias)
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2.0)
    image = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        fused, whole = fuse(trained)(image), trained.eval()(image)
    for mine, theirs in zip(fused, whole, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_the_shipped_weights_fit_and_are_those_of_the_record() -> None:
    path = ZOO / "weights.safetensors"
    build().load_state_dict(load_file(path))
    record = json.loads((ZOO / "training.json").read_text("utf-8"))
    assert record["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert record["validation_fold"] == VALIDATION_FOLD
    assert all(len(prefix) == 16 for prefix in record["films_seen"]["xray_tb_lungmask"])


def test_augmentation_is_decided_by_its_seed_and_never_writes_into_the_film() -> None:
    source = film(1).pixels
    before = source.copy()
    once, again, other = (augment(source, 64, np.random.default_rng(s)) for s in (5, 5, 6))
    assert once.shape == (64, 64)
    assert once.dtype == np.uint8
    np.testing.assert_array_equal(once, again)
    assert (once != other).any()
    for seed in range(50):  # every branch is taken
        augment(source, 64, np.random.default_rng(seed))
    np.testing.assert_array_equal(source, before)


def test_held_out_films_are_not_learned_from() -> None:
    films = [film(1, fold=4), film(2, "Montgomery"), film(3), film(4, "Montgomery", fold=4)]
    assert [f.name for f in learned_from(films, 4, None)] == ["Montgomery2", "Shenzhen3"]
    assert [f.name for f in learned_from(films, 4, "Montgomery")] == ["Shenzhen3"]


def test_a_fit_gives_the_same_weights_again() -> None:
    films, helpers = [film(k) for k in range(4)], [film(k, "NIH") for k in range(2)]
    plan = Plan(epochs=1, batch=2, helpers=1, mixing=1.0, seed=7)
    first = fit(films, helpers, PREPARE[-1:], plan)
    again = fit(films, helpers, PREPARE[-1:], plan)
    for name, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    alone = fit(films, (), PREPARE[-1:], replace(plan, helpers=0))
    assert figures(alone, [*films, *helpers]).keys() == {"Shenzhen"}


def test_the_preparation_gives_what_the_network_takes() -> None:
    prepared = compile_steps(PREPARE)(film(1).pixels)
    assert prepared.shape == (SIDE_PX, SIDE_PX)
    assert prepared.dtype == np.uint8
