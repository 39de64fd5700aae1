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
        print(f"  input          {item.name}: {_input(item)}")
    for output in manifest.outputs:
        print(f"  output         {output.name}: {type(output).__name__.lower()}{_gives(output)}")
    for variant in manifest.variants:
        size = manifest.members[variant.file].bytes
        fidelity = variant.fidelity
        measured = "nothing was measured" if fidelity is None else (
            f"AUC {_told(fidelity.auc)}; {fidelity.decision_flips} of {fidelity.n} decisions "
            f"differ from {fidelity.reference}")  # fmt: skip
        print(f"  variant        {variant.name}: {size / 1e6:.2f} MB; "
              f"engines {', '.join(variant.engines)}; {measured}")  # fmt: skip
        if variant.runs_on:
            print(f"                   for processors with {' or '.join(variant.runs_on)}")
        for group in fidelity.groups if fidelity else ():
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


def _input(item: contract.AnyInput) -> str:
    if isinstance(item, contract.VectorInput):
        return "facts; " + ", ".join(
            f"{f.name} ({' or '.join(f.choices) or f'{f.low:g} to {f.high:g} {f.unit}'})"
            for f in item.fields
        )
    if isinstance(item, contract.ArrayInput):
        return f"{item.dtype} {list(item.shape)}; {item.unit}"
    steps = " → ".join(type(step).__name__.lower() for step in item.prepare)
    folded = " + normalise in the graph" if item.in_graph else ""
    return f"{item.dtype} {list(item.shape)}; {steps}{folded}"


def _gives(output: contract.AnyOutput) -> str:
    names: tuple[str, ...] = ()
    if isinstance(output, (contract.Scores, contract.Mask)):
        names = output.labels
    elif isinstance(output, contract.Values):
        names = tuple(f"{field.name} [{field.unit}]" for field in output.fields)
    elif isinstance(output, contract.Reconstruction):
        names = (f"{output.label}, by how badly {output.of} is drawn again",)
    return f" ({', '.join(names)})" if names else ""


def _told(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"
