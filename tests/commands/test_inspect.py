"""`edge-dx inspect`: what a bundle promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_dx import manifest as contract
from edge_dx.__main__ import main
from edge_dx.bundle import open_bundle, write_bundle
from edge_dx.trust import TrustStore
from tests import tiny


def test_it_tells_what_a_person_needs(
    tiny_path: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tiny_path), "--trust", trust.origin]) == 0
    out = capsys.readouterr().out
    digest = open_bundle(tiny_path, trust=trust).digest
    for part in ("Tiny test model (tiny 0.0.1, classification)", "signed by      tester", digest,
                 "intended use   tests", "colour → resize → intensity + normalise in the graph",
                 "logits: scores (finding)", "engines onnx", "AUC not measured",
                 "triage: finding ≥ 0.5000; sensitivity 0.900 [0.850, 0.950]",
                 "# Tiny"):  # fmt: skip
        assert part in out


def test_its_json_is_the_manifest_itself(
    tiny_path: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["inspect", str(tiny_path), "--json", "--trust", trust.origin]) == 0
    out = capsys.readouterr().out.encode()
    assert contract.parse(out) == open_bundle(tiny_path, trust=trust).manifest


def test_an_unsigned_bundle_is_shown_as_such(
    parts: tiny.Parts, tmp_path: Path, trust: TrustStore, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "unsigned.edx"
    write_bundle(path, parts.built(), parts.members)
    assert main(["inspect", str(path), "--trust", trust.origin]) == 1
    assert "--allow-unsigned" in capsys.readouterr().err
    assert main(["inspect", str(path), "--allow-unsigned", "--trust", trust.origin]) == 0
    assert "NOBODY (unsigned)" in capsys.readouterr().out


def test_a_bundle_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "no-such-bundle"]) == 1
    assert "no such bundle" in capsys.readouterr().err
