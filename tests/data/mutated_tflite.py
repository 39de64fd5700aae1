"""Runs a TFLite file in a child process for each of many damaged versions of it.

    python -m tests.data.mutated_tflite FILE COUNT

Prints how the children ended, as JSON. A signal here would be the end of the caller.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from edge_dx.backends.tflite import describe, new_interpreter
from edge_dx.errors import EngineError


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut short, or with bits, bytes, words or stretches changed; the mark stays."""
    found = bytearray(data)
    at = chance.randrange(8, len(found) - 32)
    kind = chance.randrange(6)
    if kind == 0:
        return bytes(found[:at])
    if kind == 1:
        found[at] ^= 1 << chance.randrange(8)
    elif kind == 2:
        for _ in range(8):
            found[chance.randrange(8, len(found))] = chance.randrange(256)
    elif kind == 3:
        word = chance.choice([b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", bytes(4)])
        found[at // 4 * 4 : at // 4 * 4 + 4] = word
    elif kind == 4:
        found[at : at + 32] = bytes(32)
    else:
        other = chance.randrange(8, len(found) - 32)
        found[at : at + 32] = found[other : other + 32]
    return bytes(found)


def attempt(payload: bytes) -> int:
    """0: ran; 3: refused with a typed error; 4: the interpreter raised while running."""
    try:
        describe(payload)
        interpreter = new_interpreter(payload, 1, "the file")
    except EngineError:
        return 3
    try:
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()
    except (RuntimeError, ValueError):
        return 4
    return 0


def main(path: Path, count: int) -> None:
    """Prints {how it ended: how often}; a number below zero is a signal."""
    data, chance, ended = path.read_bytes(), random.Random(0), Counter[int]()
    quiet = os.open(os.devnull, os.O_WRONLY)
    for _ in range(count):
        payload = damaged(data, chance)
        child = os.fork()
        if child == 0:
            os.dup2(quiet, 2)
            signal.alarm(20)
            os._exit(attempt(payload))
        ended[os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])] += 1
    print(json.dumps(ended))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
