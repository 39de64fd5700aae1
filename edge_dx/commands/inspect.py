"""`edge-dx inspect BUNDLE`: what a bundle promises, in words or as it stands."""

from __future__ import annotations

import argparse
import math
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
    if manifest.stream:
        _stream(manifest.stream)
    for variant in manifest.variants:
        size = sum(manifest.members[file].bytes for file in variant.files)
        fidelity = variant.fidelity
        measured = "nothing was measured" if fidelity is None else (
            f"{fidelity.decision_flips} of {fidelity.n} decisions differ from {fidelity.reference}"
            if manifest.stream else
            f"AUC {_told(fidelity.auc)}; {fidelity.decision_flips} of {fidelity.n} decisions "
            f"differ from {fidelity.reference}")  # fmt: skip
        print(f"  variant        {variant.name}: {size / 1e6:.2f} MB; "
              f"engines {', '.join(variant.engines)}; {measured}")  # fmt: skip
        if variant.runs_on:
            print(f"                   for processors with {' or '.join(variant.runs_on)}")
        for group in fidelity.groups if fidelity else ():
            print(f"                   {group.name}: {group.positives} positive, "
                  f"{group.negatives} negative; AUC {_told(group.auc)}")  # fmt: skip
        for figure in (fidelity.figures or ()) if fidelity else ():
            asked = f", {_answer(figure.answer)}" if figure.answer else ""
            print(f"                   {figure.of} {figure.measure}{asked}: {_told(figure.value)} "
                  f"on {figure.data}")  # fmt: skip
        for point in variant.operating_points:
            known = point.sensitivity or point.specificity or not manifest.stream
            figures = (f"; sensitivity {_told(point.sensitivity)}, "
                       f"specificity {_told(point.specificity)}" if known else "")  # fmt: skip
            print(
                f"                   {point.name}: {point.label} ≥ {point.threshold:.4f}{figures}"
            )
    card = bundle.members.get("card.md")
    if card:
        print(f"\n{card.decode('utf-8', 'replace').strip()}")
    return 0


def _stream(stream: contract.Stream) -> None:
    """The networks: what they look at, how late they are, what they remember."""
    found = stream.detector
    print(f"  detector       hops of {found.hop_rows} rows, a frame for every {found.stride_rows}; "
          f"late by {found.delay_rows} rows, looks back {found.receptive_field_rows}; "
          f"{_remembers(found)}")  # fmt: skip
    for network in stream.beats:
        print(
            f"  beats          {_answer(network.answer)}: {_takes(network)}; {_remembers(network)}"
        )
    if stream.rhythm is not None:
        print(f"  rhythm         {_takes(stream.rhythm)}; {_remembers(stream.rhythm)}")


def _answer(name: str) -> str:
    return name.replace("_", " ")


def _takes(network: contract.BeatNetwork | contract.RhythmNetwork) -> str:
    window, facts = network.window, network.features
    told = (
        [f"a window of {window.samples} samples at {window.rate_hz} per second"] if window else []
    )
    return " and ".join([*told, *([f"{len(facts.names)} facts"] if facts else [])])


def _remembers(network: contract.AnyNetwork) -> str:
    return f"remembers {sum(math.prod(pair.shape) for pair in network.states)} numbers"


def _input(item: contract.AnyInput) -> str:
    if isinstance(item, contract.VectorInput):
        return "facts; " + ", ".join(
            f"{f.name} ({' or '.join(f.choices) or f'{f.low:g} to {f.high:g} {f.unit}'})"
            for f in item.fields
        )
    if isinstance(item, contract.WaveformInput):
        steps = " → ".join(type(step).__name__.lower() for step in item.prepare)
        return (f"{item.unit}, {steps}; {item.rate_hz} rows per second, at most {item.max_leads} "
                f"leads, of {', '.join(item.leads)} the first that is there")  # fmt: skip
    if isinstance(item, contract.ArrayInput):
        return f"{item.dtype} {list(item.shape)}; {item.unit}"
    steps = " → ".join(type(step).__name__.lower() for step in item.prepare)
    folded = " + normalise in the graph" if item.in_graph else ""
    return f"{item.dtype} {list(item.shape)}; {steps}{folded}"


def _gives(output: contract.AnyOutput) -> str:
    names: tuple[str, ...] = ()
    if isinstance(output, (contract.Scores, contract.Mask, contract.Beats, contract.Episodes)):
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
