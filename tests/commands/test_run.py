"""`edge-dx run`: one line per input, whatever happens to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_dx.__main__ import main
from edge_dx.commands import run as running
from edge_dx.trust import TrustStore
from tests import tiny

PROMISED = ["file", "status", "label", "score", "threshold", "operating_point", "variant",
            "engine", "reasons", "details", "probabilities", "findings", "heat_map", "masks",
            "values", "assumed", "bundle", "bundle_digest", "signature", "engine_digest",
            "input_digest", "timing_ms"]  # fmt: skip

Run = Callable[..., tuple[int, list[dict[str, Any]]]]


@pytest.fixture
def films(tmp_path: Path) -> Path:
    """A directory with three films, one blank picture, one damaged file and one that is no film."""
    found = tmp_path / "films"
    (found / "sub").mkdir(parents=True)
    for name, seed in (("a.png", 1), ("b.tif", 2), ("sub/c.PNG", 3)):
        data = cv2.imencode(Path(name).suffix.lower(), tiny.film(seed))[1].tobytes()
        (found / name).write_bytes(data)
    blank = cv2.imencode(".png", np.full((64, 64), 9, np.uint8))[1].tobytes()
    (found / "blank.png").write_bytes(blank)
    (found / "broken.png").write_bytes((found / "a.png").read_bytes()[:200])
    (found / "notes.txt").write_text("notes")
    return found


@pytest.fixture
def options(trust: TrustStore) -> list[str]:
    return ["--trust", trust.origin]


@pytest.fixture
def run(tiny_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path, bundle: Path = tiny_path) -> tuple[int, list[Any]]:
        code = main(["run", str(bundle), *map(str, arguments), "--json", *options])
        out = capsys.readouterr()
        assert out.err == ""
        return code, [json.loads(line) for line in out.out.splitlines()]

    return call


def test_a_film_gives_one_line_with_exactly_the_promised_keys(run: Run, films: Path) -> None:
    code, (line,) = run(films / "a.png")
    assert code == 0
    assert list(line) == PROMISED
    assert line["file"] == str(films / "a.png")
    assert line["status"] in ("positive", "negative")
    assert line["label"] == "finding"
    assert 0 < line["score"] < 1
    assert line["threshold"] == 0.5
    assert (line["variant"], line["engine"]) == ("onnx-fp32", "onnx")
    assert line["signature"] == "tester"
    assert line["reasons"] == []
    assert list(line["timing_ms"]) == ["read", "prepare", "infer", "interpret", "total"]
    assert line["timing_ms"]["total"] > 0


@pytest.mark.parametrize(
    ("name", "status", "reason"),
    [
        ("blank.png", "not_analysed", "blank"),
        ("broken.png", "failed", "unreadable"),
        ("notes.txt", "not_analysed", "format"),
        ("missing.png", "failed", "unreadable"),
    ],
)
def test_what_is_not_analysed_has_the_same_keys_and_no_score(
    run: Run, films: Path, name: str, status: str, reason: str
) -> None:
    code, (line,) = run(films / name)
    assert code == 3
    assert list(line) == PROMISED
    assert line["file"] == str(films / name)
    assert (line["status"], line["reasons"]) == (status, [reason])
    assert line["score"] is None
    assert line["label"] is None
    assert line["threshold"] is None
    assert line["heat_map"] is None
    assert line["details"][0]


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_a_bad_file_gets_its_own_line_and_the_batch_goes_on(
    run: Run, films: Path, batch: int
) -> None:
    files = [films / n for n in ("a.png", "broken.png", "missing.png", "b.tif", "blank.png")]
    code, lines = run(*files, "--batch", str(batch))
    assert code == 3
    assert [line["file"] for line in lines] == [str(f) for f in files]
    analysed = [line["status"] in ("positive", "negative") for line in lines]
    assert analysed == [True, False, False, True, False]
    code, alone = run(films / "b.tif")
    assert alone[0]["score"] == pytest.approx(lines[3]["score"], abs=1e-6)


def test_a_colour_picture_that_the_preparation_cannot_take_ends_no_batch(
    films: Path, parts: tiny.Parts, tmp_path: Path, run: Run
) -> None:
    from edge_dx.bundle import write_bundle

    parts.manifest["eligibility"]["max_colour"] = 1.0
    parts.manifest["inputs"][0]["prepare"] = parts.manifest["inputs"][0]["prepare"][1:]
    path = tmp_path / "greyonly.edx"
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    colour = np.dstack([tiny.film(s) for s in range(3)])
    cv2.imwrite(str(films / "colour.png"), colour)
    files = [films / "a.png", films / "colour.png", films / "b.tif"]
    code, lines = run(*files, "--batch", "3", bundle=path)
    assert code == 3
    assert [line["status"] in ("positive", "negative") for line in lines] == [True, False, True]
    assert lines[1]["reasons"] == ["internal"]
    assert "the prepared image image has shape" in lines[1]["details"][0]


def test_directories_and_globs(run: Run, films: Path) -> None:
    code, lines = run(films)
    assert code == 3
    names = [Path(line["file"]).name for line in lines]
    assert names == ["a.png", "b.tif", "blank.png", "broken.png", "c.PNG"]
    code, lines = run(films / "[ab].*")
    assert (code, [Path(line["file"]).name for line in lines]) == (0, ["a.png", "b.tif"])
    code, lines = run(films / "**" / "c.*")
    assert len(lines) == 1
    (films / "[x].png").write_bytes((films / "a.png").read_bytes())
    code, lines = run(films / "[x].png")  # a file of that very name goes before the pattern
    assert [line["file"] for line in lines] == [str(films / "[x].png")]


def test_a_directory_with_the_name_of_a_film_is_none(films: Path) -> None:
    (films / "sub" / "d.png").mkdir()
    assert [f.name for f in running.expand([str(films / "sub")])] == ["c.PNG"]


def test_dicom_is_known_by_its_mark_whatever_its_name(films: Path) -> None:
    for name in ("IM0001", "1.2.840.113619.2.5"):  # what looks like a suffix is part of a UID
        (films / name).write_bytes(bytes(128) + b"DICM")
    (films / "README").write_text("notes")
    found = {path.name for path in running.expand([str(films)])}
    assert found >= {"IM0001", "1.2.840.113619.2.5"}
    assert not running.looks_like_image(films / "README")
    assert not running.looks_like_image(films)


@pytest.mark.parametrize("name", ["x" * 3000, "nul\0.png"])
def test_odd_names_get_a_line_of_their_own(run: Run, films: Path, name: str) -> None:
    code, lines = run(name, films / "a.png")
    assert code == 3
    assert [line["status"] in ("positive", "negative") for line in lines] == [False, True]


def test_a_name_that_no_terminal_can_show(
    films: Path, tiny_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    odd = films / os.fsdecode(b"\xff\n\x1b[31m.png")
    odd.write_bytes((films / "a.png").read_bytes())
    assert main(["run", str(tiny_path), str(odd), *options]) == 0
    out = capsys.readouterr().out
    assert len(out.splitlines()) == 1
    assert "\\n\\x1b[31m.png" in out


def test_overlays_are_written_beside_the_answers(run: Run, films: Path, tmp_path: Path) -> None:
    pictures = tmp_path / "new" / "overlays"
    code, lines = run(films / "a.png", films / "blank.png", "--overlay", pictures)
    assert code == 3
    assert len(lines) == 2
    written = sorted(p.name for p in pictures.iterdir())
    assert written == ["0001_a.png", "0002_blank.png"]
    for path in pictures.iterdir():
        assert cv2.imread(str(path)).shape[2] == 3


def test_an_overlay_that_cannot_be_written_ends_nothing(
    films: Path, tiny_path: Path, tmp_path: Path, options: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    pictures = tmp_path / "overlays"
    (pictures / "0001_a.png").mkdir(parents=True)
    files = [str(films / "a.png"), str(films / "broken.png"), str(films / "b.tif")]
    arguments = ["run", str(tiny_path), *files, "--json", "--overlay", str(pictures), *options]
    assert main(arguments) == 3
    out = capsys.readouterr()
    assert len(out.out.splitlines()) == 3
    assert out.err.count("edge-dx: no overlay: ") == 2
    assert (pictures / "0003_b.png").is_file()
    (tmp_path / "file").write_text("x")
    arguments[arguments.index("--overlay") + 1] = str(tmp_path / "file")
    assert main(arguments) == 2
    assert "--overlay" in capsys.readouterr().err


def test_unsigned_bundles_run_only_when_asked_and_say_so(
    films: Path, parts: tiny.Parts, tmp_path: Path, options: list[str], run: Run,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from edge_dx.bundle import write_bundle

    path = tmp_path / "unsigned.edx"
    write_bundle(path, parts.built(), parts.members)
    assert main(["run", str(path), str(films / "a.png"), "--json", *options]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert "--allow-unsigned" in out.err
    code, (line,) = run(films / "a.png", "--allow-unsigned", bundle=path)
    assert (code, line["signature"]) == (0, "unsigned")
    assert main(["run", str(path), str(films / "a.png"), "--allow-unsigned", *options]) == 0
    assert "UNSIGNED bundle" in capsys.readouterr().out


def test_the_fake_engine_says_so_in_each_line(run: Run, films: Path) -> None:
    _, (line,) = run(films / "a.png", "--engine", "pretend")
    assert line["engine"] == "pretend"
    assert "pretend_engine" in line["reasons"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (["--variant", "onnx-int4"], "no variant 'onnx-int4'; it has: onnx-fp32"),
        (["--engine", "warp"], "no engine is called 'warp'; there are: onnx"),
        (["--engine", "onnx-cuda"], "not measured on engine onnx-cuda"),
        (["--threads", "0"], "threads is at least 1"),
        (["--batch", "0"], "--batch is at least 1"),
        (["--trust", "/nowhere"], "no trust store can be read there"),
    ],
)
def test_a_wrong_choice_is_a_usage_error_with_the_choices(
    films: Path, tiny_path: Path, options: list[str], change: list[str], told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["run", str(tiny_path), str(films / "a.png"), *options, *change]) == 2
    out = capsys.readouterr()
    assert told in out.err
    assert out.err.startswith("edge-dx: ")
    assert out.out == ""


def test_a_bundle_or_films_that_are_not_there(
    films: Path, tiny_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("no-such", "x" * 3000):
        assert main(["run", name, str(films / "a.png")]) == 2
        assert "edge-dx: " in capsys.readouterr().err
    (films / "empty").mkdir()
    for nothing in (films / "empty", films / "*.bmp"):
        assert main(["run", str(tiny_path), str(nothing)]) == 2
        assert "no image files in" in capsys.readouterr().err
    (films / "not.edx").write_text("x")
    assert main(["run", str(films / "not.edx"), str(films / "a.png")]) == 2
    assert "not.edx" in capsys.readouterr().err


def test_usage_errors_leave_with_two(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in ([], ["run"], ["run", "x"], ["fly"], ["run", "x", "y", "--batch", "z"]):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2


def test_the_command_starts_as_a_module() -> None:
    for arguments in (["--help"], ["run", "--help"], ["--version"]):
        done = subprocess.run(
            [sys.executable, "-m", "edge_dx", *arguments],
            capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert "edge-dx" in done.stdout
        assert done.stderr == ""
