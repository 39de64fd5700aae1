"""gdcm in a process of its own: its end is one study's reason, and the next study is read."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")
if importlib.util.find_spec("gdcm") is None:
    pytest.skip("the extra `gdcm` is not installed", allow_module_level=True)

from pydicom.data import get_testdata_file

from edge_dx import sources
from edge_dx.errors import UnreadableInput
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


@pytest.mark.parametrize("end", ["abort", "silence", "nonsense"])
def test_it_may_break_down_within_a_frame(end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that does what gdcm does on some streams."""
    acts = {
        "abort": "import os; os.abort()",
        "silence": "import time; time.sleep(60)",
        "nonsense": "import sys; sys.stdout.write('x' * 99); sys.stdout.flush(); input()",
    }
    real = apart.subprocess.Popen

    def popen(command: list[str], **how: object) -> object:
        return real([command[0], "-c", acts[end]], **how)  # type: ignore[call-overload]

    monkeypatch.setattr(apart, "_CHILD", apart._Child())
    monkeypatch.setattr(apart, "DEADLINE_S", 1.0)
    monkeypatch.setattr(apart.subprocess, "Popen", popen)
    with pytest.raises(UnreadableInput, match=r"SC_rgb_jpeg_gdcm\.dcm: its decoder \(gdcm\)"):
        _ = sources.read(WHOLE).pixels
    monkeypatch.setattr(apart.subprocess, "Popen", real)
    monkeypatch.setattr(apart, "DEADLINE_S", 60.0)
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
