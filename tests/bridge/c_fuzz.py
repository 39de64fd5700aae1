"""Coverage-guided fuzzing of the C reference: `python -m tests.bridge.c_fuzz --seconds 60`.

Needs clang with libFuzzer. What an input is stands in `firmware_bridge/firmware/host/fuzz.c`; the
first inputs are sessions that a host might hold. Finds lie where `--finds` says.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from firmware_bridge.mcuboot import firmware_image
from firmware_bridge.smp import Group, Image, Message, Op, Os, Ours
from tests.bridge.c_device import FIRMWARE, WARNINGS

RAW, MESSAGE, SAMPLES, LEAVES = range(4)


def step(what: int, data: bytes) -> bytes:
    """One step of an input."""
    return bytes([what, len(data)]) + data


def asked(sequence: int, op: Op, group: int, command: int, body: dict[str, Any]) -> bytes:
    """A request in a good frame, and its answer taken."""
    message = Message(op, group, command, sequence, body).to_bytes()
    return step(MESSAGE, message) + bytes([LEAVES, 0])


def sessions() -> list[bytes]:
    """What a host does: looks around, listens, sends firmware, goes on where it was cut off."""
    hello = asked(0, Op.READ, Group.EDGE_DX, Ours.HELLO, {})
    start = asked(1, Op.WRITE, Group.EDGE_DX, Ours.START, {"id": 0})
    stop = asked(2, Op.WRITE, Group.EDGE_DX, Ours.STOP, {"id": 0})
    again = asked(1, Op.WRITE, Group.EDGE_DX, Ours.START, {"id": 0})
    verdict = {"stream": 0, "boot": 1, "index": 5, "type": "beat", "label": "V", "p": 0.5}
    talk = [
        asked(3, Op.WRITE, Group.OS, Os.ECHO, {"d": "hällo"}),
        asked(4, Op.READ, Group.OS, Os.PARAMETERS, {}),
        asked(5, Op.READ, Group.EDGE_DX, Ours.PING, {"t1": 2**40}),
        asked(6, Op.WRITE, Group.EDGE_DX, Ours.VERDICT, verdict),
        asked(7, Op.READ, Group.EDGE_DX, Ours.COUNTERS, {}),
        asked(8, Op.READ, Group.IMAGE, Image.STATE, {}),
        asked(9, Op.WRITE, Group.IMAGE, Image.ERASE, {}),
    ]
    listen = start + step(SAMPLES, bytes(range(100))) + bytes([LEAVES, 3])
    listen += step(SAMPLES, bytes(250)) * 8 + bytes([LEAVES, 0]) + again + stop
    image = firmware_image(bytes(range(200)), (1, 2, 3, 4))
    first = {"off": 0, "len": len(image), "sha": hashlib.sha256(image).digest()}
    upload, at, sequence = b"", 0, 20
    while at < len(image):
        room = 90 if at == 0 else 150
        body = (first if at == 0 else {"off": at}) | {"data": image[at : at + room]}
        upload += asked(sequence, Op.WRITE, Group.IMAGE, Image.UPLOAD, body)
        at, sequence = at + room, sequence + 1
    digest = firmware_image_digest(image)
    tried = asked(40, Op.WRITE, Group.IMAGE, Image.STATE, {"hash": digest, "confirm": False})
    reset = asked(41, Op.WRITE, Group.OS, Os.RESET, {})
    kept = asked(42, Op.WRITE, Group.IMAGE, Image.STATE, {"confirm": True})
    return [
        hello + b"".join(talk), hello + listen, hello + upload + tried + reset + hello + kept,
        upload + tried + reset + reset, step(RAW, bytes(range(256))[:255]), start + reset + listen,
    ]  # fmt: skip


def firmware_image_digest(image: bytes) -> bytes:
    """The digest by which it is named."""
    from firmware_bridge.mcuboot import read_image

    return read_image(image).digest


def build(directory: Path) -> Path:
    """Compiles the target.

    Raises:
        FileNotFoundError: no clang.
        subprocess.CalledProcessError: it has no libFuzzer, or the reference does not compile.
    """
    clang = shutil.which("clang")
    if clang is None:
        raise FileNotFoundError("clang is not installed")
    made = directory / "fuzz"
    sources = [*sorted(FIRMWARE.glob("edx_*.c")), FIRMWARE / "host" / "fuzz.c"]
    subprocess.run(
        [clang, "-std=c11", "-g", "-O1", "-fsanitize=fuzzer,address,undefined",
         "-fno-sanitize-recover=all", *WARNINGS, *map(str, sources), "-o", str(made)],
        check=True, timeout=300, capture_output=True,
    )  # fmt: skip
    return made


def run(program: Path, directory: Path, *limits: str) -> subprocess.CompletedProcess[str]:
    """Fuzzes from the sessions on."""
    corpus = directory / "corpus"
    corpus.mkdir(exist_ok=True)
    for number, session in enumerate(sessions()):
        (corpus / f"session{number}").write_bytes(session)
    return subprocess.run(
        [str(program), str(corpus), "-max_len=4096", "-print_final_stats=1", *limits],
        check=False, capture_output=True, text=True, errors="replace", cwd=directory,
    )  # fmt: skip


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--finds", type=Path, default=Path("build/fuzz/firmware"))
    told = parser.parse_args()
    told.finds.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        try:
            program = build(Path(directory))
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            print(f"firmware: skipped: {error}; needs clang with libFuzzer")
            return 0
        found = run(program, Path(directory), f"-max_total_time={told.seconds}",
                    f"-artifact_prefix={told.finds.absolute()}/")  # fmt: skip
    stats = [line for line in found.stderr.splitlines() if line.startswith("stat::")]
    print("firmware:", "; ".join(" ".join(line[6:].split()) for line in stats[:3]))
    if found.returncode:
        print(found.stderr[-4000:], file=sys.stderr)
    return found.returncode


if __name__ == "__main__":
    sys.exit(main())
