"""End to end: a user's own module becomes a bundle, with data and without."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import numpy as np
import pytest

from edge_dx import study
from edge_dx.backends import open_backend
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.errors import UntrustedKey
from edge_dx.model import Model
from edge_dx.trust import TrustStore, generate_key_pair, read_public_key
from export.__main__ import main
from export.errors import (
    DataMissing,
    EvidenceMismatch,
    GateFailed,
    PatientLeak,
    RecipeError,
)
from export.pipeline import Options, export
from export.recipe import read_recipe
from export.scheme import DOT_PRODUCTS
from tests.export.conftest import changed


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


@pytest.fixture(scope="module")
def measured(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Bundle]:
    """A project with evidence, and the bundle exported with data. Not to be written to."""
    import shutil

    directory = tmp_path_factory.mktemp("measured") / "project"
    shutil.copytree(made_once, directory)
    recipe = read_recipe(directory / "recipe.toml")
    bundle = export(recipe, directory / "tiny.edx", Options(keep_evidence=True, say=quiet))
    return directory, bundle


@pytest.fixture
def without_data(measured: tuple[Path, Bundle], tmp_path: Path) -> Path:
    """The project with its evidence but without its films."""
    import shutil

    copy = tmp_path / "clone"
    shutil.copytree(measured[0], copy)
    for path in (*copy.glob("*.png"), copy / "films.csv", copy / "tiny.edx"):
        path.unlink()
    return copy


def test_the_bundle_says_what_was_measured(measured: tuple[Path, Bundle]) -> None:
    bundle = measured[1]
    manifest = bundle.manifest
    assert [v.name for v in manifest.variants] == ["onnx-fp32", "onnx-int8"]
    image = manifest.inputs[0]
    assert image.dtype == "uint8"
    assert [type(s).__name__ for s in image.in_graph] == ["Normalise"]
    for variant in manifest.variants:
        (point,) = variant.operating_points
        assert point.sensitivity.value >= 0.9
        assert point.band[0] < point.threshold < point.band[1]
        told = variant.fidelity
        assert told is not None
        assert point.band[1] - point.band[0] <= max(2.01 * told.max_score_error, 2.1e-6)
        assert told.n == 24
        assert {g.name for g in told.groups} == {"east", "west"}
        assert told.latency_p50_ms is not None
    fp32, int8 = manifest.variants
    assert fp32.fidelity.max_score_error < 1e-5
    assert fp32.fidelity.decision_flips == 0
    assert fp32.operating_points[0].threshold != int8.operating_points[0].threshold
    provenance = manifest.provenance
    assert provenance.validation is not None
    assert provenance.validation.n == 24
    assert provenance.calibration is not None
    assert provenance.calibration.classes == {"blob": 6, "none": 6}
    assert int8.quantization["ranges"] == "minmax"
    assert int8.runs_on == DOT_PRODUCTS
    assert set(fp32.fidelity.engines) == set(int8.engines)


def test_cards_tell_it_to_programs_and_people(measured: tuple[Path, Bundle]) -> None:
    members = measured[1].members
    card = json.loads(members["card.json"])
    assert card["variants"]["onnx-int8"]["bytes"] == len(members["variants/onnx-int8.onnx"])
    assert card["training_files"] == []
    text = members["card.md"].decode()
    for part in ("Intended use", "onnx-int8", "| east (", "Licence"):
        assert part in text


def test_a_clone_without_data_makes_the_same_files(
    measured: tuple[Path, Bundle], without_data: Path
) -> None:
    said: list[str] = []
    recipe = read_recipe(without_data / "recipe.toml")
    bundle = export(recipe, without_data / "out.edx", Options(say=said.append))
    assert bundle.members == measured[1].members
    assert bundle.digest == measured[1].digest
    assert any("byte for byte" in line for line in said)
    assert any("validation set: generated, part b is not here" in line for line in said)


def test_other_weights_do_not_get_stored_figures(without_data: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(without_data / "weights.safetensors")
    state["head.weight"] = state["head.weight"] * 1.5
    save_file(state, without_data / "weights.safetensors")
    recipe = read_recipe(without_data / "recipe.toml")
    with pytest.raises(EvidenceMismatch) as caught:
        export(recipe, without_data / "out.edx", Options(say=quiet))
    assert "activation ranges of onnx-int8 belong to the graph" in str(caught.value)
    assert "--data" in str(caught.value)
    alone = Options(say=quiet, variants=("onnx-fp32",))
    with pytest.raises(EvidenceMismatch, match=r"[0-9a-f]{64}.*[0-9a-f]{64}"):
        export(recipe, without_data / "out.edx", alone)
    assert not (without_data / "out.edx").exists()


def test_another_preparation_does_not_get_stored_figures(without_data: Path) -> None:
    path = changed(without_data, "low = 1, high = 99", "low = 2, high = 98")
    with pytest.raises(EvidenceMismatch, match="another preparation"):
        export(read_recipe(path), without_data / "out.edx", Options(say=quiet))


def test_neither_data_nor_evidence(without_data: Path) -> None:
    (without_data / "evidence.json").unlink()
    recipe = read_recipe(without_data / "recipe.toml")
    with pytest.raises(DataMissing, match=r"data\.validation \(generated, part b\).*--data DIR"):
        export(recipe, without_data / "out.edx", Options(say=quiet))
    with pytest.raises(DataMissing, match="evidence is written from data"):
        export(recipe, without_data / "out.edx", Options(keep_evidence=True, say=quiet))


def test_a_patient_in_both_sets_stops_the_export(project: Path) -> None:
    table = project / "films.csv"
    table.write_text(table.read_text().replace(",p30,", ",p3,"))
    with pytest.raises(PatientLeak, match="p3"):
        export(
            read_recipe(changed(project, "size = 12\n", "")),
            project / "out.edx",
            Options(say=quiet),
        )


def test_a_budget_is_held(project: Path) -> None:
    path = changed(project, "[eligibility]", "[budget]\nfile_mb = 0.001\n[eligibility]")
    with pytest.raises(GateFailed, match=r"budget\.file_mb allows 0\.001"):
        export(read_recipe(path), project / "out.edx", Options(say=quiet))


def test_a_golden_case_that_the_gate_declines_alone_proves_nothing(project: Path) -> None:
    limits = 'min_contrast = 0.05\n[[golden]]\nname = "b"\nwhat = "blank"\npattern = "blank"\n'
    text = (
        (project / "recipe.toml").read_text().replace("[eligibility]\n", f"[eligibility]\n{limits}")
    )
    text = text.replace("likeness = { side = 8, min_correlation = -1.0 }\n", "")
    (project / "recipe.toml").write_text(text)
    with pytest.raises(RecipeError, match="no case reaches the model"):
        export(read_recipe(project / "recipe.toml"), project / "out.edx", Options(say=quiet))


RGB = """
name = "rgb"
version = "0.0.1"
title = "Three classes"
intended_use = "Tests."
licence = "MIT"
[model]
factory = "rgb.py:build"
weights = "rgb.pt"
kwargs = { width = 4 }
[input]
shape = [3, 32, 32]
unit = "grey level"
prepare = [
  { step = "colour", to = "rgb" },
  { step = "resize", height = 32, width = 32, interpolation = "linear" },
  { step = "intensity", kind = "fixed", low = 0, high = 255 },
  { step = "normalise", mean = [123.675, 116.28, 103.53], std = [58.395, 57.12, 57.375] },
]
[[outputs]]
kind = "scores"
name = "scores"
labels = ["none", "blob", "stripes"]
activation = "softmax"
[data.validation]
name = "b"
csv = "films.csv"
positive = { none = ["no"], blob = ["yes"] }
where = { part = ["b"] }
[data.calibration]
name = "a"
csv = "films.csv"
positive = { none = ["no"], blob = ["yes"] }
where = { part = ["a"] }
[[operating_points]]
name = "find"
label = "blob"
youden = true
[quantization]
methods = ["minmax"]
[gates]
sensitivity_margin = 1.0
specificity_margin = 1.0
auc_margin = 0.3
auc_loss = 0.1
flips = 0.3
"""


def test_the_command_exports_a_colour_softmax_model_and_signs_it(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "rgb.toml").write_text(RGB)
    assert main(["keygen", "clinic", "--out", str(project / "keys")]) == 0
    out = project / "rgb.edx"
    key = project / "keys" / "clinic.key"
    assert main([str(project / "rgb.toml"), "-o", str(out), "--key", str(key)]) == 0
    told = capsys.readouterr()
    assert "2 variants proved, signed with" in told.err
    bundle = open_bundle(out, trust=TrustStore.from_directory(project / "keys"))
    assert bundle.signer == "clinic"
    variant = bundle.manifest.variant("onnx-int8")
    payload = bundle.members[variant.file]
    backend = open_backend("onnx", bundle.manifest, variant, payload, 1)
    with Model(bundle, variant, backend, "onnx") as model:
        result = model(study(np.full((50, 60, 3), 90, np.uint8)))
    assert result.status.analysed
    assert sum(result.probabilities.values()) == pytest.approx(1)


def test_the_command_tells_an_error_in_one_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(project, 'title = "A tiny model"', 'titel = "A tiny model"')
    assert main([str(path), "-o", str(project / "out.edx")]) == 1
    told = capsys.readouterr().err
    assert told.startswith("edge-dx-export: RecipeError: ")
    assert told.count("\n") == 1
    with pytest.raises(SystemExit) as caught:
        main([str(path)])
    assert caught.value.code == 2


def test_keygen_makes_a_private_file_and_never_overwrites(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keygen", "me", "--out", str(tmp_path)]) == 0
    private = tmp_path / "me.key"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert len(read_public_key(tmp_path / "me.pub")) == 32
    before = private.read_bytes()
    assert main(["keygen", "me", "--out", str(tmp_path)]) == 1
    assert "not overwritten" in capsys.readouterr().err
    assert private.read_bytes() == before
    private.unlink()
    assert main(["keygen", "me", "--out", str(tmp_path)]) == 1  # the public half alone counts too
    with pytest.raises(SystemExit):
        main(["keygen", "../me", "--out", str(tmp_path)])


def test_sign_replaces_any_signature_but_not_a_damaged_bundle(
    measured: tuple[Path, Bundle], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "tiny.edx"
    path.write_bytes((measured[0] / "tiny.edx").read_bytes())
    stores = []
    for name in ("first", "second"):
        private, public = generate_key_pair()
        (tmp_path / f"{name}.key").write_bytes(private)
        directory = tmp_path / name
        directory.mkdir()
        (directory / f"{name}.pub").write_bytes(public)
        stores.append(TrustStore.from_directory(directory))
        assert main(["sign", str(path), "--key", str(tmp_path / f"{name}.key")]) == 0
        assert open_bundle(path, trust=stores[-1]).signer == name
    with pytest.raises(UntrustedKey):
        open_bundle(path, trust=stores[0])
    assert main(["sign", str(path), "--key", str(tmp_path / "none.key")]) == 1
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    assert main(["sign", str(path), "--key", str(tmp_path / "first.key")]) == 1
    assert "DigestMismatch" in capsys.readouterr().err
