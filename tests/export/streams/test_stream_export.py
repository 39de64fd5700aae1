from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from edge_dx import proof
from edge_dx.bundle import open_bundle
from edge_dx.manifest import Stream
from edge_dx.signal_model import SignalModel
from export.__main__ import main
from export.errors import DataMissing, EvidenceMismatch, GateFailed, RecipeError
from export.pipeline import Options
from export.streams.folds import read_folds
from export.streams.modules import read_networks
from export.streams.pipeline import export
from export.streams.recipe import read_recipe
from tests.export.streams.conftest import ZOO, write_recipe, write_record


def quiet(**given: object) -> Options:
    return Options(say=lambda line: None, **given)  # type: ignore[arg-type]  # its own fields


@pytest.fixture(scope="module")
def made(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The recipe exported with its evidence, through the command."""
    folder = tmp_path_factory.mktemp("made")
    shutil.copytree(project, folder, dirs_exist_ok=True)
    given = [str(folder / "recipe.toml"), "-o", str(folder / "tiny.edx"), "--write-evidence"]
    assert main(given) == 0
    return folder


def test_the_bundle_proves_itself_and_says_what_was_measured(made: Path) -> None:
    bundle = open_bundle(made / "tiny.edx", allow_unsigned=True)
    manifest = bundle.manifest
    assert isinstance(manifest.stream, Stream)
    assert [v.name for v in manifest.variants] == ["onnx-fp32", "onnx-int8"]
    for variant in manifest.variants:
        model = SignalModel.opened(bundle, variant, "onnx")
        proved = proof.verify(model)
        model.close()
        assert proved.passed, proved
        assert {point.label for point in variant.operating_points} == {"beat", "V", "S"}
        assert variant.fidelity is not None
        figures = variant.fidelity.figures
        assert {f.of for f in figures or ()} >= {"QRS", "VEB"}
        assert all("LEARNED FROM" in f.data for f in figures or ())
        assert variant.fidelity.latency_p50_ms
    card = bundle.members["card.md"].decode()
    assert "THE NETWORKS HAVE LEARNED FROM THESE RECORDINGS" in card
    assert "torch, state int8" in card
    told = json.loads(bundle.members["evidence.json"])
    drifts = {(d["variant"], d["network"]): d for d in told["drift"]}
    worst = {key: max(s["state_max"] for s in d["stretches"]) for key, d in drifts.items()}
    assert worst["onnx-fp32", "at_once"] < 1e-5 < worst["torch, state int8", "at_once"]
    sizes = {m: len(raw) for m, raw in bundle.members.items() if "int8" in m}
    assert all(size <= 100_000 for size in sizes.values())
    assert len(sizes) == 2


def test_without_the_recordings_the_same_bundle_comes_out(made: Path, tmp_path: Path) -> None:
    for name in ("recipe.toml", "evidence.json"):
        shutil.copy(made / name, tmp_path)
    export(read_recipe(tmp_path / "recipe.toml"), tmp_path / "tiny.edx", quiet())
    assert (tmp_path / "tiny.edx").read_bytes() == (made / "tiny.edx").read_bytes()


def test_one_variant_alone_is_exported_from_the_evidence(made: Path, tmp_path: Path) -> None:
    options = quiet(variants=("onnx-int8",))
    bundle = export(read_recipe(made / "recipe.toml"), tmp_path / "one.edx", options)
    assert [v.name for v in bundle.manifest.variants] == ["onnx-int8"]


def test_evidence_of_other_files_or_another_recipe_is_refused(made: Path, tmp_path: Path) -> None:
    for name in ("recipe.toml", "evidence.json"):
        shutil.copy(made / name, tmp_path)
    path = tmp_path / "recipe.toml"
    path.write_text(path.read_text().replace("high_hz = 40.0", "high_hz = 35.0"))
    with pytest.raises(EvidenceMismatch, match="another input"):
        export(read_recipe(path), tmp_path / "tiny.edx", quiet())
    shutil.copy(made / "recipe.toml", path)
    told = json.loads((tmp_path / "evidence.json").read_text())
    told["variants"]["onnx-int8"]["sha256"]["detector"] = "0" * 64
    (tmp_path / "evidence.json").write_text(json.dumps(told))
    with pytest.raises(EvidenceMismatch, match="onnx-int8: the files just exported"):
        export(read_recipe(path), tmp_path / "tiny.edx", quiet())
    assert not (tmp_path / "tiny.edx").exists()


def test_neither_recordings_nor_evidence(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    with pytest.raises(DataMissing, match="--data DIR"):
        export(read_recipe(path), tmp_path / "tiny.edx", quiet())


def test_a_missing_record_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_record(tmp_path / "set", "one", 0, seconds=12)
    path = write_recipe(tmp_path)
    assert main([str(path), "-o", str(tmp_path / "tiny.edx")]) == 1
    assert "two.hea" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("total_mb = 1.0", "total_mb = 0.1", "limits.total_mb"),
        ("changed_beats = 0.2", "changed_beats = 0.2\nint8_kb = 20.0", "limits.int8_kb"),
    ],
)
def test_what_is_too_large_is_not_packed(made: Path, tmp_path: Path, old: str, new: str,
                                         told: str) -> None:  # fmt: skip
    from export.streams.evidence import contract_digest

    path = write_recipe(tmp_path, old, new)
    shutil.copytree(made / "set", tmp_path / "set")
    evidence = json.loads((made / "evidence.json").read_text())
    evidence["contract_sha256"] = contract_digest(read_recipe(path))
    (tmp_path / "evidence.json").write_text(json.dumps(evidence))
    with pytest.raises(GateFailed, match=told):
        export(read_recipe(path), tmp_path / "tiny.edx", quiet())
    assert not (tmp_path / "tiny.edx").exists()


def test_a_patient_in_no_fold_is_told(tmp_path: Path) -> None:
    import hashlib

    weights = (ZOO / "detector.safetensors").read_bytes()
    (tmp_path / "fold0.safetensors").write_bytes(weights)
    told = {"held_out": ["one"], "weights_sha256": hashlib.sha256(weights).hexdigest()}
    (tmp_path / "fold0.json").write_text(json.dumps(told))
    path = write_recipe(tmp_path, "[[beats]]", 'folds = ["fold0"]\n\n[[beats]]')
    recipe = read_recipe(path)
    with pytest.raises(RecipeError, match="patient two is held out of 0"):
        read_folds(recipe, "detector", read_networks(recipe), ["one", "two"])


def test_options_of_images_are_refused(tmp_path: Path) -> None:
    path = write_recipe(tmp_path)
    with pytest.raises(RecipeError, match="--drop-failed"):
        export(read_recipe(path), tmp_path / "tiny.edx", quiet(drop_failed=True))
