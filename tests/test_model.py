"""The public face: load a bundle, judge studies."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import edge_dx
from edge_dx.errors import EngineMissing, EngineRefused, ManifestError, ProofFailed
from edge_dx.trust import TrustStore
from tests import tiny


@pytest.fixture
def model(tiny_path: Path, trust: TrustStore) -> edge_dx.Model:
    return edge_dx.load(tiny_path, trust=trust)


def test_a_study_gets_an_answer_with_everything_to_reproduce_it(model: edge_dx.Model) -> None:
    result = model(tiny.film(1))
    assert result.status in (edge_dx.Status.POSITIVE, edge_dx.Status.NEGATIVE)
    assert result.label == "finding"
    assert 0 < (result.score or 0) < 1
    assert result.signer == "tester"
    assert result.bundle_digest == model.bundle.digest
    assert result.timing_ms.total >= result.timing_ms.infer > 0
    told = json.loads(result.to_json())
    assert {"file", "status", "label", "score", "threshold", "variant", "engine", "reasons",
            "timing_ms"} <= set(told)  # fmt: skip
    assert result.status.value in repr(result)


def test_batches_give_the_same_answers_as_single_calls(model: edge_dx.Model) -> None:
    films = [tiny.film(seed) for seed in range(7)] + [np.zeros((64, 64), np.uint8)]
    single = [model(film) for film in films]
    together = list(model.batch(films, size=3))
    assert [r.status for r in together] == [r.status for r in single]
    for one, other in zip(single, together, strict=True):
        assert one.score == pytest.approx(other.score, abs=1e-6)


def test_a_heat_map_is_shown_only_where_the_answer_is_not_negative(model: edge_dx.Model) -> None:
    results = [model(tiny.film(seed)) for seed in range(20)]
    assert {r.status for r in results} == {edge_dx.Status.POSITIVE, edge_dx.Status.NEGATIVE}
    for result in results:
        assert (result.heat_map is None) == (result.status is edge_dx.Status.NEGATIVE)


def test_a_blank_film_is_not_analysed_and_has_no_score(model: edge_dx.Model) -> None:
    result = model(np.full((64, 64), 90, np.uint8))
    assert result.status is edge_dx.Status.NOT_ANALYSED
    assert result.score is None
    assert result.label is None
    assert [why.code for why in result.reasons] == [edge_dx.Reason.BLANK]


def test_a_wrong_modality_is_refused_by_the_header_alone(model: edge_dx.Model) -> None:
    def never() -> np.ndarray:
        raise AssertionError("the gate must not decode what the header rules out")

    study = edge_dx.Study(None, "0" * 64, (64, 64), never, modality="US")
    result = model(study)
    assert [why.code for why in result.reasons] == [edge_dx.Reason.MODALITY]


def test_an_engine_that_computes_something_else_is_noticed(
    parts: tiny.Parts, tmp_path: Path, trust: TrustStore
) -> None:
    from edge_dx.bundle import write_bundle

    other = tiny.network(seed=3)
    parts.members["variants/onnx-fp32.onnx"] = other
    path = tmp_path / "other.edx"
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    with pytest.raises(ProofFailed, match=r"logits differs by .*allowed 0\.0001"):
        edge_dx.load(path, trust=trust)


def test_a_heat_map_that_does_not_add_up_fails_the_result(
    tiny_path: Path, trust: TrustStore
) -> None:
    model = edge_dx.load(tiny_path, trust=trust)
    honest = model.backend.run

    def lying(feeds: dict) -> dict:
        outputs = honest(feeds)
        return {**outputs, "cam": outputs["cam"] + 0.1}

    model.backend.run = lying  # type: ignore[method-assign]  # a backend gone wrong
    result = model(tiny.film(1))
    assert result.status is edge_dx.Status.FAILED
    assert result.score is None
    assert [why.code for why in result.reasons] == [edge_dx.Reason.MODEL_INTEGRITY]


def test_a_proof_is_remembered_and_bound_to_the_bundle(
    tiny_path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_dx import proof

    edge_dx.load(tiny_path, trust=trust)
    runs = []
    real = proof.verify
    monkeypatch.setattr(proof, "verify", lambda *a, **k: runs.append(1) or real(*a, **k))
    edge_dx.load(tiny_path, trust=trust)
    assert not runs
    monkeypatch.setattr("edge_dx.device.fingerprint", lambda: "another processor")
    edge_dx.load(tiny_path, trust=trust)
    assert runs


def test_the_fake_engine_says_so_in_every_result(tiny_path: Path, trust: TrustStore) -> None:
    result = edge_dx.load(tiny_path, engine="pretend", trust=trust)(tiny.film(1))
    assert edge_dx.Reason.PRETEND_ENGINE in [why.code for why in result.reasons]


def test_wrong_choices_are_refused_with_the_choices_there_are(
    tiny_path: Path, trust: TrustStore
) -> None:
    with pytest.raises(ManifestError, match="it has: onnx-fp32"):
        edge_dx.load(tiny_path, variant="onnx-int4", trust=trust)
    with pytest.raises(EngineMissing, match="there are: onnx"):
        edge_dx.load(tiny_path, engine="warp", trust=trust)
    with pytest.raises(EngineRefused, match="not measured on engine onnx-cuda"):
        edge_dx.load(tiny_path, engine="onnx-cuda", trust=trust)
