"""The `edge-dx-bridge` command, against a simulated device on a TCP port."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import firmware_bridge
from edge_dx.sources.samples import Delimited
from firmware_bridge import Simulator
from firmware_bridge.__main__ import main
from firmware_bridge.commands.monitor import sketch
from firmware_bridge.faults import Lane, Plan
from firmware_bridge.frames import ConsoleFramer
from firmware_bridge.port import Found
from firmware_bridge.recording import Recorder
from firmware_bridge.simulator import RecordStream, SimulatedDevice
from tests.bridge.hearts import heart
from tests.bridge.test_link import LONG_S, blocks_of


@pytest.fixture
def url() -> Iterator[str]:
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)], serial="A\x1b[2J")
    with Simulator(device) as simulator:
        yield simulator.tcp()


def test_info(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", url]) == 0
    told = capsys.readouterr().out
    assert "serial A\\x1b[2J" in told, "no escape reaches a terminal"
    assert "stream ecg: 250 Hz, II, 0.5 uV per count, 24 bits, 25 per message" in told
    assert re.search(r"clock: known to \d", told)
    assert main(["info", url, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["hello"]["streams"][0]["leads"] == ["II"]
    assert found["device_counters"]["damaged"] == 0


def test_monitor(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitor", url, "--seconds", "1.5"]) == 0
    *lines, end = capsys.readouterr().out.splitlines()
    assert lines
    assert re.match(r"streaming +\d+\.\d Hz  lost 0.000%", lines[0])
    assert re.match(r"ecg: \d+ received, 0 lost on the way", end)


def test_record_and_replay(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "walk.edxr"
    assert main(["record", url, "-o", str(path), "--seconds", "0.7"]) == 0
    assert re.search(r"walk.edxr: ecg: \d+ received, 0 lost", capsys.readouterr().out)
    assert main(["record", url, "-o", str(path)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert main(["replay", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    counts, _ = heart(4)
    assert lines[:2] == ["# rate_hz: 250", "index,II (uV)"]
    assert lines[2] == f"0,{counts[0, 0] * 0.5:.10g}"
    assert main(["monitor", str(path)]) == 0
    assert f"ecg: {len(lines) - 2} received" in capsys.readouterr().out


def test_what_replay_prints_edge_dx_reads_with_its_gaps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, text = tmp_path / "walk.edxr", tmp_path / "walk.csv"
    counts, record = heart(20)
    plan = Plan(seed=8, to_host=Lane(drop=4e-4))
    with (
        Simulator(SimulatedDevice([record]), "fast", plan) as simulator,
        Recorder(path) as recorder,
        firmware_bridge.connect(simulator, tap=recorder.tap) as link,
    ):
        stream = link.stream("ecg", on_full="block")
        while stream.get(1.0) is not None:
            pass
        stream.close()
        lost = link.counts["ecg"].lost_link
    assert main(["replay", str(path)]) == 0
    told = capsys.readouterr()
    text.write_text(told.out)
    expected, missing = 0, 0
    for block in Delimited(text).blocks():
        assert block.start is not None
        missing += block.start - expected
        expected = block.start + len(block.mv)
        np.testing.assert_allclose(block.mv, counts[block.start : expected] * 0.5e-3, atol=1e-9)
    assert 0 < missing <= lost
    assert f"{missing} samples are missing" in told.err


def test_a_restart_in_a_recording_ends_the_replay(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "walk.edxr"
    counts, record = heart(4)
    device = SimulatedDevice([RecordStream(record.info, counts, repeat=True)])
    with (
        Simulator(device) as simulator,
        Recorder(path) as recorder,
        firmware_bridge.connect(simulator, tap=recorder.tap) as link,
    ):
        stream = link.stream("ecg")
        blocks_of(stream, 50)
        link.restart()
        while (block := stream.get(LONG_S)) is not None and block.run == 0:
            pass
    assert main(["replay", str(path)]) == 0
    assert "was restarted after index" in capsys.readouterr().err


def test_list(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    where = "firmware_bridge.commands.listing.ports"
    monkeypatch.setattr(where, lambda: [Found(url, "a socket", "1209:0001:A")])
    assert main(["list"]) == 0
    told = capsys.readouterr().out
    assert "a socket  1209:0001:A  edge-dx simulator A\\x1b[2J, firmware 1.0.0.0: ecg" in told
    monkeypatch.setattr(where, lambda: [Found("/dev/none", "", "")])
    assert main(["list"]) == 0
    assert "/dev/none  (/dev/none: no such serial port" in capsys.readouterr().out
    assert main(["list", "--no-ask"]) == 0
    assert capsys.readouterr().out == "/dev/none\n"
    monkeypatch.setattr(where, list)
    assert main(["list"]) == 0
    assert "no serial ports" in capsys.readouterr().out


def test_list_tells_servers_of_the_standard_and_silence_and_who_is_busy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("firmware_bridge.dialect.HELLO_TIMEOUT_S", 0.05)
    ours, theirs = pty.openpty()
    with (
        Simulator(SimulatedDevice(framer=ConsoleFramer())) as console,
        Simulator(SimulatedDevice()) as taken,
    ):
        here = [
            Found(console.pty(), "a", "2fe3:0001:A"), Found(os.ttyname(theirs), "b", ""),
            Found(taken.pty(), "c", ""),
        ]  # fmt: skip
        monkeypatch.setattr("firmware_bridge.commands.listing.ports", lambda: here)
        with firmware_bridge.connect(here[2].path):
            assert main(["list"]) == 0
    os.close(ours)
    os.close(theirs)
    told = capsys.readouterr().out.splitlines()
    assert "profile cdc-acm  an SMP server, requests up to 1024 bytes" in told[0]
    assert "nothing answers" in told[1]
    assert "another program has it" in told[2]


def test_simulate_behind_a_bad_cable(tmp_path: Path) -> None:
    plan = tmp_path / "plan.toml"
    plan.write_text("seed = 3\n[to_host]\ndrop = 0.001\n")
    running = subprocess.Popen(
        [sys.executable, "-m", "firmware_bridge", "simulate", "--faults", str(plan)],
        stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert running.stdout is not None
    try:
        with firmware_bridge.connect(running.stdout.readline().strip()) as link:
            stream = link.stream("ecg")
            assert stream.get(LONG_S) is not None
            link.verdict({"label": "N"})
        assert running.stdout.readline() == "verdict: {'label': 'N'}\n"
    finally:
        running.terminate()
        running.wait(LONG_S)
        running.stdout.close()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["info", "/dev/none"], "no such serial port"),
        (["info", "socket://127.0.0.1:1"], "cannot be reached"),
        (["replay", "none.edxr"], "no such recording"),
        (["simulate", "--faults", "none.toml"], "cannot be read"),
        (["info", "/dev/none", "--device", "openview"], "rate_hz"),
    ],
)
def test_what_cannot_be_done(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert told in capsys.readouterr().err


def test_usage() -> None:
    with pytest.raises(SystemExit) as ended:
        main(["record", "/dev/none"])
    assert ended.value.code == 2


def test_the_sketch_shows_where_something_happens() -> None:
    signal = np.zeros(200, np.int32)
    signal[100] = -900
    drawn = sketch([signal])
    assert len(drawn) == 40
    assert drawn.strip() == drawn[20]
    assert sketch([]) == ""
