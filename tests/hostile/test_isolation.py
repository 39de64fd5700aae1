"""The helper: same answers as without it, limits that hold, and deaths that cost one file."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx import sources
from edge_dx.errors import EdgeDxError, InputError, MissingExtra, NotFound, NotIsolated
from edge_dx.isolate import IsolatedClip, Limits, Reader, process, wire
from edge_dx.result import Reason, Status
from edge_dx.sources.frames import Cine
from edge_dx.sources.video import Clip
from edge_dx.trust import TrustStore
from tests import tiny
from tests.hostile import build
from tests.hostile.seeds import Seed, every
from tests.sources import clips

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits need Linux")

SEEDS = [seed for seed in every() if seed.kind in ("dicom", "picture")]
BIG = Limits(deadline_s=20.0)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.png"
    path.write_bytes(next(s.raw for s in SEEDS if s.name == "grey.png"))
    return path


@pytest.fixture
def cine(tmp_path: Path) -> Path:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    path = tmp_path / "cine.dcm"
    path.write_bytes(next(s.raw for s in SEEDS if s.name == "jpeg-cine"))
    return path


# --- the same answers ---


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: seed.name)
def test_facts_pixels_and_errors_are_those_of_reading_it_here(
    seed: Seed, reader: Reader, tmp_path: Path
) -> None:
    path = tmp_path / "x.bin"
    path.write_bytes(seed.raw)
    assert _all_of(reader.read, path) == _all_of(sources.read, path)


def _all_of(read: Callable[[Path], sources.Study], path: Path) -> object:
    try:
        study = read(path)
        facts = {f.name: getattr(study, f.name) for f in dataclasses.fields(study)}
        del facts["decode"]
        frames = [(p.dtype, p.shape, p.tobytes()) for p in study.each()]
    except EdgeDxError as error:
        return type(error), str(error), getattr(error, "reason", None)
    return facts, frames


def test_a_missing_file_is_not_found_under_the_name_that_was_given(
    reader: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NotFound, match=r"^nowhere\.png: no such file"):
        reader.read("nowhere.png")


def test_a_relative_name_is_that_of_the_caller(
    reader: Reader, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(film.parent)
    study = reader.read("film.png")
    monkeypatch.chdir("/")
    assert study.path == Path("film.png")
    reader.close()
    monkeypatch.chdir(film.parent)
    assert study.pixels.shape == study.shape


def test_odd_names_are_read(reader: Reader, film: Path) -> None:
    for name in (b"with space", b"\xff\xfe", "ü\nü".encode(), b"a" * 200, b"--help", b"'\"\\"):
        path = Path(os.fsdecode(os.fsencode(film.parent) + b"/" + name))
        path.write_bytes(film.read_bytes())
        assert reader.read(path).path == path
    for name in ("a\0b", "a" * 5000):
        with pytest.raises(InputError):
            reader.read(name)


def test_what_is_in_memory_is_read_here(reader: Reader) -> None:
    study = sources.from_array(tiny.film())
    assert reader.read(study) is study
    assert reader.read(tiny.film()).digest == sources.read(tiny.film()).digest


def test_a_clip_is_that_of_reading_it_here(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.avi", clips.pictures(6))
    with Clip(path) as here, Reader(BIG) as reader:
        there = reader.frames(path)
        assert isinstance(there, IsolatedClip)
        for name in ("digest", "shape", "expected", "rate_hz", "name", "path"):
            assert getattr(there, name) == getattr(here, name)
        pairs = list(zip(here.frames(), there.frames(), strict=True))
        assert len(pairs) == 6
        for one, other in pairs:
            assert one is not None
            assert other is not None
            assert np.array_equal(one.pixels, other.pixels)
            assert (one.number, one.device_time_s) == (other.number, other.device_time_s)
            assert there.study(other).assumed == here.study(one).assumed
        there.close()
        there.close()


def test_a_clip_whose_helper_dies_is_over(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.avi", clips.pictures(6))
    with IsolatedClip(path, BIG) as clip:
        frames = clip.frames()
        next(frames)
        pid = clip._helper.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)
        with pytest.raises(InputError, match="its helper was lost between frames"):
            list(frames)


def test_a_damaged_clip_is_the_same_error(tmp_path: Path) -> None:
    path = clips.write(tmp_path / "clip.avi", clips.pictures(6))
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(InputError) as here:
        Clip(path)
    with pytest.raises(InputError) as there:
        Reader(BIG).frames(path)
    assert str(here.value) == str(there.value)


def test_a_cine_comes_one_frame_at_a_time(reader: Reader, cine: Path) -> None:
    source = reader.frames(cine)
    assert isinstance(source, Cine)
    frames = list(source.frames())
    assert [f.device_time_s for f in frames if f] == pytest.approx([0, 0.0333, 0.0666])


# --- limits that hold ---


def test_the_limits_are_those_of_the_running_helper(film: Path) -> None:
    with Reader(Limits(deadline_s=7, memory_bytes=2**28)) as reader:
        reader.read(film)
        told = Path(f"/proc/{reader.pid}/limits").read_text("ascii")
        pages = int(Path(f"/proc/{reader.pid}/statm").read_text("ascii").split()[0])
    found = {line[:26].strip(): line[26:].split()[:2] for line in told.splitlines()[1:]}
    assert found["Max file size"] == ["0", "0"]
    assert found["Max core file size"] == ["0", "0"]
    assert found["Max open files"] == ["64", "64"]
    assert 7 <= int(found["Max cpu time"][0]) < 15
    most = int(found["Max address space"][1])
    assert 0 < most - pages * os.sysconf("SC_PAGE_SIZE") <= 2**28


HOSTILE = {
    "memory": ("bytearray(2**40)", "resource"),
    "hidden memory": ("hidden()", "resource"),
    "waiting": ("time.sleep(60)", "timeout"),
    "busy": ("spin()", "timeout"),
    "signal": ("os.kill(os.getpid(), signal.SIGSEGV)", "unreadable"),
    "abort": ("os.abort()", "unreadable"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "resource"),
    "nameless signal": ("os.kill(os.getpid(), 40)", "unreadable"),
    "exit": ("os._exit(3)", "unreadable"),
    "writing": (
        "os.write(os.open('/tmp/edge-dx-hostile', os.O_CREAT | os.O_WRONLY), b'x')",
        "unreadable",
    ),
    "many files": ("[open('/dev/null') for _ in range(99)]", "unreadable"),
    "recursion": ("deep()", "unreadable"),
    "surprise": ("1 / 0", "unreadable"),
}
FAKE = """
import os, signal, sys, time
sys.path[:] = sys.argv[2:]
from edge_dx import sources
from edge_dx.errors import UnreadableInput
from edge_dx.isolate import child
read = sources.read
def hidden():
    try:
        bytearray(2**40)
    except MemoryError as error:
        raise UnreadableInput("cannot be decoded", "unreadable") from error
def spin():
    while True: pass
def deep(): return deep()
def hostile(path):
    if path.name.startswith("hostile"):
        %s
    return read(path)
sources.read = hostile
child.serve(int(sys.argv[1]))
"""


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_reader_that_is_taken_down_costs_one_file(
    kind: str, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what, reason = HOSTILE[kind]
    monkeypatch.setattr(process, "_START", FAKE % what)
    hostile = film.with_name("hostile.png")
    hostile.write_bytes(film.read_bytes())
    with Reader(Limits(deadline_s=1, memory_bytes=2**29)) as reader:
        assert reader.read(film).pixels.shape == (48, 48)
        for _ in range(2):
            begun = time.monotonic()
            with pytest.raises(InputError) as caught:
                reader.read(hostile)
            assert time.monotonic() - begun < 5
            assert caught.value.reason == reason, caught.value
            assert str(hostile) in str(caught.value)
            assert reader.read(film).pixels.shape == (48, 48)
    written = Path("/tmp/edge-dx-hostile")
    if written.exists():
        assert written.stat().st_size == 0
        written.unlink()


def test_a_helper_that_dies_between_frames_is_replaced(reader: Reader, cine: Path) -> None:
    study = reader.read(cine)
    first = study.decode(0)
    assert reader.pid is not None
    os.kill(reader.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert np.array_equal(study.decode(0), first)
    assert study.decode(2).shape == study.shape


def test_a_file_that_was_exchanged_between_frames_is_refused(reader: Reader, cine: Path) -> None:
    study = reader.read(cine)
    reader.close()
    cine.write_bytes(build.film())
    with pytest.raises(InputError, match="was changed while it was read"):
        study.decode(1)


def test_frames_of_two_cines_are_not_mixed(reader: Reader, cine: Path, film: Path) -> None:
    one, other = reader.read(cine), reader.read(film)
    wanted = [sources.read(cine).decode(1), sources.read(film).pixels]
    for _ in range(3):
        assert np.array_equal(one.decode(1), wanted[0])
        assert np.array_equal(other.decode(0), wanted[1])


def test_threads_take_turns(reader: Reader, film: Path, cine: Path) -> None:
    wanted = {path: sources.read(path).decode(0).tobytes() for path in (film, cine)}
    wrong: list[Path] = []

    def work(path: Path) -> None:
        for _ in range(30):
            if reader.read(path).decode(0).tobytes() != wanted[path]:
                wrong.append(path)

    threads = [threading.Thread(target=work, args=(path,)) for path in (film, cine, film)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# --- a helper that was taken over ---

HEAD, FACTS = wire.HEAD, {
    "digest": "0" * 64, "shape": [2, 2], "modality": None, "body_part": None, "view": None,
    "orientation": None, "mm_per_px": None, "spacing_from": None, "frames": 1, "regions": [],
    "place": None, "sop_class": None, "presentation": None, "burned_in": None, "age_years": None,
    "assumed": [],
}  # fmt: skip


def said(
    told: object, payload: bytes = b"", number: int = 1, announced: int | None = None
) -> bytes:
    text = told if isinstance(told, bytes) else json.dumps(told).encode()
    size = len(payload) if announced is None else announced
    return HEAD.pack(number, len(text), size) + text + payload


def study(**changes: object) -> dict[str, object]:
    return {"study": {**FACTS, **changes}}


LIES = {
    "another request": said(study(), number=7),
    "endless JSON": HEAD.pack(1, 2**32 - 1, 0),
    "endless payload": HEAD.pack(1, 2, 2**63) + b"{}",
    "no JSON": said(b"\x80\x04K\x01."),
    "a pickle": said(pickle.dumps(os.getpid)),
    "nested JSON": said(b"[" * 100_000),
    "a list": said([]),
    "nothing": said({}),
    "no study": said({"study": None}),
    "a fact too many": said(study(surprise=1)),
    "a fact of another type": said(study(modality=5)),
    "no word of ours": said(study(spacing_from="the moon")),
    "no shape": said(study(shape=[2])),
    "a negative shape": said(study(shape=[-2, 2])),
    "a huge shape": said(study(shape=[2**40, 2**40])),
    "no frames": said(study(frames=0)),
    "endless frames": said(study(frames=2**40)),
    "times that do not fit": said(study(), bytes(24)),
    "an unknown error": said({"error": "SystemExit", "told": "x", "reason": "unreadable"}),
    "an unknown reason": said({"error": "UnreadableInput", "told": "x", "reason": "?"}),
}


def liar(answers: list[bytes]) -> str:
    """A helper that says these things in turn, whatever it is asked."""
    return (
        "import os, sys\n"
        f"ready = {said({'ready': True}, number=0)!r}\n"
        f"answers = {answers!r}\n"
        "os.write(1, ready)\n"
        "for answer in answers:\n"
        "    os.read(0, 65536)\n"
        "    while answer: answer = answer[os.write(1, answer):]\n"
        "os.read(0, 65536)\n"
    )


@pytest.mark.parametrize("lie", LIES)
def test_an_answer_that_no_reader_gives_is_not_believed(
    lie: str, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START", liar([LIES[lie]]))
    with Reader(Limits(deadline_s=2)) as reader, pytest.raises(InputError) as caught:
        reader.read(film)
    assert caught.value.reason == "unreadable"
    assert reader.pid is None, "a helper that lies is not asked again"


@pytest.mark.parametrize(
    "answer",
    [
        said({"dtype": "|u1", "shape": [2, 3]}, bytes(6), 2),
        said({"dtype": "|u1", "shape": [2, 2]}, bytes(3), 2),
        said({"dtype": "<u2", "shape": [2, 2]}, bytes(4), 2),
        said({"dtype": "|O", "shape": [2, 2]}, bytes(32), 2),
        said({"dtype": ["|u1"], "shape": [2, 2]}, bytes(4), 2),
        said({"dtype": "|u1", "shape": [2, 2, 4]}, bytes(16), 2),
        said({"dtype": "|u1", "shape": "22"}, bytes(4), 2),
        said({"dtype": "|u1", "shape": [True, 2]}, bytes(2), 2),
        said({}, b"", 2),
    ],
)
def test_pixels_that_do_not_fit_are_not_believed(
    answer: bytes, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START", liar([said(study()), answer]))
    with Reader(Limits(deadline_s=2)) as reader:
        found = reader.read(film)
        with pytest.raises(InputError) as caught:
            found.decode(0)
    assert caught.value.reason == "unreadable"


def test_half_an_answer_is_waited_for_only_so_long(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = said(study(), b"1234", announced=8)
    monkeypatch.setattr(process, "_START", liar([begun]) + "import time; time.sleep(60)\n")
    with Reader(Limits(deadline_s=1)) as reader, pytest.raises(InputError) as caught:
        reader.read(film)
    assert caught.value.reason == "timeout"


# --- the helper as a process ---


def test_it_starts_with_the_first_file_and_ends_with_the_reader(film: Path) -> None:
    reader = Reader(BIG)
    assert reader.pid is None
    reader.read(film)
    pid = reader.pid
    assert pid is not None
    reader.read(film)
    assert reader.pid == pid
    reader.close()
    reader.close()
    assert not Path(f"/proc/{pid}").exists()
    assert reader.read(film).pixels.shape == (48, 48)
    pid = reader.pid
    del reader
    gc.collect()
    assert not Path(f"/proc/{pid}").exists(), "a reader that is forgotten leaves nothing behind"


def test_after_so_many_files_another_takes_its_place(film: Path, cine: Path) -> None:
    with Reader(Limits(files=2)) as reader:
        pids = []
        for _ in range(5):
            assert reader.read(film).pixels.shape == (48, 48)
            pids.append(reader.pid)
        assert pids[0] == pids[1] != pids[2] == pids[3] != pids[4]
    with Reader(Limits(files=1)) as reader:
        study = reader.read(cine)
        pid = reader.pid
        wanted = [pixels.tobytes() for pixels in sources.read(cine).each()]
        assert [pixels.tobytes() for pixels in study.each()] == wanted
        assert reader.pid == pid, "frames of one file come from one helper"


def test_a_working_directory_that_is_gone_is_told(
    film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with Reader(BIG) as reader:
        with pytest.raises(NotFound):
            reader.read("film.png")
        assert reader.read(film).pixels.shape == (48, 48)
    monkeypatch.undo()


def test_it_takes_no_module_from_the_working_directory(
    film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (film.parent / "cv2.py").write_text("raise SystemExit('taken over')", "utf-8")
    monkeypatch.chdir(film.parent)
    with Reader(BIG) as reader:
        assert reader.read(film).pixels.shape == (48, 48)


def test_after_a_fork_each_process_has_a_helper_of_its_own(film: Path, tmp_path: Path) -> None:
    code = (
        "import os, sys\n"
        "from edge_dx.isolate import Reader\n"
        "reader = Reader(); reader.read(sys.argv[1]); first = reader.pid\n"
        "if os.fork() == 0:\n"
        "    reader.read(sys.argv[1]); os._exit(reader.pid == first)\n"
        "code = os.waitstatus_to_exitcode(os.wait()[1])\n"
        "reader.read(sys.argv[1]); assert reader.pid == first\n"
        "sys.exit(code)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(film)], check=True, timeout=60)


def test_where_it_does_not_start_it_says_so(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_START", "raise SystemExit")
    with pytest.raises(NotIsolated, match="does not start"):
        Reader(BIG).read(film)


def test_without_linux_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(NotIsolated, match="Linux alone, not on darwin"):
        Reader()


# --- in the model and on the command line ---


def test_a_model_reads_through_it_and_answers_the_same(
    tiny_path: Path, trust: TrustStore, film: Path
) -> None:
    with edge_dx.load(tiny_path, trust=trust) as here:
        wanted = here(film)
    with edge_dx.load(tiny_path, trust=trust, isolate=True) as model:
        found = model(film)
        assert model.reader is not None
        pid = model.reader.pid
        assert pid is not None
    assert not Path(f"/proc/{pid}").exists()
    assert (found.status, found.score, found.input_digest) == (
        wanted.status, wanted.score, wanted.input_digest,
    )  # fmt: skip


def test_a_file_that_takes_too_long_is_not_analysed(
    tiny_path: Path, trust: TrustStore, film: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "_START", FAKE % "time.sleep(60)")
    hostile = film.with_name("hostile.png")
    hostile.write_bytes(film.read_bytes())
    with edge_dx.load(tiny_path, trust=trust, isolate=Limits(deadline_s=1)) as model:
        results = list(model.batch([film, hostile, film], 3))
    assert [r.status.analysed for r in results] == [True, False, True]
    assert results[1].status is Status.NOT_ANALYSED
    assert results[1].reasons[0].code is Reason.TIMEOUT


@pytest.fixture
def command(tiny_path: Path, tmp_path: Path) -> Callable[..., Any]:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "tester.pub").write_bytes(tiny.PUBLIC_KEY)

    def run(*arguments: str | Path) -> Any:
        return subprocess.run(
            [sys.executable, "-m", "edge_dx", "run", str(tiny_path), *map(str, arguments),
             "--trust", str(tmp_path / "keys"), "--json"],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip

    return run


def test_on_the_command_line(command: Callable[..., Any], film: Path, tmp_path: Path) -> None:
    damaged = film.with_name("damaged.png")
    damaged.write_bytes(film.read_bytes()[:300])
    done = command(film, damaged, "--isolate", "--overlay", tmp_path / "out")
    assert done.returncode == 3, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["status"] in ("positive", "negative", "indeterminate"), second["status"]) == (
        True, "failed",
    )  # fmt: skip
    assert len(list((tmp_path / "out").iterdir())) >= 1


def test_pictures_of_results_are_not_named_by_what_a_file_says(
    command: Callable[..., Any], tmp_path: Path
) -> None:
    pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
    climbing = b"../../../climbed"
    path = tmp_path / "in" / "film.dcm"
    path.parent.mkdir()
    path.write_bytes(build.film({
        (0x0008, 0x0018): ("UI", climbing), (0x0010, 0x0010): ("PN", climbing),
        (0x0020, 0x000E): ("UI", climbing),
    }))  # fmt: skip
    before = {p for p in tmp_path.rglob("*") if p.is_file()}
    done = command(path, "--isolate", "--overlay", tmp_path / "out")
    assert done.returncode in (0, 3), done.stderr
    made = {p for p in tmp_path.rglob("*") if p.is_file()} - before
    assert {p.relative_to(tmp_path).as_posix() for p in made} == {"out/0001_film.png"}


def test_a_clip_on_the_command_line(command: Callable[..., Any], tmp_path: Path) -> None:
    clip = clips.write(tmp_path / "clip.avi", clips.pictures(6))
    done = command(clip, "--isolate")
    assert done.returncode == 3, done.stderr
    (line,) = map(json.loads, done.stdout.splitlines())
    assert "frames" in json.dumps(line["reasons"]), "this model judges single images"


def test_a_missing_package_is_told_in_the_same_words() -> None:
    error = MissingExtra("pydicom", "dicom", "film.dcm: reading DICOM")
    found = wire.error_of(wire.told_of_error(error), Path("film.dcm"))
    assert isinstance(found, MissingExtra)
    assert (str(found), found.package, found.extra) == (str(error), "pydicom", "dicom")


def test_the_head_of_a_message_is_what_its_document_says() -> None:
    assert struct.calcsize(HEAD.format) == 20
    assert wire.packed(1, {"a": 1}, b"xyz") == HEAD.pack(1, 8, 3) + b'{"a": 1}'
