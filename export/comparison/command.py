"""The command `edge-dx-export compare`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import msgspec

from edge_dx.bundle import open_bundle
from edge_dx.shelf import find
from edge_dx.trust import TrustStore
from export.comparison import Margins, compare_bundles, told


def compare(given: list[str]) -> int:
    """Runs the command; the exit code is 3 where B was not shown to be as good."""
    parser = argparse.ArgumentParser(
        prog="edge-dx-export compare",
        description="What changes from A to B, metric by metric, with intervals. Exit code 3 where "
        "B was not shown to be as good within the margins, or nothing could be compared.",
    )
    parser.add_argument("a", metavar="A.edx", help="what is on the devices now")
    parser.add_argument("b", metavar="B.edx", help="the update")
    parser.add_argument("--variant", metavar="NAME", help="compare this variant alone")
    parser.add_argument(
        "--films", type=Path, metavar="DIR",
        help="run both on these films (labels.csv: file, label) in place of their own records",
    )  # fmt: skip
    for name, default in (("auc", 0.02), ("sensitivity", 0.05), ("specificity", 0.05)):
        parser.add_argument(
            f"--{name}-margin", type=float, default=default, metavar="X",
            help=f"how much {name} may be lost (default {default:g})",
        )  # fmt: skip
    parser.add_argument("--trust", type=Path, metavar="DIR", help="directory of public keys")
    parser.add_argument("--allow-unsigned", action="store_true", help="accept unsigned bundles")
    parser.add_argument("--json", action="store_true", help="print the comparison as JSON")
    options = parser.parse_args(given)

    trust = TrustStore.from_directory(options.trust) if options.trust else None
    how = {"trust": trust, "allow_unsigned": options.allow_unsigned}
    comparison = compare_bundles(
        open_bundle(find(options.a), **how),
        open_bundle(find(options.b), **how),
        margins=Margins(
            auc=options.auc_margin,
            sensitivity=options.sensitivity_margin,
            specificity=options.specificity_margin,
        ),
        variant=options.variant,
        films=options.films,
        say=lambda line: print(line, file=sys.stderr),
        **how,
    )
    if options.json:
        whole = {**msgspec.to_builtins(comparison), "may_be_worse": comparison.may_be_worse}
        print(msgspec.json.encode(whole).decode())
    else:
        print("\n".join(told(comparison)))
    return 3 if comparison.may_be_worse else 0
