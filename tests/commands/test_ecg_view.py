"""`--view`: what stands on the terminal, drawn over in place; lines where nobody can watch."""

from __future__ import annotations

import io
import os
import re
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from edge_dx.commands import ecg_view
from edge_dx.commands.ecg_trace import drawn
from edge_dx.commands.ecg_view import LiveView
from edge_dx.ecg.events import Alarm, Beat, Judging, Noise, Rhythm
from edge_dx.ecg.stream import StreamInfo
from edge_dx.signal import Quality, Samples, Warmup

RATE = 100
INFO = StreamInfo(
    bundle="tiny 0.0.1", bundle_digest="0" * 64, variant="onnx-fp32", engine="onnx",
    rate_hz=Fraction(RATE), leads=("II",), mains_hz=None, answer="at_once", hop_s=0.1,
    delay_s=0.1, latency_s=0.4, warmup_s=2.0, rhythms=("AF",),
    alarms=("asystole", "ventricular_tachycardia", "couplet"),
)  # fmt: skip


class Terminal(io.TextIOWrapper):
    """A terminal that keeps what was written."""

    def __init__(self, encoding: str = "utf-8", *, tty: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding, write_through=True)
        self._tty = tty

    def isatty(self) -> bool:
        return self._tty

    @property
    def text(self) -> str:
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


def screen(text: str, wide: int = 200) -> list[str]:
    """What a terminal shows, which knows only the few orders that are allowed here."""
    rows, y, x, at = [[" "] * wide for _ in range(100)], 0, 0, 0
    while at < len(text):
        if text[at] == "\x1b":
            found = re.compile(r"\x1b\[(\d*)([AKJ])|\x1b\[[0-9;]*m").match(text, at)
            assert found, f"an order that this view has no need of: {text[at : at + 8]!r}"
            at = found.end()
            if found[2] == "A":
                y -= int(found[1])
            elif found[2]:
                rows[y][x:] = [" "] * (wide - x)
                if found[2] == "J":
                    rows[y + 1 :] = [[" "] * wide for _ in rows[y + 1 :]]
            continue
        if text[at] == "\r":
            x = 0
        elif text[at] == "\n":
            y, x = y + 1, 0
        else:
            rows[y][x] = text[at]
            x += 1
        at += 1
    return ["".join(row).rstrip() for row in rows]


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "90")
    monkeypatch.setenv("LINES", "30")
    monkeypatch.setattr(ecg_view, "_EACH_S", 0.0)


def fed(view: LiveView, beats: int = 12, labels: str = "N") -> LiveView:
    view.event(Warmup(0, 0, "II", ready=False))
    view.event(Warmup(100, 100, "II", ready=True))
    view.event(Judging(200, 220, "begins"))
    for number in range(beats):
        at = 300 + number * 80
        view.samples(Samples(np.sin(np.arange(80) / 8)[:, None], 220 + number * 80))
        rr = 0.8 if number else None
        view.event(Beat(at, at + 40, labels[number % len(labels)], 0.9, rr))  # type: ignore[arg-type]
        view.stepped(0.0002)
    return view


def test_it_stands_in_place_and_tells_what_is_known() -> None:
    out = Terminal()
    view = fed(LiveView(INFO, "night.hea", out), labels="NNV")
    view.event(Rhythm(400, 1000, "AF", "begins", 0.9))
    view.event(Alarm(500, 540, "ventricular_tachycardia", "begins", 150.0, "/min"))
    view.event(Noise(600, 610, "begins"))
    view.event(Quality(700, 700, "II", "invalid", "lead_off"))
    view.close(1200, None)
    lines = screen(out.text)
    shown = "\n".join(lines)
    for said in ("night.hea  lead II  100/s", "not for diagnosis", "tiny 0.0.1, onnx-fp32 on onnx",
                 " 75 /min", "sample 1179", "judged, in noise", "V 800 | N 800 | N 800 | V 800",
                 "N 8  S 0  V 4", "ATRIAL FIBRILLATION since 0:00:01", "no signal (lead off)",
                 "beat 400 ms after its R peak (worst 400); step 0.20 ms (worst 0.20)",
                 "ALARM    ventricular tachycardia 150/min since 0:00:02"):  # fmt: skip
        assert said in shown, said
    assert shown.count("not for diagnosis") == 1, "one picture, drawn over"
    assert max(map(len, lines)) < 90


def test_the_letters_stand_above_their_beats() -> None:
    out = Terminal()
    fed(LiveView(INFO, "x", out), labels="NV").close(0, None)
    above = next(line for line in screen(out.text) if re.fullmatch(r" +[NV](  +[NV])+ *", line))
    places = [(match.start() - 9) / 80 * 6 for match in re.finditer("[NV]", above)]
    np.testing.assert_allclose(np.diff(places), 0.8, atol=0.08)


def test_what_is_not_judged_has_no_heart_rate() -> None:
    out = Terminal()
    view = fed(LiveView(INFO, "x", out))
    view.event(Judging(1200, 1210, "ends"))
    view.close(1200, None)
    assert " -- /min" in "\n".join(screen(out.text))
    assert "NOT JUDGED" in "\n".join(screen(out.text))
    assert "none now" not in "\n".join(screen(out.text))
    assert "no atrial fibrillation" not in "\n".join(screen(out.text))


def test_what_is_not_looked_for_is_not_told_as_absent() -> None:
    out = Terminal()
    fed(LiveView(replace(INFO, rhythms=(), alarms=()), "x", out)).close(1200, None)
    shown = "\n".join(screen(out.text))
    assert "rhythm   not judged by this model" in shown
    assert "alarms   no rule is on" in shown


def test_alarms_end_and_are_kept_for_a_while() -> None:
    out = Terminal()
    view = fed(LiveView(INFO, "x", out))
    view.event(Alarm(500, 540, "asystole", "begins", 3.2, "s"))
    view.event(Alarm(900, 940, "asystole", "ends", 4.0, "s"))
    view.event(Alarm(700, 740, "couplet", "begins", 2.0, "beats"))
    view.close(1200, None)
    shown = "\n".join(screen(out.text))
    assert "alarms   none now" in shown
    assert "past     couplet 2 beats at 0:00:04; asystole 3.2 s at 0:00:02" in shown


@pytest.mark.parametrize(("columns", "rows"), [("40", "30"), ("90", "6"), ("300", "50")])
def test_it_keeps_to_the_size_of_the_terminal(
    columns: str, rows: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", rows)
    out = Terminal()
    fed(LiveView(INFO, "a name that goes on and on " * 4, out)).close(0, None)
    lines = screen(out.text, wide=int(columns))
    assert len([line for line in lines if line]) < int(rows)


def test_where_no_cursor_moves_there_are_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Terminal(tty=False)
    fed(LiveView(INFO, "x", plain), beats=30).close(0, None)
    lines = plain.text.splitlines()
    assert [line.split()[0] for line in lines] == ["0:00:10", "0:00:20", "0:00:24"]
    assert all("75/min" in line and "judged" in line for line in lines)
    assert "\x1b" not in plain.text
    monkeypatch.setenv("TERM", "dumb")
    dumb = Terminal()
    fed(LiveView(INFO, "x", dumb), beats=30).close(0, None)
    assert dumb.text == plain.text


def test_a_terminal_without_braille_has_stars() -> None:
    out = Terminal("ascii")
    fed(LiveView(INFO, "n\u00e4chtlich\x1b[2J.hea", out)).close(0, None)
    shown = "\n".join(screen(out.text))
    assert "*" in shown
    assert "n?chtlich?[2J.hea" in shown


def test_a_reader_that_has_gone_stops_nothing() -> None:
    class Gone(Terminal):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    view = fed(LiveView(INFO, "x", Gone()))
    view.close(0, None)


def test_a_trace_has_no_holes_and_nothing_where_nothing_is() -> None:
    mv = np.concatenate([np.zeros(50), np.full(50, np.nan), [0, 1.0], np.zeros(48)])
    lines = drawn(mv, 30, 4, braille=False)
    assert [len(line) for line in lines] == [30] * 4
    columns = ["".join(column) for column in zip(*lines, strict=True)]
    assert all(column == "    " for column in columns[11:19])
    assert all(column.strip() for column in [*columns[:10], *columns[20:]])
    assert columns[20] == "****", "the stroke from the line to its peak and back"
    assert drawn(np.full(10, np.nan), 5, 2, braille=True) == [" " * 5] * 2
    assert drawn(np.zeros(0), 5, 2, braille=True) == [" " * 5] * 2


@pytest.mark.skipif(os.name != "posix", reason="a pseudo-terminal is POSIX's")
def test_ctrl_c_leaves_the_terminal_as_it_was(tmp_path: Path) -> None:
    import pty
    import select
    import sys
    import termios

    from tests import tiny
    from tests.ecg import tiny_stream

    bundle = tiny_stream.write(tmp_path / "tiny-ecg.edx")
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "tester.pub").write_bytes(tiny.PUBLIC_KEY)
    # The child closes its side as it ends; ours stays open, so that its settings can be read.
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    child = os.fork()
    if not child:
        os.login_tty(theirs) if hasattr(os, "login_tty") else _own_terminal(theirs)
        os.execv(sys.executable, [sys.executable, "-m", "edge_dx", "stream", str(bundle), "--live",
                                  "synthetic", "--view", "--trust", str(keys)])  # fmt: skip
    said, stopped, until = b"", False, time.monotonic() + 60
    while time.monotonic() < until:
        if select.select([ours], [], [], 0.2)[0]:
            said += os.read(ours, 65536)
        if not stopped and said.count(b"not for diagnosis") >= 3:
            os.write(ours, b"\x03")
            stopped = True
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
    else:
        os.kill(child, 9)
        os.waitpid(child, 0)
        raise AssertionError(f"it did not end: {said[-500:]!r}")
    assert os.waitstatus_to_exitcode(status) == 130
    assert termios.tcgetattr(theirs) == before
    assert b"\x1b[?" not in said, "no mode was changed that could stay so"
    os.close(ours)
    os.close(theirs)


def _own_terminal(descriptor: int) -> None:
    """What `os.login_tty` of Python 3.11 does."""
    import fcntl
    import termios

    os.setsid()
    fcntl.ioctl(descriptor, termios.TIOCSCTTY, 0)
    for standard in (0, 1, 2):
        os.dup2(descriptor, standard)
