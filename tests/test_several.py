"""Models of several inputs and of every kind of answer, through the public face."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import edge_dx
from edge_dx import Reason, Status, proof
from edge_dx.__main__ import main
from edge_dx.errors import NotFound, ProofFailed, TensorMismatch
from edge_dx.trust import TrustStore
from tests import several


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return several.write(tmp_path / "several.edx")


@pytest.fixture
def model(path: Path, trust: TrustStore) -> edge_dx.Model:
    return edge_dx.load(path, trust=trust)


def changed(**parts: Any) -> dict[str, Any]:
    return {**several.case(), **parts}


def test_every_answer_is_what_the_arithmetic_says(model: edge_dx.Model) -> None:
    result = model(several.case())
    x = several.picture().astype(np.float64) / 255
    chance = 1 / (1 + np.exp(-(4 * x.mean() - 2 + 0.5)))
    again = np.mean((several.case()["spectrum"].astype(np.float64) / 2) ** 2)
    words = np.exp([0, 3, 1]) / np.exp([0, 3, 1]).sum()
    assert result.status is Status.POSITIVE
    assert (result.label, result.score) == ("finding", pytest.approx(chance, abs=1e-6))
    found = {f.label: f for f in result.findings}
    assert set(found) == {"finding", "anomaly"}  # a mask's points cut pixels and answer nothing
    assert found["anomaly"].score == pytest.approx(again)
    assert found["anomaly"].status is Status.NEGATIVE
    assert set(result.probabilities) == {"finding", "no", "yes", "other"}  # an error is none
    assert [result.probabilities[k] for k in ("no", "yes", "other")] == pytest.approx(words)
    masks = {m.label: m for m in result.masks}
    assert set(masks) == {"bright", "dark", "organ"}  # the background is no answer
    level = 8 * x - 4
    for label, cells, threshold in (
        ("bright", level >= 0, 0.5),
        ("dark", 1 / (1 + np.exp(level)) >= 0.9, 0.9),
        ("organ", level > 0, None),
    ):
        mask = masks[label]
        assert np.array_equal(mask.values, cells)
        assert mask.values.dtype == bool
        assert not mask.values.flags.writeable
        assert mask.share == pytest.approx(cells.mean())
        assert mask.threshold == threshold
    assert [(v.name, v.value, v.unit) for v in result.values] == [
        ("volume", pytest.approx(10 * (63 - 60) / 20 + 100), "ml"), ("ratio", 1.0, ""),
    ]  # fmt: skip
    assert result.engine_digest is None
    told = json.loads(result.to_json())
    assert told["values"][0] == {"name": "volume", "value": pytest.approx(101.5), "unit": "ml"}
    for mask in told["masks"]:
        flat = np.repeat(np.arange(len(mask["runs"])) % 2, mask["runs"]).astype(bool)
        assert np.array_equal(flat.reshape(mask["shape"]), masks[mask["label"]].values)


def test_the_gravest_finding_leads_and_an_error_may_be_above_one(model: edge_dx.Model) -> None:
    result = model(changed(spectrum=np.full(6, 20, np.float32)))
    assert (result.label, result.status) == ("anomaly", Status.POSITIVE)
    assert result.score == pytest.approx(100)
    spectrum = np.full(6, 2 * np.sqrt(10.1), np.float32)
    dark = changed(spectrum=spectrum, picture=several.picture() // 4, facts={"age": 0, "sex": "F"})
    near = model(dark)
    assert near.status is Status.INDETERMINATE
    assert near.reasons[0].code is Reason.NEAR_THRESHOLD


@pytest.mark.parametrize(
    ("source", "reason", "told"),
    [
        ({"picture": several.picture()}, Reason.MISSING_INPUT, "facts is missing"),
        (changed(spectrum=None), Reason.MISSING_INPUT, "spectrum is missing"),
        (changed(other=1), Reason.UNKNOWN_INPUT, "other is no input; the model takes picture, f"),
        ({**several.case(), 3: 1}, Reason.UNKNOWN_INPUT, "3 is no input"),
        (changed(facts={"age": 63}), Reason.MISSING_INPUT, r"sex is missing; .* sex \(F or M\)"),
        (changed(facts={}), Reason.MISSING_INPUT, r"age \(0 to 120 years\)"),
        (changed(facts={"age": 63, "sex": "M", "x": 1}), Reason.UNKNOWN_INPUT, "x is no field"),
        (changed(facts={"age": 121, "sex": "M"}), Reason.OUT_OF_RANGE, "age is 121 years; .*0 to"),
        (changed(facts={"age": 63, "sex": "X"}), Reason.OUT_OF_RANGE, "sex is 'X'; it takes"),
        (changed(picture=np.full((16, 16), 9, np.uint8), facts={}), Reason.MISSING_INPUT, "age"),
    ],
)
def test_what_is_missing_or_out_of_range_is_not_analysed(
    model: edge_dx.Model, source: Any, reason: Reason, told: str
) -> None:
    result = model(source)
    assert (result.status, [why.code for why in result.reasons]) == (Status.NOT_ANALYSED, [reason])
    assert result.score is None
    assert result.probabilities == {}
    assert result.masks == ()
    assert result.values == ()
    assert result.input_digest is None
    assert re.search(told, result.reasons[0].detail)


def test_an_array_that_holds_no_numbers_fails(model: edge_dx.Model) -> None:
    spoilt = several.case()["spectrum"].copy()
    spoilt[3] = np.nan
    result = model(changed(spectrum=spoilt))
    assert (result.status, result.reasons[0].code) == (Status.FAILED, Reason.UNREADABLE)


@pytest.mark.parametrize("source", [several.picture(), "film.png", 3, None])
def test_several_inputs_are_given_by_name(model: edge_dx.Model, source: Any) -> None:
    with pytest.raises(TensorMismatch, match=r"takes picture, facts, spectrum: give a dict"):
        model(source)


def test_batches_give_the_same_answers_and_skip_what_cannot_be_judged(
    model: edge_dx.Model,
) -> None:
    cases = [
        changed(spectrum=np.arange(6, dtype=np.float32) * k) for k in range(5)
    ] + [changed(facts={"age": 200, "sex": "F"})]  # fmt: skip
    cases = [cases[5], *cases[:5]]
    together = list(model.batch(cases, size=4))
    for one, other in zip([model(source) for source in cases], together, strict=True):
        assert one.status is other.status
        assert [f.score for f in one.findings] == pytest.approx([f.score for f in other.findings])
        assert one.input_digest == other.input_digest


def test_the_digest_names_every_input(model: edge_dx.Model) -> None:
    def digest(**parts: Any) -> str | None:
        return model(changed(**parts)).input_digest

    one = digest()
    assert one == digest()
    others = {
        digest(facts={"age": 64, "sex": "M"}),
        digest(picture=several.picture() + 1),
        digest(spectrum=np.zeros(6, np.float32)),
    }
    assert len(others | {one}) == 4


# --- case files ---


@pytest.fixture
def case_file(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "film.png"), several.picture())
    np.save(tmp_path / "spectrum.npy", several.case()["spectrum"])
    file = tmp_path / "case.json"
    file.write_text(json.dumps({"picture": "film.png", "facts": several.case()["facts"],
                                "spectrum": "spectrum.npy"}))  # fmt: skip
    return file


def test_a_case_file_gives_the_same_answer(model: edge_dx.Model, case_file: Path) -> None:
    ours, theirs = model(several.case()), model(case_file)
    assert (theirs.status, theirs.score) == (ours.status, ours.score)
    assert theirs.file == str(case_file.parent / "film.png")
    (case_file.parent / "film.png").unlink()
    with pytest.raises(NotFound, match=r"film\.png: no such file"):
        model(case_file)


def test_the_command_judges_case_files(
    path: Path, case_file: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:  # fmt: skip
    bad = case_file.with_name("bad.json")
    bad.write_text("{")
    lost = case_file.with_name("lost.json")
    lost.write_text(case_file.read_text().replace("film.png", "gone.png"))
    young = case_file.with_name("young.json")
    young.write_text(case_file.read_text().replace("63", "-1"))
    shape = case_file.with_name("shape.json")
    shape.write_text(case_file.read_text().replace("spectrum.npy", "other.npy"))
    np.save(case_file.with_name("other.npy"), np.zeros(5))
    files = [str(f) for f in (case_file, bad, lost, young, shape)]
    arguments = ["run", str(path), *files, "--trust", trust.origin]
    assert main([*arguments, "--json", "--overlay", str(tmp_path / "drawn")]) == 3
    out = capsys.readouterr()
    lines = [json.loads(line) for line in out.out.splitlines()]
    assert [(line["status"], line["reasons"]) for line in lines] == [
        ("positive", []), ("failed", ["unreadable"]), ("failed", ["unreadable"]),
        ("not_analysed", ["out_of_range"]), ("failed", ["internal"]),
    ]  # fmt: skip
    assert len({tuple(line) for line in lines}) == 1  # the same keys, whatever happened
    assert lines[0]["values"][1]["value"] == 1.0
    assert "the model takes float32 of shape (6,) (dB)" in lines[4]["details"][0]
    assert cv2.imread(str(tmp_path / "drawn" / "0001_case.png")).shape[2] == 3
    assert main(arguments) == 3
    told = capsys.readouterr().out.splitlines()
    assert "volume 101.5 ml" in told[0]
    assert "bright on 50.0% of the image" in told[0]


def test_the_other_commands_tell_of_it(
    path: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(path), "--trust", trust.origin]) == 0
    out = capsys.readouterr().out
    for part in ("facts: facts; age (0 to 120 years), sex (F or M)", "spectrum: float32 [6]; dB",
                 "lung: mask (bright, dark)", "volume: values (volume [ml], ratio [])",
                 "again: reconstruction (anomaly, by how badly spectrum is drawn again)",
                 "nothing was measured", "sensitivity not measured"):  # fmt: skip
        assert part in out
    assert main(["verify", str(path), "--trust", trust.origin]) == 0
    assert "all: positive; largest difference: logits 0" in capsys.readouterr().out
    assert main(["demo", "--bundle", str(path), "--trust", trust.origin]) == 1
    assert "this model takes picture, facts, spectrum" in capsys.readouterr().err


# --- proof ---


@pytest.mark.parametrize("key", ["raw/all/picture", "raw/all/facts", "raw/all/spectrum"])
def test_the_proof_reads_every_input(tmp_path: Path, trust: TrustStore, key: str) -> None:
    parts = several.parts()
    _, outputs = several.unproved(parts).run_case(several.case())
    arrays = {**several.raw(), **{f"onnx-fp32/all/{k}": v for k, v in (outputs or {}).items()}}
    edge_dx.load(several.write(tmp_path / "good.edx", parts, arrays), trust=trust)
    moved = {**arrays, key: arrays[key] // 2}
    with pytest.raises(ProofFailed, match="differs by"):
        edge_dx.load(several.write(tmp_path / "moved.edx", parts, moved), trust=trust)
    lost = {name: array for name, array in arrays.items() if name != key}
    with pytest.raises(ProofFailed, match=f"{key} is not in golden"):
        edge_dx.load(several.write(tmp_path / "lost.edx", parts, lost), trust=trust)


@pytest.mark.parametrize("numbers", [np.zeros(3), np.zeros((2, 2)), np.zeros(0)])
def test_golden_facts_of_another_length_are_no_proof(
    tmp_path: Path, trust: TrustStore, numbers: Any
) -> None:
    parts = several.parts()
    _, outputs = several.unproved(parts).run_case(several.case())
    arrays = {**several.raw(), **{f"onnx-fp32/all/{k}": v for k, v in (outputs or {}).items()}}
    arrays["raw/all/facts"] = numbers
    with pytest.raises(ProofFailed, match="facts"):
        edge_dx.load(several.write(tmp_path / "odd.edx", parts, arrays), trust=trust)


def test_the_fake_takes_every_kind_too(path: Path, trust: TrustStore) -> None:
    result = edge_dx.load(path, engine="pretend", trust=trust)(several.case())
    assert result.status.analysed
    assert Reason.PRETEND_ENGINE in [why.code for why in result.reasons]
    assert len(result.masks) == 3


def test_a_rebuilt_engine_is_proved_again(
    path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge_dx.backends.onnx import OnnxCpu

    runs: list[int] = []
    real = proof.verify
    monkeypatch.setattr(proof, "verify", lambda *a, **k: runs.append(1) or real(*a, **k))
    for digest, proofs in ((None, 1), (None, 1), ("a" * 64, 2), ("b" * 64, 3), ("a" * 64, 3)):
        monkeypatch.setattr(OnnxCpu, "built", property(lambda _, d=digest: d))
        model = edge_dx.load(path, trust=trust)
        assert len(runs) == proofs
        result = model(several.case())
        assert result.engine_digest == digest
        assert result.to_dict()["engine_digest"] == digest


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("name", sorted(several.OUTPUTS))
def test_every_output_must_be_finite(model: edge_dx.Model, name: str, value: float) -> None:
    honest = model.backend.run

    def lying(feeds: Any) -> Any:
        outputs = honest(feeds)
        outputs[name] = outputs[name].copy()
        outputs[name].reshape(-1)[-1] = value
        return outputs

    model.backend.run = lying  # type: ignore[method-assign]  # a backend gone wrong
    result = model(several.case())
    assert (result.status, result.reasons[0].code) == (Status.FAILED, Reason.MODEL_INTEGRITY)
    assert dataclasses.astuple(result)[5] == {}
