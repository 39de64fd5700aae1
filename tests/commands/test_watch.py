"""`edge-dx run` on clips and cameras: a line per frame, an account at the end, exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_dx.__main__ import main
from edge_dx.bundle import write_bundle
from edge_dx.errors import UnreadableInput
from edge_dx.sources import camera
from edge_dx.trust import TrustStore
from tests import tiny
from tests.commands.test_run import PROMISED
from tests.sources import clips
from tests.stream.scripted import FILMS, Script, frame

OF_FRAMES = ["source", "frame", "device_time_s", "host_time_s", "latency_ms"]
ACCOUNT = ["source", "every", "received", "processed", "dropped", "refused", "skipped", "waiting",
           "missed", "statuses", "reasons", "latency", "ended"]  # fmt: skip

Run = Callable[..., tuple[int, list[dict[str, Any]], list[dict[str, Any]]]]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, made to judge each frame."""
    parts = tiny.parts()
    parts.manifest["eligibility"]["frames"] = "each"
    path = tmp_path_factory.mktemp("bundles") / "each.edx"
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return clips.write(tmp_path / "clip.avi", FILMS, "FFV1", 10.0)


@pytest.fixture
def options(trust: TrustStore) -> list[str]:
    return ["--trust", trust.origin]


@pytest.fixture
def run(bundle: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str | Path, bundle: Path = bundle) -> Any:
        code = main(["run", str(bundle), *map(str, arguments), "--json", *options])
        out = capsys.readouterr()
        accounts = [json.loads(line)["account"] for line in out.err.splitlines() if line[0] == "{"]
        return code, [json.loads(line) for line in out.out.splitlines()], accounts

    return call


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Script], None]:
    """Puts a script where the camera would be."""

    def plug(script: Script) -> None:
        script.name = "camera 0"
        monkeypatch.setattr(camera, "Camera", lambda which, size: script)

    return plug


def test_a_clip_gives_one_line_per_frame_and_an_account(run: Run, clip: Path) -> None:
    code, lines, (account,) = run(clip)
    assert code == 0
    assert [line["frame"] for line in lines] == list(range(12))
    for number, line in enumerate(lines):
        assert list(line) == [*PROMISED, *OF_FRAMES]
        assert (line["file"], line["source"]) == (str(clip), str(clip))
        assert line["device_time_s"] == pytest.approx(number / 10)
        assert line["latency_ms"] > 0
    hosts = [line["host_time_s"] for line in lines]
    assert hosts == sorted(hosts)
    assert list(account) == ACCOUNT
    assert (account["received"], account["processed"], account["dropped"]) == (12, 12, 0)
    assert sum(account["statuses"].values()) == 12
    assert list(account["latency"]) == ["p50_ms", "p90_ms", "p99_ms", "worst_ms"]
    assert account["ended"] is None


def test_the_same_for_a_person(
    bundle: Path, clip: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(bundle), str(clip), "--every", "5", *options]) == 0
    out = capsys.readouterr()
    lines = out.out.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{clip} frame 0 at 0.000 s", f"{clip} frame 5 at 0.500 s", f"{clip} frame 10 at 1.000 s",
    ]  # fmt: skip
    assert all("finding 0." in line for line in lines)
    account = out.err.splitlines()[-1]
    assert account.startswith(f"{clip}: 12 frames received, 3 processed, 0 dropped, 0 missed; ")
    assert "one of 5 judged, 9 skipped" in account
    assert "ms from arrival to answer: p50 " in account


def test_pictures_and_clips_keep_their_order(run: Run, clip: Path) -> None:
    films = [clip.with_name(f"{name}.png") for name in "abc"]
    for film, pixels in zip(films, FILMS, strict=False):
        cv2.imwrite(str(film), pixels)
    code, lines, accounts = run(films[0], films[1], clip, films[2], "--batch", "2", "--every", "6")
    assert code == 0
    told = [(Path(line["file"]).name, line.get("frame")) for line in lines]
    assert told == [("a.png", None), ("b.png", None), ("clip.avi", 0), ("clip.avi", 6),
                    ("c.png", None)]  # fmt: skip
    assert len(accounts) == 1
    code, lines, _ = run(clip.parent, "--every", "12")  # a directory has its clips too
    assert [Path(line["file"]).name for line in lines] == ["a.png", "b.png", "c.png", "clip.avi"]


def test_a_dicom_cine_goes_frame_by_frame(run: Run, tmp_path: Path, tiny_path: Path) -> None:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    from tests.sources.test_dicom import dicom, encoded

    stack = np.stack(FILMS[:5])
    found = dicom(FILMS[0], NumberOfFrames=5, FrameTime=50.0)
    found.PixelData = stack.tobytes()
    path = tmp_path / "cine.dcm"
    path.write_bytes(encoded(found))
    code, lines, (account,) = run(path)
    assert code == 0
    assert [line["frame"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["device_time_s"] for line in lines] == pytest.approx([0, 0.05, 0.1, 0.15, 0.2])
    assert account["received"] == 5
    code, (line,), accounts = run(path, bundle=tiny_path)
    assert (code, line["reasons"], accounts) == (3, ["frames"], [])


def test_a_damaged_clip_ends_with_a_line_that_says_so(run: Run, clip: Path) -> None:
    raw = bytearray(clips.write(clip.with_name("whole.avi"), FILMS).read_bytes())
    at = clips.chunks(raw)[7]
    raw[at : at + 400] = b"\0" * 400
    broken = clip.with_name("broken.avi")
    broken.write_bytes(raw)
    cut = clip.with_name("cut.avi")
    cut.write_bytes(clip.read_bytes()[:-500])
    code, lines, accounts = run(broken, cut, clip)
    assert code == 3
    of_broken = [line for line in lines if line["file"] == str(broken)]
    assert [line["frame"] for line in of_broken] == [*range(7), None]
    assert of_broken[-1]["status"] == "failed"
    assert of_broken[-1]["reasons"] == ["unreadable"]
    assert of_broken[-1]["score"] is None
    assert "frame 7 cannot be decoded" in accounts[0]["ended"]
    (of_cut,) = [line for line in lines if line["file"] == str(cut)]
    assert list(of_cut) == PROMISED
    assert (of_cut["status"], of_cut["reasons"]) == ("failed", ["unreadable"])
    assert len([line for line in lines if line["file"] == str(clip)]) == 12


def test_a_model_of_single_images_gives_one_line(run: Run, clip: Path, tiny_path: Path) -> None:
    code, (line,), accounts = run(clip, bundle=tiny_path)
    assert code == 3
    assert (line["status"], line["reasons"]) == ("not_analysed", ["frames"])
    assert line["details"] == ["12 frames; this model judges single images"]
    assert line["frame"] is None
    assert accounts == []


def test_a_text_with_the_name_of_a_clip(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "notes.mp4"
    path.write_text("notes")
    code, (line,), _ = run(path)
    assert code == 3
    assert (line["status"], line["reasons"]) == ("not_analysed", ["format"])


def test_frames_that_do_not_fit_the_model_end_the_clip_only(
    run: Run, clip: Path, tmp_path: Path, bundle: Path
) -> None:
    parts = tiny.parts()
    parts.manifest["eligibility"] |= {"frames": "each", "max_colour": 1.0}
    parts.manifest["inputs"][0]["prepare"] = parts.manifest["inputs"][0]["prepare"][1:]
    picky = tmp_path / "each-grey.edx"
    write_bundle(picky, parts.built(), parts.members, tiny.PRIVATE_KEY)
    colour = clips.write(
        tmp_path / "colour.avi", [cv2.merge([FILMS[n], FILMS[3], FILMS[4]]) for n in range(3)]
    )
    code, lines, accounts = run(colour, clip, bundle=picky)
    assert code == 3
    assert lines[0]["reasons"] == ["internal"]
    assert len(lines) == 1 + 12
    assert accounts[0]["processed"] == 0


# --- cameras ---


def test_a_camera_that_freezes_and_is_unplugged(
    run: Run, plugged: Callable[[Script], None]
) -> None:
    gone = UnreadableInput("camera 0: was unplugged after frame 5", "unreadable")
    films = [0, 1, 1, 1, 2, 3]
    script = Script([*(frame(n, n, film) for n, film in enumerate(films)), gone], live=False)
    plugged(script)
    code, lines, (account,) = run("--camera", "0", "--stale", "1.5")
    assert code == 3
    stale = ["stale_frame" in line["reasons"] for line in lines]
    assert stale == [False, False, False, True, False, False, False]
    assert lines[3]["score"] is None
    assert lines[-1]["status"] == "failed"
    assert (lines[-1]["file"], lines[-1]["source"]) == (None, "camera 0")
    assert account["ended"] == "camera 0: was unplugged after frame 5"
    assert account["reasons"] == {"stale_frame": 1, "unreadable": 1}
    assert script.closed.is_set()


def test_ctrl_c_still_gives_the_account(run: Run, plugged: Callable[[Script], None]) -> None:
    script = Script([frame(0), KeyboardInterrupt()], live=False)
    plugged(script)
    code, lines, (account,) = run("--camera", "0")
    assert code == 130
    assert len(lines) == account["processed"] == 1
    assert script.closed.is_set()


def test_the_drop_policy_fault_has_an_exit_code_of_its_own(
    bundle: Path, options: list[str], plugged: Callable[[Script], None],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    plugged(Script([frame(n) for n in range(1000)], stamped=True))
    arguments = ["run", str(bundle), "--camera", "0", "--drop", "fault", *options]
    assert main(arguments) == 1
    err = capsys.readouterr().err.splitlines()
    assert "1 dropped" in err[-2]
    assert err[-1].startswith("edge-dx: frame ")
    assert "found no room" in err[-1]


def test_frames_have_overlays_too(run: Run, clip: Path, tmp_path: Path) -> None:
    code, _, _ = run(clip, "--every", "6", "--overlay", tmp_path / "pictures")
    assert code == 0
    written = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert written == ["0001_clip_f000000.png", "0002_clip_f000006.png"]


def test_a_camera_that_is_not_there(
    bundle: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(bundle), "--camera", "/dev/video97", *options]) == 2
    out = capsys.readouterr()
    assert out.err.splitlines()[-1].startswith("edge-dx: camera /dev/video97: no such device")
    assert out.out == ""


@pytest.mark.parametrize("change", [["--every", "0"], ["--stale", "0"], ["--stale", "nan"],
                                    ["--stale", "inf"], ["--batch", "0"]])  # fmt: skip
def test_numbers_that_make_no_sense(
    bundle: Path, clip: Path, options: list[str], change: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert main(["run", str(bundle), str(clip), *change, *options]) == 2
    assert change[0] in capsys.readouterr().err


def test_files_or_a_camera(bundle: Path, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for files in ([], [str(clip), "--camera", "0"], ["--camera", "0", "--size", "12"],
                  ["--camera", "0", "--size", "0x9"], [str(clip), "--drop", "random"]):  # fmt: skip
        with pytest.raises(SystemExit) as caught:
            main(["run", str(bundle), *files])
        assert caught.value.code == 2
    assert "--drop" in capsys.readouterr().err


def test_the_shared_clips_are_judged_frame_by_frame(run: Run) -> None:
    if not clips.SHARED.is_dir():
        pytest.skip("the ultrasound clips are not on this machine")
    names = {"Reg_Image_181739_trimmed_crop.mp4": 104, "Reg_pat1Image_133410.mpeg": 183}
    code, lines, accounts = run(*(clips.SHARED / name for name in names))
    assert code == 0
    assert [account["received"] for account in accounts] == list(names.values())
    assert len(lines) == sum(names.values())
    assert all(line["status"] in ("positive", "negative") for line in lines)


def test_ctrl_c_on_the_keyboard_ends_the_command_in_order(
    bundle: Path, tmp_path: Path, options: list[str]
) -> None:
    """A real process and a real signal: the account is written and the exit code says it."""
    slow = clips.write(tmp_path / "slow.avi", [*FILMS] * 20, "MJPG", 4.0)  # a minute in real time
    heed = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    code = heed + "from edge_dx.__main__ import main; sys.exit(main(sys.argv[1:]))"
    with subprocess.Popen(  # whoever runs the tests may ignore the signal
        [sys.executable, "-c", code, "run", str(bundle), str(slow), "--rate", "realtime", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert "frame 0" in process.stdout.readline()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 130
    assert "frames received" in err.splitlines()[-1]
    assert "Traceback" not in err
