"""`compare`: what an update changes, before it is shipped."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from export.__main__ import main
from export.pipeline import Options, export
from export.recipe import read_recipe
from tests.export.conftest import changed

Capture = pytest.CaptureFixture[str]


def quiet(line: str) -> None:
    """Takes progress lines and drops them."""


@pytest.fixture(scope="module")
def bundles(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """a.edx, b.edx with noisier weights, and the project. Not to be written to."""
    project = tmp_path_factory.mktemp("compare") / "project"
    shutil.copytree(made_once, project)
    export(read_recipe(project / "recipe.toml"), project / "a.edx", Options(say=quiet))
    state = load_file(project / "weights.safetensors")
    rng = np.random.default_rng(0)
    for name in ("stem.weight", "wide.weight"):
        noise = rng.normal(0, 0.8 * float(state[name].std()), tuple(state[name].shape))
        state[name] = state[name] + np.float32(1) * state[name].new_tensor(noise)
    save_file(state, project / "weights.safetensors")
    path = changed(project, 'version = "1.2.3"', 'version = "1.3.0"')
    export(read_recipe(path), project / "b.edx", Options(say=quiet))
    return project


def compared(capsys: Capture, *arguments: str | Path) -> tuple[int, Any]:
    code = main(["compare", *map(str, arguments), "--allow-unsigned", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_bundle_is_as_good_as_itself(bundles: Path, capsys: Capture) -> None:
    code, told = compared(capsys, bundles / "a.edx", bundles / "a.edx")
    assert code == 0
    assert told["contract"] == []
    assert [v["variant"] for v in told["variants"]] == ["onnx-fp32", "onnx-int8"]
    for variant in told["variants"]:
        assert (variant["studies"], variant["changed"]) == (24, 0)
        assert [f["figure"] for f in variant["figures"]] == [
            "triage: AUC", "triage: sensitivity", "triage: specificity",
        ]  # fmt: skip
        assert {f["difference"]["low"] for f in variant["figures"]} == {0.0}


def test_an_update_is_compared_study_by_study(bundles: Path, capsys: Capture) -> None:
    code, told = compared(capsys, bundles / "a.edx", bundles / "b.edx")
    assert any("version: '1.2.3' → '1.3.0'" in line for line in told["contract"])
    assert any(line.startswith("weights_sha256") for line in told["contract"])
    figures = [f for v in told["variants"] for f in v["figures"]]
    for figure in figures:
        off = figure["difference"]
        assert off["value"] == pytest.approx(figure["b"] - figure["a"], abs=1e-5)
        assert off["low"] <= off["value"] <= off["high"]
        assert off["n"] == 24
    worse = any(f["difference"]["low"] < -f["margin"] for f in figures)
    assert told["may_be_worse"] == worse
    assert code == (3 if worse else 0)


def test_a_margin_is_what_the_caller_says(bundles: Path, capsys: Capture) -> None:
    wide = [f"--{name}-margin=1.1" for name in ("auc", "sensitivity", "specificity")]
    assert compared(capsys, bundles / "a.edx", bundles / "b.edx", *wide)[0] == 0


def test_for_people_it_says_the_same(bundles: Path, capsys: Capture) -> None:
    path = str(bundles / "a.edx")
    assert main(["compare", path, path, "--allow-unsigned", "--variant", "onnx-int8"]) == 0
    out = capsys.readouterr().out
    assert "the contracts say the same" in out
    assert "triage: AUC:" in out
    assert "onnx-fp32" not in out


def test_films_are_judged_by_both(bundles: Path, tmp_path: Path, capsys: Capture) -> None:
    films = tmp_path / "films"
    films.mkdir()
    with (films / "labels.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["file", "label", "patient_id"])
        for i in range(12, 36):
            shutil.copy(bundles / f"{i:02d}.png", films)
            table.writerow([f"{i:02d}.png", "blob" if i % 2 else "normal", f"p{i}"])
        (films / "broken.png").write_bytes(b"\x89PNG")
        table.writerow(["broken.png", "normal", "q"])
    wide = [f"--{name}-margin=1.1" for name in ("auc", "sensitivity", "specificity")]
    same = bundles / "a.edx"
    code, told = compared(capsys, same, same, "--films", films, *wide)
    assert code == 0
    for variant in told["variants"]:
        assert variant["studies"] == 24
        assert variant["lost"] == 0
        assert "1 films are left out" in variant["told"]
    by_record = compared(capsys, same, same)[1]["variants"]
    assert [v["figures"] for v in by_record] == [
        [{**f, "margin": g["margin"]} for f, g in zip(v["figures"], w["figures"], strict=True)]
        for v, w in zip(told["variants"], by_record, strict=True)
    ]
    (films / "labels.csv").unlink()
    assert main(["compare", str(same), str(same), "--allow-unsigned", "--films", str(films)]) == 1
    assert "has no labels.csv with films of the label 'blob'" in capsys.readouterr().err


def test_what_cannot_be_compared_is_never_called_as_good(
    bundles: Path, tmp_path: Path, capsys: Capture
) -> None:
    project = tmp_path / "project"
    shutil.copytree(bundles, project)
    table = (project / "films.csv").read_text()
    swapped = "\n".join(
        line.replace(",a", ",x").replace(",b", ",a").replace(",x", ",b") if n else line
        for n, line in enumerate(table.splitlines())
    )
    (project / "films.csv").write_text(swapped + "\n")
    recipe = read_recipe(project / "recipe.toml")
    export(recipe, project / "c.edx", Options(say=quiet, variants=("onnx-fp32",)))
    code, told = compared(capsys, bundles / "a.edx", project / "c.edx")
    assert code == 3
    assert "different studies" in told["variants"][0]["told"]
    assert any("variant onnx-int8 is gone" in line for line in told["contract"])
    only = ["compare", str(bundles / "a.edx"), str(project / "c.edx"), "--allow-unsigned"]
    assert main([*only, "--variant", "onnx-int8"]) == 1
    assert "have no variant onnx-int8 in common" in capsys.readouterr().err
