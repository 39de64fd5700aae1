"""`edge-dx-export pack MODEL... --manifest m.toml -o x.edx [--key FILE]`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from export.packing.making import pack
from export.packing.plan import read_bytes, read_plan

_MOST_KEY = 64 * 2**10


def act(given: Sequence[str]) -> int:
    """Packs; see `edge-dx-export pack --help`."""
    parser = argparse.ArgumentParser(
        prog="edge-dx-export pack",
        description="Packs finished ONNX and TFLite files into a bundle and proves it on every "
        "engine that is installed here. Nothing is measured; thresholds are the maker's.",
    )
    parser.add_argument("models", type=Path, nargs="+", metavar="MODEL", help="model files")
    parser.add_argument("--manifest", type=Path, required=True, help="the description, a TOML file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .edx file to write")
    parser.add_argument("--key", type=Path, help="private key to sign with; unsigned without")
    options = parser.parse_args(given)
    key = read_bytes(options.key, _MOST_KEY) if options.key else None
    bundle = pack(read_plan(options.manifest), options.models, options.output, key)
    manifest = bundle.manifest
    signed = f"signed with {options.key}" if key else "UNSIGNED (give --key, or sign it later)"
    print(f"{options.output}: {manifest.name} {manifest.version}, {signed}")
    for variant in manifest.variants:
        answers = ", ".join(f"{case.name} {case.status[variant.name]}" for case in manifest.golden)
        print(f"  {variant.name} on {', '.join(variant.engines)}: proved ({answers})")
    return 0
