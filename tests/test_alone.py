"""Models of one input that is no image, and answers without a threshold."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import edge_dx
from edge_dx import Status
from edge_dx.__main__ import main
from edge_dx.trust import TrustStore
from tests import several, tiny


def alone(tmp_path: Path, keep: str, outputs: set[str]) -> tuple[tiny.Parts, Path]:
    """The model cut down to one input, with the golden case of that input."""
    import onnx.utils

    whole, cut = tmp_path / "whole.onnx", tmp_path / "cut.onnx"
    whole.write_bytes(several.network())
    onnx.utils.extract_model(str(whole), str(cut), [keep], sorted(outputs))
    parts = several.parts()
    manifest = parts.manifest
    manifest["inputs"] = [i for i in manifest["inputs"] if i["name"] == keep]
    manifest["outputs"] = [o for o in manifest["outputs"] if o["name"] in outputs]
    (variant,) = manifest["variants"]
    variant["tolerance"] = dict.fromkeys(outputs, 1e-4)
    variant["operating_points"] = [
        p for p in variant["operating_points"] if p["output"] in outputs
    ]  # fmt: skip
    parts.members[variant["file"]] = cut.read_bytes()
    model = several.unproved(parts)
    result, found = model.run_case(several.case()[keep])
    manifest["golden"][0]["status"] = {"onnx-fp32": result.status.value}
    arrays = {f"onnx-fp32/all/{k}": v for k, v in (found or {}).items()}
    arrays["raw/all"] = several.raw()[f"raw/all/{keep}"]
    return parts, several.write(tmp_path / "alone.edx", parts, arrays)


def test_the_likeliest_label_is_measured_and_no_answer(tmp_path: Path, trust: TrustStore) -> None:
    _, path = alone(tmp_path, "spectrum", {"words"})
    model = edge_dx.load(path, trust=trust)
    result = model(several.case()["spectrum"])
    assert (result.status, result.label) == (Status.MEASURED, "yes")
    assert result.status.analysed
    assert result.score == pytest.approx(float(np.exp(3) / np.exp([0, 3, 1]).sum()))
    assert result.operating_point is None
    assert result.threshold is None
    assert result.findings == ()
    assert "measured; yes 0.84" in repr(result)
    np.save(tmp_path / "x.npy", several.case()["spectrum"])
    by_path = model(tmp_path / "x.npy")
    assert by_path.probabilities == result.probabilities
    assert by_path.file == str(tmp_path / "x.npy")
    assert by_path.input_digest == result.input_digest is not None
    by_name = model({"spectrum": tmp_path / "x.npy"})
    assert by_name.probabilities == result.probabilities


def test_facts_alone_are_given_as_they_are(tmp_path: Path, trust: TrustStore) -> None:
    _, path = alone(tmp_path, "facts", {"volume"})
    model = edge_dx.load(path, trust=trust)
    for source in ({"age": 63, "sex": "M"}, {"facts": {"age": 63, "sex": 1}}):
        result = model(source)
        assert (result.status, result.label, result.score) == (Status.MEASURED, None, None)
        assert [v.value for v in result.values] == pytest.approx([101.5, 1])
    file = tmp_path / "case.json"
    file.write_text('{"facts": {"age": 63, "sex": "M"}}')
    assert model(file).values == result.values
    assert "volume 101.5 ml" in repr(result)


def test_a_mask_without_scores_is_measured(
    tmp_path: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = alone(tmp_path, "picture", {"lung", "organ"})
    model = edge_dx.load(path, trust=trust)
    result = model(several.picture())
    assert result.status is Status.MEASURED
    assert [m.label for m in result.masks] == ["bright", "dark", "organ"]
    film = tmp_path / "film.png"
    cv2.imwrite(str(film), several.picture())
    drawn = tmp_path / "drawn"
    assert main(["run", str(path), str(film), "--trust", trust.origin,
                 "--overlay", str(drawn)]) == 0  # fmt: skip
    assert "measured; bright on 50.0%" in capsys.readouterr().out
    assert (drawn / "0001_film.png").is_file()


def test_a_spectrum_alone_has_no_overlay(
    tmp_path: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    _, path = alone(tmp_path, "spectrum", {"again"})
    np.save(tmp_path / "x.npy", several.case()["spectrum"])
    arguments = ["run", str(path), str(tmp_path / "x.npy"), "--trust", trust.origin]
    assert main([*arguments, "--json", "--overlay", str(tmp_path / "drawn")]) == 0
    out = capsys.readouterr()
    assert "no overlay" in out.err
    line = json.loads(out.out)
    assert (line["status"], line["label"]) == ("negative", "anomaly")
    assert line["probabilities"] == {}
