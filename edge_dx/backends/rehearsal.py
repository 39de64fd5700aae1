"""Loads and runs a TFLite file of unknown origin once, in a process of its own.

An interpreter that meets a broken file can end its process instead of raising. Whoever is about to
sign a file from elsewhere asks here first: what dies is a child, and how it died is the answer.
"""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np

from edge_dx.errors import EngineMissing


def rehearsed(payload: bytes, timeout_s: float = 60.0) -> str | None:
    """Why the file must not be used, or None where it loaded and ran on zeros.

    Raises:
        EngineMissing: no TFLite interpreter is installed.
    """
    command = [sys.executable, "-m", "edge_dx.backends.rehearsal"]
    try:
        done = subprocess.run(
            command, input=payload, capture_output=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it did not load and run within {timeout_s:g} s"
    if done.returncode < 0:
        return f"it ends the interpreter's process ({signal.Signals(-done.returncode).name})"
    lines = done.stdout.decode("utf-8", "replace").strip().splitlines()
    told = lines[-1] if lines else f"exit code {done.returncode}"
    if done.returncode == 2:
        raise EngineMissing(told)
    return told if done.returncode else None


def _child() -> int:
    from edge_dx.backends.tflite import new_interpreter

    try:
        interpreter = new_interpreter(sys.stdin.buffer.read(), 1, "the file")
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()
    except EngineMissing as error:
        print(error)
        return 2
    except Exception as error:  # whatever it raises is the finding
        print(" ".join(str(error).split()))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_child())
