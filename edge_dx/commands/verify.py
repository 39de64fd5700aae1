"""`edge-dx verify BUNDLE`: every golden case, every variant, every engine that is here."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from edge_dx.backends import ENGINES, engine_state, open_backend, right_here
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.choice import choose, with_slow_kernels
from edge_dx.commands import opening
from edge_dx.errors import EdgeDxError
from edge_dx.model import Model, engines_beside
from edge_dx.proof import Proof, verify
from edge_dx.shelf import find
from edge_dx.signal_model import SignalModel


def act(options: argparse.Namespace) -> int:
    """Proves the bundle; exit code 0 where everything that could be tried passed."""
    bundle = open_bundle(find(options.bundle), **opening(options))
    if options.allow_slow:
        bundle = replace(bundle, manifest=with_slow_kernels(bundle.manifest))
    signed = f"signed by {bundle.signer}" if bundle.signer else "UNSIGNED"
    proofs: list[Proof] = []
    if not options.json:
        print(f"{bundle.path}: {bundle.manifest.name} {bundle.manifest.version}, {signed}; "
              f"{len(bundle.members)} members have their stated SHA-256")  # fmt: skip
    problems = 0
    others: list[dict[str, str]] = []  # what was not proved, and why
    for variant, engine, outcome in prove_all(bundle, options.variant, options.engine,
                                              options.threads):  # fmt: skip
        if isinstance(outcome, Proof):
            proofs.append(outcome)
            problems += not outcome.passed
            if not options.json:
                _print(outcome)
            continue
        failed = isinstance(outcome, EdgeDxError)
        problems += failed
        others.append({"variant": variant, "engine": engine,
                       "outcome": "failed" if failed else "skipped",
                       "why": str(outcome)})  # fmt: skip
        if not options.json:
            print(f"  {'FAIL' if failed else 'skip'}  {variant} on {engine}: {outcome}")
    if options.json:
        told = [{**asdict(p), "passed": p.passed, "problem": p.problem} for p in proofs]
        print(json.dumps({"bundle": bundle.digest, "proofs": _finite(told), "others": others},
                         allow_nan=False))  # fmt: skip
    elif not proofs and not problems:
        print("  nothing could be proved: no engine for any variant is here (edge-dx doctor)")
    return 0 if proofs and not problems else 1


def prove_all(
    bundle: Bundle,
    variant: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
) -> Iterator[tuple[str, str, Proof | EdgeDxError | str]]:
    """Each variant on each of its engines: a proof, what was raised, or why it was skipped."""
    manifest = bundle.manifest
    variants = [manifest.variant(variant)] if variant else list(manifest.variants)
    mine = [v for v in variants if engine == "pretend" or engine in v.engines]
    if engine and not variant and mine:
        variants = mine  # of all variants those that are for this engine
    elif engine:
        choose(manifest, variants[0].name, engine)  # raises where the engine may not run it
    for chosen in variants:
        for name in [engine] if engine else chosen.engines:
            there, detail = engine_state(name) if name in ENGINES else (False, "unknown here")
            wrong = right_here(name, chosen) if there else detail
            if wrong is not None:  # not for this device, which is no fault of the bundle
                yield chosen.name, name, wrong
                continue
            try:
                if manifest.stream:
                    with SignalModel.opened(bundle, chosen, name, threads=threads) as heard:
                        yield chosen.name, name, verify(heard)
                    continue
                payload = bundle.members[chosen.file]
                with engines_beside(bundle.path, name):
                    backend = open_backend(name, manifest, chosen, payload, threads)
                with Model(bundle, chosen, backend, name) as model:
                    yield chosen.name, name, verify(model)
            except EdgeDxError as error:
                yield chosen.name, name, error


def _finite(value: Any) -> Any:
    """The same with null for numbers that JSON has no word for (an engine that gives NaN)."""
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _print(proof: Proof) -> None:
    print(f"  {'pass' if proof.passed else 'FAIL'}  {proof.variant} on {proof.engine} "
          f"{proof.engine_version}")  # fmt: skip
    for case in proof.cases:
        told = ", ".join(f"{name} {value:.2g}" for name, value in case.differences.items())
        told = f"largest difference: {told}" if told else "gate only"
        print(f"        {case.case}: {case.status}; {case.problem or told}")
    if not proof.cases:
        print(f"        {proof.problem}")
