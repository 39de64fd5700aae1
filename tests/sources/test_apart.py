"""gdcm in a process of its own: its end is one study's reason, and the next study is read."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
if importlib.util.find_spec("gdcm") is None:
    pytest.skip("the extra `gdcm` is not installed", allow_module_level=True)

from pydicom.data import get_testdata_file

from edge_dx import sources
from edge_dx.errors import InputError, UnreadableInput, UnsupportedInput
from edge_dx.sources.dicom import apart

WHOLE = Path(str(get_testdata_file("SC_rgb_jpeg_gdcm.dcm", download=False)))
SAME = Path(str(get_testdata_file("SC_rgb_rle.dcm", download=False)))


def test_lossless_jpeg_is_decoded() -> None:
    assert np.array_equal(sources.read(WHOLE).pixels, sources.read(SAME).pixels)


def test_its_death_is_the_reason_for_one_study_alone() -> None:
    _ = sources.read(WHOLE).pixels
    child = apart._CHILD._process
    assert child is not None
    child.kill()
    child.wait()
    assert sources.read(WHOLE).pixels.size  # one that died between two studies is not missed


READY = "import os, sys, time; os.write(1, bytes(16)); "


def child_that(monkeypatch: pytest.MonkeyPatch, act: str) -> None:
    """A child that does what gdcm does on some streams, in place of the real one."""
    real = subprocess.Popen

    def popen(command: list[str], **how: object) -> object:
        return real([command[0], "-c", act], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(apart, "_CHILD", apart._Child())
    monkeypatch.setattr(apart, "DEADLINE_S", 2.0)
    monkeypatch.setattr(subprocess, "Popen", popen)


@pytest.mark.parametrize(
    ("act", "told", "reason"),
    [
        ("os.read(0, 1); os.abort()", "broke down", "unreadable"),
        ("time.sleep(60)", "did not finish in 2 s", "timeout"),
        ("sys.stdout.write('x' * 99); sys.stdout.flush(); input()", "broke down", "unreadable"),
        ("os.write(1, b'\\1' + bytes(15) + b'{'); input()", "broke down", "unreadable"),
    ],
)
def test_it_may_break_down_within_a_frame(
    act: str, told: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        child_that(patch, READY + act)
        with pytest.raises(InputError, match=rf"SC_rgb_jpeg_gdcm\.dcm: .*{told}") as caught:
            _ = sources.read(WHOLE).pixels
        assert caught.value.reason == reason
        patch.undo()
        assert sources.read(WHOLE).pixels.size


def test_one_that_does_not_start_is_no_damage(monkeypatch: pytest.MonkeyPatch) -> None:
    child_that(monkeypatch, "raise SystemExit(1)")
    with pytest.raises(UnsupportedInput, match="does not start") as caught:
        _ = sources.read(WHOLE).pixels
    assert caught.value.reason == "transfer_syntax"
    monkeypatch.setattr(sys, "executable", "")
    with pytest.raises(UnsupportedInput, match="cannot be started"):
        _ = sources.read(WHOLE).pixels


def test_an_answer_that_nobody_waited_for_is_not_taken_for_the_next_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _ = sources.read(WHOLE).pixels
    before = apart._CHILD._process

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(apart, "_answered", interrupted)
        with pytest.raises(KeyboardInterrupt):
            _ = sources.read(WHOLE).pixels
    assert apart._CHILD._process is None
    assert before is not None
    assert before.poll() is not None
    assert np.array_equal(sources.read(WHOLE).pixels, sources.read(SAME).pixels)


FORKING = """
import os, sys
from edge_dx import sources
from edge_dx.sources.dicom import apart
_ = sources.read(sys.argv[1]).pixels
ours = apart._CHILD._process
pid = os.fork()
if pid == 0:
    fine = apart._CHILD._process is None and sources.read(sys.argv[1]).pixels.size > 0
    theirs = apart._CHILD._process
    fine = fine and theirs is not None and theirs.pid != ours.pid
    apart._CHILD.close()
    os._exit(0 if fine else 1)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
assert apart._CHILD._process is ours and ours.poll() is None
"""


def test_a_forked_process_gets_a_child_of_its_own() -> None:
    # In a process of its own: what other tests have loaded may not be forked.
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, str(WHOLE)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_what_lies_in_the_working_directory_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pydicom.py").write_text("open('ran', 'w').close()")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(apart, "_CHILD", apart._Child())
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    assert sources.read(WHOLE).pixels.size
    assert not (tmp_path / "ran").exists()
    apart._CHILD.close()
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert sources.read(WHOLE).pixels.size
    apart._CHILD.close()


def test_damaged_streams_are_refused(tmp_path: Path) -> None:
    raw = WHOLE.read_bytes()
    start = raw.index(b"\xff\xd8\xff")
    rng = np.random.default_rng(4)
    refused = 0
    for number in range(40):
        spoilt = bytearray(raw)
        for at in rng.integers(start, start + 700, 4):
            spoilt[at] = rng.integers(256)
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(bytes(spoilt))
        try:
            _ = sources.read(path).pixels
        except UnreadableInput:
            refused += 1
    assert refused > 20
