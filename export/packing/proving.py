"""Writes a bundle, opens it as a device does, and proves each variant on each engine here."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from edge_dx import proof, trust
from edge_dx.backends import engine_state, open_backend, right_here
from edge_dx.bundle import Bundle, open_bundle, write_bundle
from edge_dx.errors import EngineError, ProofFailed, TensorMismatch
from edge_dx.manifest import Manifest, Variant
from edge_dx.model import Model
from export.errors import PackError
from export.packing.plan import Plan


def write_proved(
    plan: Plan,
    manifest: Manifest,
    members: Mapping[str, bytes],
    output: Path,
    private_key_pem: bytes | None,
) -> Bundle:
    """Writes beside the output, proves what was written, and moves it to its place.

    Raises:
        PackError: an engine that the description lists refuses a file.
        BundleError, TrustError: what was written does not open.
        ProofFailed: an engine does not give the golden outputs.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".packing-") as directory:
        path = Path(directory) / output.name
        write_bundle(path, manifest, members, private_key_pem)
        bundle = _opened(path, private_key_pem)
        for variant in bundle.manifest.variants:
            for engine in variant.engines:
                _prove(plan, bundle, variant, engine)
        path.replace(output)
    return replace(bundle, path=output)


def _opened(path: Path, private_key_pem: bytes | None) -> Bundle:
    if private_key_pem is None:
        return open_bundle(path, allow_unsigned=True)
    # The signer's own key counts here, whatever this workstation trusts besides.
    public = bytes.fromhex(json.loads(trust.sign(b"", private_key_pem))["key"])
    return open_bundle(path, trust=trust.TrustStore({"signer": public}, "the signing key"))


def _prove(plan: Plan, bundle: Bundle, variant: Variant, engine: str) -> None:
    if not engine_state(engine)[0] or right_here(engine, variant) is not None:
        return  # proved where it is used
    payload = bundle.members[variant.file]
    try:
        backend = open_backend(engine, bundle.manifest, variant, payload, 1)
    except (EngineError, TensorMismatch) as error:
        raise PackError(
            f"{plan.path}: {error}; leave the engine {engine} out of the variant's engines"
        ) from error
    with Model(bundle, variant, backend, engine) as model:
        proved = proof.verify(model)
    if not proved.passed:
        raise ProofFailed(
            f"{plan.path}: variant {variant.name} on {engine} {proved.engine_version} does not "
            f"give the golden outputs ({proved.problem}); leave that engine out, or say a wider "
            "tolerance if you know why"
        )
