"""Writes `fuzz/corpus/` again, from files that the tests make: `python -m fuzz.make_corpus`.

Nobody's data is in it. Files over 8 KB are left out: a fuzzer learns nothing from more pixels.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.hostile.seeds import own

LARGEST = 8_000
HOME = Path(__file__).parent / "corpus"


def main() -> None:
    """Replaces the directory."""
    shutil.rmtree(HOME, ignore_errors=True)
    for seed in own():
        if len(seed.raw) <= LARGEST:
            path = HOME / seed.kind / seed.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(seed.raw)


if __name__ == "__main__":
    main()
