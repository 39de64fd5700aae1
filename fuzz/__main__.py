"""Fuzzes one reader with atheris: `python -m fuzz dicom --seconds 60`.

An input is what `tests/hostile/attempts.py` makes of a file: every outcome must be an answer with
its reason or an error of ours. Anything else, more than 5 seconds, or more than 512 MB beyond what
the readers take ends the run with the input in `build/fuzz/`.
"""

from __future__ import annotations

import argparse
import io
import os
import shutil
import sys
import tempfile
from contextlib import redirect_stderr
from pathlib import Path

HOME = Path(__file__).parent
ROOT = HOME.parent
TARGETS = ("bundle", "manifest", "dicom", "picture", "npy", "case", "tflite")
READERS_MB = 600
"""Resident, of the readers with their decoders and atheris's own counters."""


def main() -> int:
    """Runs one target, or without atheris says how to get it."""
    parser = argparse.ArgumentParser(prog="fuzz", description="Fuzzes one reader.")
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")  # it has a line for every damaged TIFF
    try:
        import atheris
    except ImportError:
        print("fuzz: skipped, atheris is not installed: pip install 'edge-dx[fuzz]' "
              "(Linux x86-64, Python 3.11 to 3.13)")  # fmt: skip
        return 0
    # Looked at while they are imported, so nothing of them may be imported before.
    with atheris.instrument_imports(include=["edge_dx", "pydicom"]), redirect_stderr(io.StringIO()):
        from tests.hostile import attempts
        from tests.hostile.mutate import repaired
        from tests.hostile.seeds import own
    kind = options.target
    attempts.warm_up([seed for seed in own() if seed.kind == kind])
    found = ROOT / "build" / "fuzz" / kind
    found.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix="edge-dx-fuzz-"))

    def one_input(data: bytes) -> None:
        attempts.outcome(kind, repaired(kind, data), scratch)

    dictionary = HOME / "dictionaries" / f"{kind}.dict"
    arguments = [
        "fuzz", f"-max_total_time={options.seconds}", f"-seed={options.seed}", "-timeout=5",
        f"-rss_limit_mb={READERS_MB + 512}", "-max_len=16384", "-print_final_stats=1",
        "-verbosity=0", f"-artifact_prefix={found}/",
        *([f"-dict={dictionary}"] if dictionary.exists() else []),
        str(scratch / "corpus"), str(HOME / "corpus" / kind), str(HOME / "regressions" / kind),
    ]  # fmt: skip
    for directory in arguments[-3:]:  # new finds go into the first
        Path(directory).mkdir(parents=True, exist_ok=True)
    print(f"fuzz: {kind} for {options.seconds} s, seed {options.seed}", flush=True)
    atheris.Setup(arguments, one_input)
    try:
        atheris.Fuzz()  # ends the process
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
