"""The look after inference: its distance, its place in the model, and what damage does to it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import edge_dx
from edge_dx.backends import open_backend
from edge_dx.bundle import Bundle
from edge_dx.errors import BundleFormatError, ManifestError
from edge_dx.gate import familiar_of
from edge_dx.gate.familiarity import from_bytes
from edge_dx.manifest import encode, parse
from edge_dx.model import Model
from edge_dx.proof import verify
from edge_dx.result import Reason, Status
from tests import tiny

Array = np.ndarray[Any, Any]


def member(mean: Array, axes: Array, spread: float) -> bytes:
    buffer = io.BytesIO()
    arrays = {"mean": mean, "axes": axes, "spread": np.array([spread])}
    np.savez(buffer, **{name: values.astype(np.float32) for name, values in arrays.items()})
    return buffer.getvalue()


def parts(limit: float, centre: Array | None = None, raw: bytes | None = None) -> tiny.Parts:
    """The tiny bundle, familiar with features near a centre."""
    found = tiny.parts()
    centre = np.zeros(tiny.CHANNELS) if centre is None else centre
    axes = np.zeros((1, tiny.CHANNELS))
    found.manifest["eligibility"]["familiarity"] = {"output": "features"}
    found.members["familiarity.npz"] = member(centre, axes, 1.0) if raw is None else raw
    for variant in found.manifest["variants"]:
        variant["max_distance"] = limit
    return found


def model_of(found: tiny.Parts) -> Model:
    manifest = found.built()
    bundle = Bundle(Path("tiny"), manifest, found.members, "0" * 64, None)
    variant = manifest.variants[0]
    backend = open_backend("onnx", manifest, variant, found.members[variant.file], 1)
    return Model(bundle, variant, backend, "onnx")


def films(n: int = 12) -> list[Array]:
    return [tiny.film(seed) for seed in range(n)]


def distances(model: Model) -> list[float]:
    known = model.familiar
    assert known
    found = []
    for film in films():
        _, outputs = model.run_case(film)
        assert outputs is not None
        found.append(known.distance(outputs["features"][0]))
    return found


@given(seed=st.integers(0, 10_000), size=st.integers(2, 40), k=st.integers(0, 5))
@settings(max_examples=50, deadline=None)
def test_the_distance_is_mahalanobis_under_probabilistic_pca(seed: int, size: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    vectors = np.linalg.qr(rng.normal(size=(size, size)))[0][: min(k, size - 1)]
    spread = float(rng.uniform(0.2, 2))
    wide = rng.uniform(1.1, 30, len(vectors)) * spread**2
    mean = rng.normal(size=size)
    covariance = spread**2 * np.eye(size) + vectors.T @ np.diag(wide - spread**2) @ vectors
    features = rng.normal(size=size) * 3
    off = np.sign(features) * np.sqrt(np.abs(features)) - mean
    wanted = np.sqrt(off @ np.linalg.solve(covariance, off) / size)
    axes = vectors * np.sqrt(1 - spread**2 / wide)[:, None]
    known = from_bytes(member(mean / spread, axes, spread), "features", size, 1.0)
    assert known.distance(features) == pytest.approx(wanted, rel=1e-3, abs=1e-4)


def test_beyond_the_limit_there_is_no_answer_and_no_score() -> None:
    with model_of(parts(1e9)) as everything:
        far = distances(everything)
    limit = float(np.median(far))
    with model_of(parts(limit)) as model:
        for film, distance in zip(films(), far, strict=True):
            result = model(film)
            if distance <= limit:
                assert result.status.analysed
                continue
            assert result.status is Status.NOT_ANALYSED
            assert [why.code for why in result.reasons] == [Reason.UNLIKE_TRAINING]
            assert f"{distance:.2f}" in result.reasons[0].detail
            assert (result.score, result.label, result.operating_point) == (None, None, None)
            assert (result.findings, dict(result.probabilities)) == ((), {})
            assert result.heat_map is None


def test_a_batch_says_what_single_studies_say() -> None:
    with model_of(parts(1e9)) as everything:
        limit = float(np.median(distances(everything)))
    with model_of(parts(limit)) as model:
        alone = [model(film) for film in films()]
        together = list(model.batch(films(), size=5))
    assert [r.status for r in together] == [r.status for r in alone]
    assert [r.reasons for r in together] == [r.reasons for r in alone]
    assert {r.status for r in alone} >= {Status.NOT_ANALYSED}


def test_without_a_familiarity_nothing_is_asked() -> None:
    with model_of(tiny.parts()) as model:
        assert model.familiar is None
        assert all(model(film).status.analysed for film in films())


def test_a_golden_case_that_is_strange_is_proved_with_its_outputs(tmp_path: Path) -> None:
    found = parts(1e-3)
    found.manifest["golden"][0] |= {
        "status": {"onnx-fp32": "not_analysed"}, "reasons": ["unlike_training"],
    }  # fmt: skip
    with model_of(found) as model:
        proof = verify(model)
    assert proof.passed, proof.problem
    assert set(proof.cases[0].differences) == {"logits", "cam", "features"}


def test_the_gate_taken_away_is_noticed_by_the_golden_case() -> None:
    found = parts(1e-3)
    found.manifest["golden"][0] |= {
        "status": {"onnx-fp32": "not_analysed"}, "reasons": ["unlike_training"],
    }  # fmt: skip
    with model_of(found) as model:
        model.familiar = None
        assert "golden is not_analysed" in verify(model).problem


# --- the contract ---


def broken(change: str) -> tiny.Parts:
    found = parts(1.0)
    familiarity = found.manifest["eligibility"]["familiarity"]
    if change == "no features output":
        familiarity["output"] = "logits"
    elif change == "no such member":
        familiarity["file"] = "elsewhere.npz"
    elif change == "no limit":
        del found.manifest["variants"][0]["max_distance"]
    else:
        del found.manifest["eligibility"]["familiarity"]
    return found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("no features output", "gives no features"),
        ("no such member", "is not listed"),
        ("no limit", "lacks a max_distance"),
        ("nothing to ask", "has a max_distance and nothing to ask it of"),
    ],
)
def test_a_manifest_that_contradicts_itself_is_refused(change: str, told: str) -> None:
    with pytest.raises(ManifestError, match=told):
        parse(encode(broken(change).built()))


def _repacked(compression: int) -> bytes:
    buffer = io.BytesIO()
    raw = member(np.zeros(4), np.zeros((1, 4)), 1.0)
    with zipfile.ZipFile(io.BytesIO(raw)) as old, zipfile.ZipFile(buffer, "w", compression) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return buffer.getvalue()


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"PK",
        member(np.zeros(3), np.zeros((1, 3)), 1.0),
        member(np.zeros(4), np.zeros((1, 3)), 1.0),
        member(np.zeros(4), np.zeros((4,)), 1.0),
        member(np.zeros(4), np.zeros((1, 4)), 0.0),
        member(np.full(4, np.nan), np.zeros((1, 4)), 1.0),
        _repacked(zipfile.ZIP_DEFLATED),
    ],
)
def test_a_damaged_member_is_a_typed_error_that_names_it(raw: bytes) -> None:
    found = parts(1.0, raw=raw)
    bundle = Bundle(Path("tiny"), found.built(), found.members, "0" * 64, None)
    with pytest.raises(BundleFormatError, match=r"familiarity\.npz cannot be read"):
        familiar_of(bundle, bundle.manifest.variants[0])


# --- the shipped model ---


def test_the_shipped_model_knows_its_phantoms_and_refuses_a_texture() -> None:
    from edge_dx import phantom

    with edge_dx.load("chest-tb") as model:
        assert model.familiar is not None
        for seed in range(4):
            assert model(phantom.draw(seed, 256, seed, 8).pixels).status.analysed
        # Passes every look before inference, and is no film: the phantom's coarse picture alone.
        import cv2

        film = phantom.draw(1, 256, 0, 8).pixels
        coarse = cv2.resize(cv2.resize(film, (9, 9), interpolation=cv2.INTER_AREA), (256, 256))
        rough = np.clip(coarse + np.random.default_rng(0).normal(0, 25, coarse.shape), 0, 255)
        result, outputs = model.run_case(rough.astype(np.uint8))
        assert outputs is not None, result
        assert [why.code for why in result.reasons] == [Reason.UNLIKE_TRAINING]
