"""examples/stream_ecg.py does what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from edge_dx.bundle import write_bundle
from tests.ecg import tiny_stream

ROOT = Path(__file__).parents[2]


def test_the_example_streams_an_ecg_and_writes_its_report(tmp_path: Path) -> None:
    bundle, page = tmp_path / "tiny-ecg.edx", tmp_path / "night.html"
    manifest, files = tiny_stream.with_golden()
    write_bundle(bundle, manifest, files, None)
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "stream_ecg.py"), "--bundle", str(bundle),
         "--allow-unsigned", "--report", str(page)],
        capture_output=True, text=True, timeout=120, check=False, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "judging begins" in done.stdout
    assert f"report: {page}" in done.stdout
    assert "Analysed: " in page.read_text("utf-8")
