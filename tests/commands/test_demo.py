"""`edge-dx demo` on the tiny bundle: the whole journey, and each way it can fail."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import cv2
import pytest

from edge_dx.__main__ import main
from edge_dx.bundle import write_bundle
from edge_dx.commands import demo_inputs
from tests import tiny
from tests.test_report import HOSTILE, Tags


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / "tester.pub").write_bytes(tiny.PUBLIC_KEY)
    return directory


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """Ten films with labels, a picture that no list names, and three bad files."""
    directory = tmp_path / "films"
    (directory / "masks").mkdir(parents=True)
    lines = []
    for seed in range(10):
        name = "<script>.png" if seed == 3 else f"{seed}.png"
        cv2.imwrite(str(directory / name), tiny.film(seed))
        label = "finding" if seed % 2 else HOSTILE if seed == 4 else "none"
        lines.append((name, label, f"p{seed}", "north" if seed < 5 else "south"))
    cv2.imwrite(str(directory / "masks" / "m.png"), tiny.film(99))
    (directory / "broken.png").write_bytes(b"\x89PNG nothing")
    lines += [("broken.png", "finding", "", "south"), ("absent.png", "none", "", "north")]
    with (directory / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file", "label", "patient_id", "source"), *lines])
    return directory


def run(bundle: Path, keys: Path, out: Path, *more: str) -> int:
    return main(["demo", "--bundle", str(bundle), "--trust", str(keys), "--out", str(out), *more])


def test_the_whole_journey(
    tiny_path: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pydicom", reason="the wrong modalities are pydicom's own files")
    out = tmp_path / "out"
    assert run(tiny_path, keys, out) == 0
    told = capsys.readouterr().out
    assert "Passed" in told
    assert max(map(len, told.split("Report:")[0].splitlines()[1:])) <= 100
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert len(results) == 8 + 3
    assert [r["reasons"][0] for r in results[-3:]] == ["modality"] * 3
    by_name = {Path(r["file"]).name: r for r in results}
    for kind in ("clear", "opacities"):
        one, two = (by_name[f"phantom-{kind}-3-mono{k}.dcm"] for k in (1, 2))
        assert one["status"] == two["status"]
        assert one["score"] == pytest.approx(two["score"], abs=0.01)
    assert len(list((out / "overlays").iterdir())) == 8
    page = (out / "report.html").read_text()
    found = Tags()
    found.feed(page)
    assert "script" not in found.tags
    assert "http://" not in page.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in page
    for said in ("Not for diagnosis", "Self-proof", "Phantoms", "signed by tester", "p90"):
        assert said in page


def test_labelled_films_get_figures_and_bad_ones_no_traceback(
    tiny_path: Path, keys: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run(tiny_path, keys, out, "--films", str(films)) == 0
    told = capsys.readouterr().out
    assert "12 images" in told  # the mask is not listed and not judged
    assert "does not say which films it was trained on" in told
    page = (out / "report.html").read_text()
    found = Tags()
    found.feed(page)
    assert "script" not in found.tags
    assert "onerror" not in found.attributes
    assert "&lt;script&gt;.png" in page
    assert "ROC curve of 10 films" in page
    assert "leaves out 2 films" in page
    results = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [r["status"] for r in results[-2:]] == ["not_analysed", "failed"]
    assert results[-2]["reasons"] == ["format"]
    assert results[-1]["reasons"] == ["unreadable"]


def test_films_that_were_trained_on_are_told_apart(
    keys: Path, films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = [hashlib.sha256((films / f"{n}.png").read_bytes()).hexdigest()[:16] for n in (0, 1, 2)]
    parts = tiny.parts()
    parts.members["card.json"] = json.dumps({"training_files": seen}).encode()
    bundle = tmp_path / "carded.edx"
    write_bundle(bundle, parts.built(), parts.members, tiny.PRIVATE_KEY)
    assert run(bundle, keys, tmp_path / "out", "--films", str(films)) == 0
    told = capsys.readouterr().out
    assert "unseen            9 (5 +)" in told
    assert "seen in training  3 (1 +)" in told
    assert "no evidence of quality" in told


def test_films_without_labels_are_judged_too(
    tiny_path: Path, keys: Path, films: Path, tmp_path: Path
) -> None:
    (films / "labels.csv").unlink()
    out = tmp_path / "out"
    assert run(tiny_path, keys, out, "--films", str(films)) == 0
    page = (out / "report.html").read_text()
    assert "12 images" in page
    assert "<svg" not in page


def test_an_engine_that_computes_something_else_fails_and_the_report_says_so(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parts = tiny.parts()
    parts.members["variants/onnx-fp32.onnx"] = tiny.network(seed=3)
    bundle = tmp_path / "other.edx"
    write_bundle(bundle, parts.built(), parts.members, tiny.PRIVATE_KEY)
    out = tmp_path / "out"
    assert run(bundle, keys, out) == 1
    assert "FAILED: onnx-fp32 on onnx" in capsys.readouterr().out
    assert "logits differs by" in (out / "report.html").read_text()


def test_phantoms_that_are_refused_and_modalities_that_are_not_fail(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pydicom", reason="the wrong modalities are pydicom's own files")
    limits = {"modalities": ["CT"], "min_side_px": 24, "min_contrast": 0.004,
              "max_clipped": 0.8, "max_colour": 0.05}  # fmt: skip
    parts = tiny.parts(eligibility=limits)
    for case in parts.manifest["golden"]:
        case["modality"] = "CT"
    bundle = tmp_path / "ct.edx"
    write_bundle(bundle, parts.built(), parts.members, tiny.PRIVATE_KEY)
    assert run(bundle, keys, tmp_path / "out") == 1
    told = capsys.readouterr().out
    assert "FAILED: the phantom phantom-clear-3-mono1.dcm was not analysed" in told
    assert "FAILED: CT_small.dcm (CT) must be not analysed because of its modality" in told


def test_an_unsigned_bundle_needs_leave_and_is_called_so(tmp_path: Path) -> None:
    parts = tiny.parts()
    bundle = tmp_path / "unsigned.edx"
    write_bundle(bundle, parts.built(), parts.members, None)
    out = tmp_path / "out"
    assert main(["demo", "--bundle", str(bundle), "--out", str(out)]) == 1
    assert main(["demo", "--bundle", str(bundle), "--out", str(out), "--allow-unsigned"]) == 0
    assert "Nobody vouches" in (out / "report.html").read_text()


def test_wrong_arguments_end_with_a_sentence(
    tiny_path: Path, keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tiny_path, keys, tmp_path / "out", "--films", str(tmp_path / "none")) == 1
    assert "no such directory of films" in capsys.readouterr().err
    (tmp_path / "file").write_text("in the way")
    assert run(tiny_path, keys, tmp_path / "file" / "out") == 1
    assert "edge-dx:" in capsys.readouterr().err


def test_without_pydicom_the_rest_still_runs(
    tiny_path: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_inputs, "find_spec", lambda name: None)
    out = tmp_path / "out"
    assert run(tiny_path, keys, out) == 0
    assert "pip install &#x27;edge-dx[dicom]&#x27;" in (out / "report.html").read_text()
    assert len((out / "results.jsonl").read_text().splitlines()) == 4
