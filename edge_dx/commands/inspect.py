"""`edge-dx inspect BUNDLE`: what a bundle promises, in words or as it stands."""

from __future__ import annotations

import argparse
import sys

from edge_dx import manifest as contract
from edge_dx.bundle import open_bundle
from edge_dx.commands import opening
from edge_dx.manifest import Estimate
from edge_dx.shelf import find


def act(options: argparse.Namespace) -> int:
    """Prints the contract."""
    bundle = open_bundle(find(options.bundle), **opening(options))
    manifest = bundle.manifest
    if options.json:
        sys.stdout.write(contract.encode(manifest).decode())
        return 0
    print(f"{manifest.title} ({manifest.name} {manifest.version}, {manifest.task})")
    print(f"  signed by      {bundle.signer or 'NOBODY (unsigned)'}")
    print(f"  digest         {bundle.digest}")
    print(f"  intended use   {manifest.intended_use}")
    print(f"  licence        {manifest.licence}")
    for item in manifest.inputs:
        steps = " → ".join(type(step).__name__.lower() for step in item.prepare)
        folded = " + normalise in the graph" if item.in_graph else ""
        print(f"  input          {item.name}: {item.dtype} {list(item.shape)}; {steps}{folded}")
    for output in manifest.outputs:
        labels = f" ({', '.join(output.labels)})" if isinstance(output, contract.Scores) else ""
        print(f"  output         {output.name}: {type(output).__name__.lower()}{labels}")
    for variant in manifest.variants:
        size = manifest.members[variant.file].bytes
        fidelity = variant.fidelity
        print(f"  variant        {variant.name}: {size / 1e6:.2f} MB; "
              f"engines {', '.join(variant.engines)}; AUC {_told(fidelity.auc)}; "
              f"{fidelity.decision_flips} of {fidelity.n} decisions differ from "
              f"{fidelity.reference}")  # fmt: skip
        for group in fidelity.groups:
            print(f"                   {group.name}: {group.positives} positive, "
                  f"{group.negatives} negative; AUC {_told(group.auc)}")  # fmt: skip
        for point in variant.operating_points:
            print(f"                   {point.name}: {point.label} ≥ {point.threshold:.4f}; "
                  f"sensitivity {_told(point.sensitivity)}, "
                  f"specificity {_told(point.specificity)}")  # fmt: skip
    card = bundle.members.get("card.md")
    if card:
        print(f"\n{card.decode('utf-8', 'replace').strip()}")
    return 0


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
