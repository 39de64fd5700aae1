"""Every parser of the bridge against random, spoilt and odd inputs, in one process.

    python -m tests.bridge.fuzzing [inputs [seed]]

It ends with 1 where an exception escapes that is none of ours, where one input makes a parser take
more than 4 MB or all together more than 64 MB (the process may not take more than 256 MB beyond
what it begins with: an allocation above that fails), or where a parser accepts so little that
what lies behind its checks was not tried.
"""

from __future__ import annotations

import contextlib
import random
import resource
import sys
import time
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from firmware_bridge.errors import BridgeError
from tests.bridge.fuzz_inputs import LONGEST, spoilt
from tests.bridge.fuzz_targets import Target, targets

LEAST_ACCEPTED = 0.01
"""Share of the inputs of which a parser must have taken something as good."""
MOST_AT_ONCE, MOST_IN_ALL_MB, CEILING = 4 << 20, 64, 256 << 20
TRACED = 50
"""Of so many inputs to a parser one is looked at with tracemalloc, which is slow."""

STATM = Path("/proc/self/statm")


def made(dice: random.Random, target: Target) -> bytes:
    """Random bytes, good ones spoilt, or odd ones that fit."""
    kind = dice.random()
    if kind < 0.15:
        return dice.randbytes(dice.randrange(LONGEST))
    if kind < 0.5 or target.made is None:
        return spoilt(dice, target.good)
    return target.made(dice)


@contextlib.contextmanager
def ceiling() -> Iterator[bool]:
    """Lets allocations fail that go far beyond what the process has now; whether it can."""
    if not STATM.exists():
        yield False
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    size = int(STATM.read_text("ascii").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + CEILING, hard))
    try:
        yield True
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def resident_mb() -> float:
    """What the process holds; where the system does not say it, the most that it ever held."""
    if STATM.exists():
        return int(STATM.read_text("ascii").split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def traced(target: Target, data: bytes) -> int:
    """Most bytes that it took at once for this input; raises what the parser does."""
    tracemalloc.start()
    try:
        with contextlib.suppress(BridgeError):
            target.take(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def main(arguments: list[str], tried: dict[str, Target] | None = None) -> int:
    inputs = int(arguments[0]) if arguments else 1_000_000
    seed = int(arguments[1]) if len(arguments) > 1 else 1
    tried = tried or targets()
    dice, names = random.Random(seed), list(tried)
    accepted, refused, peak = Counter[str](), Counter[str](), Counter[str]()
    slowest = ("", 0.0)
    begin_mb = resident_mb()
    with ceiling() as enforced:
        for number in range(inputs):
            name = names[number % len(names)]
            target, data = tried[name], made(dice, tried[name])
            begin = time.perf_counter()
            try:
                if number // len(names) % TRACED == 0:
                    peak[name] = max(peak[name], traced(target, data))
                else:
                    accepted[name] += target.take(data) > 0
                    slowest = max(slowest, (name, time.perf_counter() - begin), key=lambda x: x[1])
            except BridgeError:
                refused[name] += 1
            except Exception as error:
                print(f"input {number} (seed {seed}) to {name}: {type(error).__name__}: "
                      f"{data.hex()}")  # fmt: skip
                return 1
    grown = resident_mb() - begin_mb
    each = inputs / len(names) * (1 - 1 / TRACED)
    shallow = [name for name in names if accepted[name] < LEAST_ACCEPTED * each]
    greedy = [name for name in names if peak[name] > MOST_AT_ONCE]
    print("### Parsers against random, spoilt and odd inputs\n")
    print("| parser | inputs with something accepted | refused by an error | most memory for one |")
    print("| --- | --- | --- | --- |")
    for name in names:
        print(f"| {name} | {accepted[name] / each:.1%} | {refused[name] / each:.1%} | "
              f"{peak[name] / 1024:.0f} KB |")  # fmt: skip
    print(f"\n{inputs:,} inputs to {len(names)} parsers (seed {seed}), no exception escaped; "
          f"slowest {slowest[1] * 1e3:.1f} ms ({slowest[0]}), {grown:+.1f} MB in all, ceiling "
          f"{'enforced' if enforced else 'not enforceable here'}"
          + (f"; NOT REACHED: {', '.join(shallow)}" if shallow else "")
          + (f"; TOO MUCH MEMORY: {', '.join(greedy)}" if greedy else "") + "\n")  # fmt: skip
    return 0 if grown < MOST_IN_ALL_MB and not shallow and not greedy else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
