"""The `edge-dx-export` command.

    edge-dx-export recipe.toml -o model.edx [--key FILE] [--data DIR] [--write-evidence]
                   [--variants A,B] [--drop-failed] [--report DIR]
    edge-dx-export pack MODEL... --manifest m.toml -o model.edx [--key FILE]
    edge-dx-export keygen NAME [--out DIR]
    edge-dx-export sign bundle.edx --key FILE
    edge-dx-export compare A.edx B.edx [--films DIR] [--json]

Exit code 0: done; 1: refused, with one line that says why and what to do; 2: wrong usage; 3 (of
`compare`): the update was not shown to be as good.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_dx.bundle import open_bundle, write_bundle
from edge_dx.errors import EdgeDxError, NotFound, TrustError
from edge_dx.trust import TrustStore, fingerprint, generate_key_pair, read_public_key


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"keygen": _keygen, "sign": _sign, "compare": _compare, "pack": _pack}
    run = commands.get(given[0]) if given else None
    try:
        return run(given[1:]) if run else _export(given)
    except EdgeDxError as error:
        print(f"edge-dx-export: {type(error).__name__}: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a directory that may not be written
        print(f"edge-dx-export: {error.filename or 'output'}: {error.strerror}", file=sys.stderr)
        return 1


def _export(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="edge-dx-export",
        description="Takes a PyTorch model to a measured, packed and signed .edx bundle. "
        "Other commands: edge-dx-export pack MODEL... --manifest FILE, edge-dx-export keygen "
        "NAME, edge-dx-export sign BUNDLE --key FILE.",
    )
    parser.add_argument("recipe", type=Path, help="the recipe, a TOML file")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .edx file to write")
    parser.add_argument("--key", type=Path, help="private key to sign with; unsigned without")
    parser.add_argument("--data", type=Path, help="directory that holds the data sets")
    parser.add_argument(
        "--write-evidence",
        action="store_true",
        help="measure everything anew and store it beside the recipe (needs the data sets)",
    )
    parser.add_argument(
        "--variants", metavar="A,B", help="export these of the recipe's variants alone"
    )
    parser.add_argument(
        "--drop-failed",
        action="store_true",
        help="pack the other variants where one fails a gate (none is packed without)",
    )
    parser.add_argument(
        "--report", type=Path, metavar="DIR", help="write report.html and report.json there"
    )
    options = parser.parse_args(given)
    key = _private_key(options.key) if options.key else None

    from export.pipeline import Options, export, say_on_stderr  # torch takes seconds to import
    from export.recipe import read_recipe
    from export.streams import pipeline as streams
    from export.streams import recipe as stream_recipe

    wanted = options.variants.split(",") if options.variants is not None else None
    chosen = Options(
        data_root=options.data,
        private_key_pem=key,
        keep_evidence=options.write_evidence,
        variants=tuple(name.strip() for name in wanted) if wanted is not None else None,
        drop_failed=options.drop_failed,
        report=options.report,
    )
    if stream_recipe.is_stream(options.recipe):
        told = stream_recipe.read_recipe(options.recipe)
        bundle = streams.export(told, options.output, chosen)
    else:
        bundle = export(read_recipe(options.recipe), options.output, chosen)
    signed = f"signed with {options.key}" if key else "UNSIGNED (give --key, or sign it later)"
    say_on_stderr(
        f"{options.output}: {bundle.manifest.name} {bundle.manifest.version}, "
        f"{len(bundle.manifest.variants)} variants proved, {signed}"
    )
    return 0


def _pack(given: list[str]) -> int:
    from export.packing import command  # finished files need no torch

    return command.act(given)


def _keygen(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="edge-dx-export keygen",
        description="Makes an Ed25519 key pair: NAME.key signs bundles and stays with you, "
        "NAME.pub goes into the trust store of the devices.",
    )
    parser.add_argument("name", help="who signs; the name that devices show")
    parser.add_argument("--out", type=Path, default=Path(), help="directory to write to")
    options = parser.parse_args(given)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}", options.name):
        parser.error("NAME is letters, digits, '_', '-' and '.', at most 64 of them")
    private, public = options.out / f"{options.name}.key", options.out / f"{options.name}.pub"
    for path in (private, public):
        if path.exists():
            raise TrustError(f"{path}: is there already and is not overwritten; use another name")
    private_pem, public_pem = generate_key_pair()
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        # Created with its final mode: at no moment can anyone else read it.
        handle = os.open(private, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(private_pem)
        with public.open("xb") as file:
            file.write(public_pem)
    except OSError as error:
        raise TrustError(f"{error.filename}: cannot be written ({error.strerror})") from error
    print(f"{private} (keep it secret), {public} (fingerprint {_fingerprint(public)})")
    return 0


def _sign(given: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="edge-dx-export sign", description="Signs a bundle in place, or signs it anew."
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--key", type=Path, required=True, help="private key to sign with")
    options = parser.parse_args(given)
    key = _private_key(options.key)
    bundle = open_bundle(options.bundle, trust=_anyone(options.bundle), allow_unsigned=True)
    if bundle.path.is_dir():
        raise TrustError(f"{options.bundle}: is a directory; only .edx files are signed")
    write_bundle(options.bundle, bundle.manifest, bundle.members, key)
    print(f"{options.bundle}: signed with {options.key}")
    return 0


def _compare(given: list[str]) -> int:
    from export.comparison.command import compare

    return compare(given)


def _anyone(path: Path) -> TrustStore:
    """Accepts the bundle's present signer, whoever that is: the new signature replaces it."""
    import json
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            key = bytes.fromhex(json.loads(archive.read("SIGNATURE"))["key"])
    except (OSError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
        return TrustStore({}, "the bundle itself")  # unsigned, or open_bundle says what is wrong
    return TrustStore({"present signer": key}, "the bundle itself")


def _private_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(
            f"{path}: cannot read the private key ({error.strerror}); make one with "
            "edge-dx-export keygen NAME"
        ) from error


def _fingerprint(path: Path) -> str:
    return fingerprint(read_public_key(path))


if __name__ == "__main__":
    sys.exit(main())
