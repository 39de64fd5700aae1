"""No engine tells anybody that it runs: no connection, and nothing written to the home."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge_dx.backends import ENGINES, engine_state

ROOT = Path(__file__).parents[2]

RUN = """
import sys
from pathlib import Path
seen = []
def hook(event, arguments):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "urllib.Request")):
        seen.append((event, arguments))
sys.addaudithook(hook)
import time
import numpy as np
from edge_dx.backends import engine_state, open_backend
from tests import tiny
engine_state(sys.argv[1])
parts = tiny.parts()
manifest, payload = parts.built(), tiny.network()
variant = manifest.variants[0]
if sys.argv[1] == "tflite":
    parts.manifest["variants"] = [tiny.tflite_variant()]
    parts.members[parts.manifest["variants"][0]["file"]] = payload = tiny.tflite_file()
    manifest = parts.built()
    variant = manifest.variants[0]
backend = open_backend(sys.argv[1], manifest, variant, payload)
backend.run({"image": np.zeros((1, 1, 32, 32), np.uint8)})
time.sleep(0.5)  # uploads have threads of their own
backend.close()
assert not seen, seen
"""


@pytest.fixture(params=["onnx", "openvino", "tflite"])
def engine(request: pytest.FixtureRequest) -> str:
    there, why = engine_state(request.param)
    if not there:
        pytest.skip(f"engine {request.param}: {why}")
    return str(request.param)


def run(engine: str, home: Path, *before: str) -> None:
    home.mkdir()
    # As on a device: where CI is set, onnxruntime is silent by itself.
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    subprocess.run(
        [*before, sys.executable, "-c", RUN, engine],
        check=True, timeout=120, cwd=ROOT, env=environment, capture_output=True,
    )  # fmt: skip


def test_nothing_is_written_to_the_home(engine: str, tmp_path: Path) -> None:
    run(engine, tmp_path / "home")
    assert list((tmp_path / "home").iterdir()) == []


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_no_connection_is_opened_by_native_code_either(engine: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    run(engine, tmp_path / "home", "strace", "-f", "-qq", "-e", "trace=connect,sendto",
        "-o", str(log))  # fmt: skip
    lines = log.read_text("utf-8", "replace").splitlines()
    assert not [line for line in lines if "AF_INET" in line]


def test_the_list_of_engines_that_were_looked_at_is_whole() -> None:
    assert set(ENGINES) - {"onnx", "openvino", "tflite"} == {
        "tensorrt", "onnx-cuda", "pretend",
    }, "does the new engine report home? try it here"  # fmt: skip
