"""`edge-dx stream`: lines for people and programs, files, and what happens when it is stopped."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_dx import wfdb
from edge_dx.__main__ import main
from edge_dx.trust import TrustStore
from tests.ecg import tiny_stream
from tests.ecg.scripted import ecg

RATE = 250


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_stream.write(tmp_path_factory.mktemp("stream") / "tiny-ecg.edx")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Text with two leads, of which the bundle prefers the second."""
    path = tmp_path / "night.csv"
    rows = "\n".join(f"{v1:.4f},{ii:.4f}" for ii, v1 in ecg(RATE, 12, 2))
    path.write_text(f"# rate_hz: {RATE}\nV1 (mV),II (mV)\n{rows}\n")
    return path


def run(bundle: Path, trust: TrustStore, *told: Any) -> int:
    return main(["stream", str(bundle), *map(str, told), "--trust", trust.origin])


def lines(capsys: pytest.CaptureFixture[str]) -> tuple[list[dict[str, Any]], str]:
    out, err = capsys.readouterr()
    return [json.loads(line) for line in out.splitlines()], err


def test_one_line_of_json_for_each_event(
    bundle: Path, trust: TrustStore, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, trust, recording, "--json") == 0
    found, told = lines(capsys)
    assert [event["type"] for event in found[:3]] == ["warmup", "warmup", "judging"]
    beats = [event for event in found if event["type"] == "beat"]
    assert len(beats) > 7
    assert set(beats[0]) == {"type", "sample", "time_s", "certain_at_s", "label", "probability",
                             "rr_s", "noisy"}  # fmt: skip
    for beat in beats:
        assert beat["time_s"] == pytest.approx(beat["sample"] / RATE, abs=1e-3)
        assert 0 < beat["certain_at_s"] - beat["time_s"] < 0.5
    assert "lead II (the model's first choice of those here; --leads chooses)" in told
    assert "of the power line nothing (--mains)" in told
    account = json.loads(told.splitlines()[-1])["account"]
    assert account["events"]["beat"] == len(beats)
    assert (account["seconds"], account["ended"]) == (12.0, None)


def test_lines_for_people(
    bundle: Path, trust: TrustStore, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(bundle, trust, recording, "--leads", "II,V1", "--mains", "50") == 0
    out, err = capsys.readouterr()
    assert "judged from here on" in out
    assert "  RR 0." in out
    assert "lead II and V1 (asked for)" in err
    assert "50 Hz is taken out" in err
    assert "night.csv: 12.0 s of signal" in err.splitlines()[-1]


def test_answers_differ_in_when_they_come(
    bundle: Path, trust: TrustStore, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    late: dict[str, list[float]] = {}
    for answer in ("at_once", "one_beat_late"):
        assert run(bundle, trust, recording, "--json", "--answer", answer) == 0
        found, _ = lines(capsys)
        late[answer] = [e["certain_at_s"] - e["time_s"] for e in found if e["type"] == "beat"]
    assert len(late["at_once"]) == len(late["one_beat_late"])
    assert max(late["at_once"]) < 0.5 < min(late["one_beat_late"][:-1])


@pytest.mark.parametrize(
    ("told", "code", "message"),
    [
        (("nothing.hea",), 2, "nothing.hea"),
        (("{recording}", "--leads", "V9"), 2, "V9"),
        (("{recording}", "--leads", "II,V1,II"), 2, "different names"),
        (("{recording}", "--variant", "gone"), 2, "no variant 'gone'"),
        (("{recording}", "--state", "{recording}"), 2, "no saved state"),
        (("{recording}", "--annotations", "{recording}"), 2, "--annotations"),
    ],
)
def test_wrong_usage_is_told(
    bundle: Path, trust: TrustStore, recording: Path, told: tuple[str, ...], code: int,
    message: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(bundle, trust, *(word.format(recording=recording) for word in told)) == code
    assert message in capsys.readouterr().err


def test_of_leads_that_nobody_knows_one_is_judged_and_of_several_none(
    bundle: Path, trust: TrustStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "\n".join(f"{one:.4f},{two:.4f}" for one, two in ecg(RATE, 12, 2))
    path = tmp_path / "two.csv"
    path.write_text(f"# rate_hz: {RATE}\nchest (mV),back (mV)\n{rows}\n")
    assert run(bundle, trust, path) == 2
    assert "none of the leads chest, back; say with --leads" in capsys.readouterr().err
    assert run(bundle, trust, path, "--leads", "chest") == 0
    one = "\n".join(f"{value:.4f}" for value in ecg(RATE, 12)[:, 0])
    path.write_text(f"# rate_hz: {RATE}\nchest (mV)\n{one}\n")
    capsys.readouterr()
    assert run(bundle, trust, path) == 0
    assert "lead chest (the only one)" in capsys.readouterr().err


@pytest.mark.parametrize("told", [(), ("x.hea", "--live", "synthetic"),
                                  ("x.hea", "--view", "--json")])  # fmt: skip
def test_what_cannot_be_meant_is_refused(
    bundle: Path, trust: TrustStore, told: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as caught:
        run(bundle, trust, *told)
    assert caught.value.code == 2


def test_a_bundle_of_pictures_streams_nothing_and_this_one_judges_none(
    bundle: Path, tiny_path: Path, trust: TrustStore, recording: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(tiny_path, trust, recording) == 2
    assert "edge-dx run tiny FILE" in capsys.readouterr().err
    picture = tmp_path / "x.png"
    picture.touch()
    assert main(["run", str(bundle), str(picture), "--trust", trust.origin]) == 2
    assert "edge-dx stream tiny-ecg FILE" in capsys.readouterr().err


def test_a_recording_without_a_signal_was_not_judged(
    bundle: Path, trust: TrustStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "flat.csv"
    path.write_text("# rate_hz: 250\nII (mV)\n" + "0.1\n" * 3000)
    assert run(bundle, trust, path) == 3
    out, err = capsys.readouterr()
    assert "beat" not in out
    assert "invalid (flat)" in out
    assert "never enough signal to judge" in err


def test_what_came_before_the_damage_stands(
    bundle: Path, trust: TrustStore, recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording.write_text(recording.read_text() + "1.0\n")
    assert run(bundle, trust, recording, "--json") == 1
    found, told = lines(capsys)
    assert sum(event["type"] == "beat" for event in found) > 7
    assert "night.csv" in json.loads(told.splitlines()[-1])["account"]["ended"]


# --- files ---


def test_annotations_are_read_by_others_and_shut_down_what_was_not_judged(
    bundle: Path, trust: TrustStore, recording: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    rows = recording.read_text().splitlines()
    broken = tmp_path / "gap.csv"
    kept = [(i, row) for i, row in enumerate(rows[2:]) if not 1500 <= i < 1700]
    broken.write_text("\n".join([rows[0], "index," + rows[1], *(f"{i},{r}" for i, r in kept)]))
    out = tmp_path / "out"
    assert run(bundle, trust, broken, "--json", "--annotations", out) == 0
    found, _ = lines(capsys)
    written = wfdb.read_annotations(out / "gap.edge")
    beats = [(e["sample"], e["label"]) for e in found if e["type"] == "beat"]
    assert [(a.sample, a.symbol) for a in written if a.symbol in "NSVFQ"] == beats
    assert written.rate_hz == RATE
    shut = [(a.sample, a.subtype) for a in written if a.symbol == "~"]
    judging = [e["sample"] for e in found if e["type"] == "judging"]
    assert [subtype for _, subtype in shut] == [48, 0, 48, 0]
    assert shut[0][0] == 0
    assert shut[2][0] <= 1500 <= 1700 < shut[3][0]
    assert shut[3][0] <= judging[2] + 10
    assert main(["evaluate", str(out / "gap.edge"), str(out / "gap.edge"), "--from", "0:01"]) == 0


def test_a_state_goes_on_where_it_was_kept(
    bundle: Path, trust: TrustStore, recording: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    rows = recording.read_text().splitlines()
    whole = tmp_path / "whole.npz"
    assert run(bundle, trust, recording, "--json", "--state", whole) == 0
    wanted, _ = lines(capsys)
    state, told = tmp_path / "state.npz", []
    for cut in (1200, len(rows)):  # the second time all is there, the old samples too
        (tmp_path / "part.csv").write_text("\n".join(rows[:cut]) + "\n")
        assert run(bundle, trust, tmp_path / "part.csv", "--json", "--state", state) in (0, 3)
        found, err = lines(capsys)
        told += found
    assert told == wanted
    assert json.loads(err.splitlines()[-1])["account"]["dropped"] == 1198
    with np.load(state) as one, np.load(whole) as other:
        assert all(np.array_equal(one[name], other[name], equal_nan=one[name].dtype.kind == "f")
                   for name in other.files)  # fmt: skip
    assert run(bundle, trust, recording, "--state", state, "--answer", "one_beat_late") == 2
    assert "another stream" in capsys.readouterr().err


def test_samples_come_through_a_pipe(
    bundle: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    head = {"rate_hz": RATE, "leads": ["V1", "II"], "unit": "mV", "dtype": "float32", "start": 70}
    mv = ecg(RATE, 12, 2)[:, ::-1].astype("<f4")

    class Stdin:
        buffer = io.BytesIO(json.dumps(head).encode() + b"\n" + mv.tobytes())

    monkeypatch.setattr(sys, "stdin", Stdin())
    assert run(bundle, trust, "-", "--json") == 0
    found, _ = lines(capsys)
    assert found[0]["sample"] == 70
    assert found[0]["lead"] == "II"
    assert sum(event["type"] == "beat" for event in found) > 7


# --- being stopped ---


def _started(bundle: Path, trust: TrustStore, *told: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "edge_dx", "stream", str(bundle), "--live", "synthetic",
               "--trust", trust.origin, "--json", *map(str, told)]  # fmt: skip
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env={**os.environ, "PYTHONUNBUFFERED": "1"})  # fmt: skip


def test_ctrl_c_ends_it_cleanly_and_keeps_what_there_is(
    bundle: Path, trust: TrustStore, tmp_path: Path
) -> None:
    out, state = tmp_path / "out", tmp_path / "state.npz"
    with _started(bundle, trust, "--rate", "all", "--annotations", out, "--state", state) as child:
        assert child.stdout
        for line in child.stdout:
            if json.loads(line)["type"] == "beat":
                break
        child.send_signal(signal.SIGINT)
        _, told = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "Traceback" not in told
    assert json.loads(told.splitlines()[-1])["account"]["events"]["beat"] >= 1
    assert any(item.symbol == "N" or item.symbol in "SVFQ"
               for item in wfdb.read_annotations(out / "synthetic.edge"))  # fmt: skip
    assert state.exists()


def test_a_reader_who_goes_ends_it_quietly(bundle: Path, trust: TrustStore) -> None:
    with _started(bundle, trust, "--rate", "all") as child:
        assert child.stdout
        assert child.stdout.readline()
        child.stdout.close()
        assert child.stderr
        told = child.stderr.read()
        assert child.wait(timeout=30) == 1
    assert "Traceback" not in told


def test_a_live_source_keeps_the_pace_of_life(bundle: Path, trust: TrustStore) -> None:
    with _started(bundle, trust) as child:
        assert child.stdout
        began = None
        for line in child.stdout:
            event = json.loads(line)
            began = began or time.monotonic()
            if event["type"] == "judging":
                break
        took_s = time.monotonic() - began
        child.send_signal(signal.SIGINT)
        child.communicate(timeout=30)
    assert took_s == pytest.approx(event["certain_at_s"], abs=0.7)
