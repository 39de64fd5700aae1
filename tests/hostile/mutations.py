"""Thousands of damaged files through every reader, in processes that may be lost.

    python -m tests.hostile.mutations --count 6000 --seed 1 --keep build/mutations

Each file has 5 seconds and 512 MB beyond what the readers themselves take. A file that ends its
worker, takes longer or more, or raises what is not an error of ours, is kept, and the exit code is
1. Printed: the run's seed and a table of what became of the others.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import select
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.hostile.mutate import mutated
from tests.hostile.seeds import KINDS, Kind, Seed, every

DEADLINE_S = 5.0
MEMORY_BYTES = 512 * 2**20
_START_S = 120.0
CRASH, TIMEOUT, MEMORY = "CRASH", "TIMEOUT", "MEMORY"
ATTEMPTS = "tests.hostile.attempts"
_SHARES: dict[Kind, int] = {
    "dicom": 40, "picture": 22, "video": 8, "npy": 5, "case": 5, "bundle": 7, "manifest": 5,
    "tflite": 8,
}  # fmt: skip
"""Percent of the files; the readers that call decoders get most."""


@dataclass
class Account:
    """What became of the files.

    Attributes:
        outcomes: (kind, outcome) → how many.
        faults: what must not happen, each in words.
        slowest: (milliseconds, name) of one file.
        most_bytes: that a worker held beyond what its readers hold.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")
    most_bytes: int = 0


def tasks(seeds: list[Seed], count: int) -> Iterator[tuple[int, int]]:
    """(index of the seed, number of its version): all seeds of a kind in turn."""
    for kind in KINDS:
        mine = [i for i, seed in enumerate(seeds) if seed.kind == kind]
        for number in range(-(-count * _SHARES[kind] // 100)):
            yield mine[number % len(mine)], number // len(mine)


def run(count: int, seed: int, keep: Path, workers: int, attempts: str = ATTEMPTS) -> Account:
    """Tries so many files.

    Args:
        count: at least so many.
        seed: of the damage.
        keep: directory for files that must not be lost sight of.
        workers: processes at a time.
        attempts: module with `outcome` and `warm_up`, for tests of this runner.
    """
    seeds = every()
    account = Account()
    everything = list(tasks(seeds, count))
    parts = [everything[i::workers] for i in range(workers)]

    def work(part: list[tuple[int, int]]) -> None:
        worker = _Worker(seed, attempts)
        for index, number in part:
            answer = worker.ask(index, number)
            kind, name = seeds[index].kind, seeds[index].name
            account.outcomes[kind, answer["outcome"]] += 1
            account.slowest = max(account.slowest, (answer["ms"], f"{kind} {name} {number}"))
            account.most_bytes = max(account.most_bytes, answer.get("grown", 0))
            if answer["outcome"] in (CRASH, TIMEOUT, MEMORY):
                keep.mkdir(parents=True, exist_ok=True)
                path = keep / f"{kind}-{seed}-{Path(name).name}-{number}"
                path.write_bytes(mutated(seeds[index], number, seed))
                account.faults.append(f"{answer['outcome']}: {path}: {answer['told']}")
        worker.close()

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, parts))
    return account


class _Worker:
    def __init__(self, run_seed: int, attempts: str) -> None:
        self._command = [sys.executable, "-m", "tests.hostile.mutations", "--worker",
                         "--seed", str(run_seed), "--attempts", attempts]  # fmt: skip
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, index: int, number: int) -> dict[str, Any]:
        process = self._running()
        assert process.stdin is not None
        begun = time.monotonic()
        process.stdin.write(f"{index} {number}\n".encode())
        process.stdin.flush()
        line = self._line(process, DEADLINE_S)
        ms = (time.monotonic() - begun) * 1000
        if line is None:
            self.close()
            return {"outcome": TIMEOUT, "ms": ms, "told": f"longer than {DEADLINE_S:g} s"}
        if not line:
            code = process.wait()
            self.close()
            return {"outcome": CRASH, "ms": ms, "told": f"its worker ended with {code}"}
        return {**json.loads(line), "ms": ms}

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"},
            )  # fmt: skip
            if self._line(self._process, _START_S) != b"ready\n":
                raise RuntimeError("the worker does not start")
        return self._process

    @staticmethod
    def _line(process: subprocess.Popen[bytes], seconds: float) -> bytes | None:
        """A line, nothing where the worker has died, None where it took too long."""
        assert process.stdout is not None
        if not select.select([process.stdout], [], [], seconds)[0]:
            return None
        return process.stdout.readline()  # lines are written at one go


def serve(run_seed: int, attempts: str) -> None:
    """The worker: `seed number` from standard input, an answer of one line for each."""
    import importlib

    import cv2

    module = importlib.import_module(attempts)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    cv2.setNumThreads(1)
    seeds = every()
    # The last of each kind; of DICOM all, for each brings its own decoder.
    module.warm_up(
        [s for s in seeds if s.kind == "dicom"] + list({s.kind: s for s in seeds}.values())
    )
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    most = pages * resource.getpagesize() + MEMORY_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    out.write(b"ready\n")
    out.flush()
    with tempfile.TemporaryDirectory() as directory:
        for line in sys.stdin:
            index, number = map(int, line.split())
            raw = mutated(seeds[index], number, run_seed)
            told = ""
            try:
                found = module.outcome(seeds[index].kind, raw, Path(directory))
            except MemoryError as error:
                found, told = MEMORY, repr(error)
            except Exception as error:
                found = MEMORY if type(error).__name__ == "OutOfMemory" else CRASH
                told = "".join(traceback.format_exception(error, limit=-3))[-1000:]
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            answer = {"outcome": found, "told": told, "grown": grown}
            out.write(json.dumps(answer).encode() + b"\n")
            out.flush()


def table(account: Account) -> str:
    """Outcomes by reader, the most frequent first."""
    lines = [f"{'reader':10}{'files':>7}  outcomes"]
    for kind in KINDS:
        mine = Counter({o: n for (k, o), n in account.outcomes.items() if k == kind})
        told = ", ".join(f"{outcome} {n}" for outcome, n in mine.most_common())
        lines.append(f"{kind:10}{mine.total():>7}  {told}")
    whole = Counter[str]()
    for (_, outcome), n in account.outcomes.items():
        whole[outcome] += n
    lines.append(f"{'all':10}{whole.total():>7}  " + ", ".join(
        f"{name} {whole[name]}" for name in (CRASH, TIMEOUT, MEMORY)))  # fmt: skip
    lines.append(f"slowest {account.slowest[0]:.0f} ms ({account.slowest[1]}), most memory "
                 f"{account.most_bytes / 2**20:.0f} MB beyond the readers' own")  # fmt: skip
    return "\n".join(lines)


def main() -> int:
    """Runs and prints; 1 where a file did what none may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--keep", type=Path, default=Path("build/mutations"))
    parser.add_argument("--attempts", default=ATTEMPTS, help=argparse.SUPPRESS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        serve(options.seed, options.attempts)
        return 0
    begun = time.monotonic()
    account = run(options.count, options.seed, options.keep, options.workers)
    print(f"seed {options.seed}, {time.monotonic() - begun:.0f} s, {options.workers} workers, "
          f"{DEADLINE_S:g} s and {MEMORY_BYTES >> 20} MB for each file")  # fmt: skip
    print(table(account))
    for fault in account.faults:
        print(fault.rstrip(), file=sys.stderr)
    return 1 if account.faults else 0


if __name__ == "__main__":
    sys.exit(main())
