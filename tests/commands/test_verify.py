"""`edge-dx verify`: every golden case, every variant, every engine that is here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from edge_dx import backends
from edge_dx.__main__ import main
from edge_dx.bundle import write_bundle
from edge_dx.trust import TrustStore
from tests import tiny

Capture = pytest.CaptureFixture[str]


def write(path: Path, parts: tiny.Parts) -> str:
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    return str(path)


@pytest.fixture
def trusting(trust: TrustStore) -> list[str]:
    return ["--trust", trust.origin]


def test_a_good_bundle_passes_with_its_differences(
    tiny_path: Path, trusting: list[str], capsys: Capture
) -> None:
    assert main(["verify", str(tiny_path), *trusting]) == 0
    out = capsys.readouterr().out
    assert "signed by tester" in out
    assert "pass  onnx-fp32 on onnx" in out
    assert "largest difference: logits" in out


def test_its_json_is_one_object(tiny_path: Path, trusting: list[str], capsys: Capture) -> None:
    assert main(["verify", str(tiny_path), "--json", *trusting]) == 0
    told = json.loads(capsys.readouterr().out)
    assert list(told) == ["bundle", "proofs", "others"]
    (found,) = told["proofs"]
    assert found["passed"] is True
    assert (found["variant"], found["engine"]) == ("onnx-fp32", "onnx")
    assert found["cases"][0]["differences"]["logits"] <= 1e-4


def test_a_file_that_computes_something_else_fails(
    parts: tiny.Parts, tmp_path: Path, trusting: list[str], capsys: Capture
) -> None:
    parts.members["variants/onnx-fp32.onnx"] = tiny.network(seed=3)
    path = write(tmp_path / "other.edx", parts)
    assert main(["verify", path, *trusting]) == 1
    out = capsys.readouterr().out
    assert "FAIL  onnx-fp32 on onnx" in out
    assert "logits differs by" in out


def test_an_engine_that_gives_no_number_fails_in_json_too(
    parts: tiny.Parts, tmp_path: Path, trusting: list[str], capsys: Capture
) -> None:
    parts.members["variants/onnx-fp32.onnx"] = tiny.network(bias=float("nan"))
    path = write(tmp_path / "nan.edx", parts)
    assert main(["verify", path, "--json", *trusting]) == 1

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    told = json.loads(capsys.readouterr().out, parse_constant=refuse)
    assert told["proofs"][0]["cases"][0]["differences"]["logits"] is None
    assert told["proofs"][0]["passed"] is False


def test_a_model_that_cannot_be_loaded_fails_and_the_others_are_tried(
    parts: tiny.Parts, tmp_path: Path, trusting: list[str], capsys: Capture
) -> None:
    second = tiny.variant("onnx-int8")
    parts.manifest["variants"].append(second)
    parts.manifest["golden"][0]["status"]["onnx-int8"] = "positive"
    parts.members[second["file"]] = b"garbage"
    path = write(tmp_path / "half.edx", parts)
    assert main(["verify", path, *trusting]) == 1
    out = capsys.readouterr().out
    assert "pass  onnx-fp32 on onnx" in out
    assert "FAIL  onnx-int8 on onnx: variant onnx-int8 on engine onnx" in out
    assert main(["verify", path, "--json", *trusting]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["others"][0]["outcome"] == "failed"
    assert main(["verify", path, "--variant", "onnx-fp32", *trusting]) == 0


def test_what_is_not_here_is_skipped_with_the_reason_and_nothing_is_claimed(
    parts: tiny.Parts, tmp_path: Path, trusting: list[str], capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    absent = backends.Engine("x", "X", ("onnx",), ("no_such_package",), "pip install nothing")
    monkeypatch.setitem(backends.ENGINES, "absent", absent)
    parts.manifest["variants"][0]["engines"] = ["absent", "unheard-of"]
    path = write(tmp_path / "absent.edx", parts)
    assert main(["verify", path, *trusting]) == 1
    out = capsys.readouterr().out
    assert "skip  onnx-fp32 on absent: no_such_package is not installed; pip install nothing" in out
    assert "skip  onnx-fp32 on unheard-of: unknown here" in out
    assert "nothing could be proved" in out
    assert main(["verify", path, "--json", *trusting]) == 1
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["proofs"] == []
    assert [o["outcome"] for o in told["others"]] == ["skipped", "skipped"]


def test_a_damaged_or_strange_bundle_is_not_verified(
    tiny_path: Path, tiny_bytes: bytes, trusting: list[str], tmp_path: Path, capsys: Capture
) -> None:
    tiny_path.write_bytes(tiny_bytes[:-1])
    assert main(["verify", str(tiny_path), *trusting]) == 1
    assert "truncated" in capsys.readouterr().err
    tiny_path.write_bytes(tiny_bytes)
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tiny_path), "--trust", str(tmp_path / "empty")]) == 1
    assert "not among the trusted keys" in capsys.readouterr().err
    assert main(["verify", "no-such-bundle"]) == 1
    assert "no such bundle" in capsys.readouterr().err


def test_a_variant_for_other_processors_is_skipped_and_no_fault(
    parts: tiny.Parts, tmp_path: Path, trusting: list[str], capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    exact = {**parts.manifest["variants"][0], "name": "onnx-int8", "precision": "int8",
             "runs_on": ["avx512_vnni"]}  # fmt: skip
    parts.manifest["variants"].append(exact)
    parts.manifest["golden"][0]["status"]["onnx-int8"] = "positive"
    path = write(tmp_path / "two.edx", parts)
    monkeypatch.setattr("edge_dx.device.instruction_sets", lambda: ("avx2",))
    assert main(["verify", path, *trusting]) == 0
    out = capsys.readouterr().out
    assert "pass  onnx-fp32 on onnx" in out
    assert "skip  onnx-int8 on onnx: variant onnx-int8 is right for processors with avx512" in out
    assert main(["verify", path, *trusting, "--variant", "onnx-int8", "--engine", "onnx"]) == 1
    assert "saturate" in capsys.readouterr().err
    assert main(["verify", path, *trusting, "--engine", "onnx"]) == 0
    assert "skip  onnx-int8 on onnx" in capsys.readouterr().out


def test_of_an_engine_its_own_variants_are_proved(
    parts: tiny.Parts, tmp_path: Path, trusting: list[str], capsys: Capture
) -> None:
    other = {**parts.manifest["variants"][0], "name": "other-fp32", "engines": ["elsewhere"]}
    parts.manifest["variants"].append(other)
    parts.manifest["golden"][0]["status"]["other-fp32"] = "positive"
    path = write(tmp_path / "two.edx", parts)
    assert main(["verify", path, *trusting, "--engine", "onnx"]) == 0
    assert "other-fp32" not in capsys.readouterr().out
    assert main(["verify", path, *trusting, "--variant", "other-fp32", "--engine", "onnx"]) == 1
    assert "was not measured on engine onnx" in capsys.readouterr().err
    assert main(["verify", path, *trusting, "--engine", "nosuch"]) == 1
    assert "no engine is called 'nosuch'" in capsys.readouterr().err
