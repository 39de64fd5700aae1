"""Operators that no fast kernel takes run only where that is asked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_dx.__main__ import main
from edge_dx.backends import engine_state, tflite
from edge_dx.bundle import write_bundle
from edge_dx.errors import EngineRefused
from edge_dx.model import load
from tests import tiny

pytestmark = pytest.mark.skipif(
    not engine_state("tflite")[0], reason=f"engine tflite: {engine_state('tflite')[1]}"
)


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle of one TFLite file, on an interpreter that leaves an operator out."""
    parts = tiny.parts()
    variant = {**tiny.tflite_variant("fp32"), "undelegated": 0}
    parts.manifest["variants"] = [variant]
    parts.manifest["golden"] = []
    del parts.members["golden.npz"], parts.members["variants/onnx-fp32.onnx"]
    parts.members[variant["file"]] = tiny.tflite_file("fp32")
    path = tmp_path / "slow.edx"
    write_bundle(path, parts.built(), parts.members)
    monkeypatch.setattr(tflite, "_undelegated", lambda interpreter: ("SOFTMAX",))
    return path


def test_they_are_refused_and_can_be_asked_for(slow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edge_dx import proof

    monkeypatch.setattr(proof, "ensure", lambda model: None)  # this bundle has no golden cases
    with pytest.raises(EngineRefused, match=r"leave out 1 operators \(SOFTMAX\), the manifest acc"):
        load(slow, allow_unsigned=True)
    with load(slow, allow_unsigned=True, allow_slow=True) as model:
        assert model(tiny.film(3)).status.analysed


def test_the_commands_take_it_too(slow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(slow), "--allow-unsigned"]) == 1
    assert "leave out 1 operators" in capsys.readouterr().out
    main(["verify", str(slow), "--allow-unsigned", "--allow-slow"])
    told = capsys.readouterr().out
    assert "leave out" not in told
    assert "golden.npz" in told  # it was opened; what is wanting is another thing
