"""From exported files and their figures to a bundle that was opened and proved again."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_dx import proof, trust
from edge_dx.backends import open_backend
from edge_dx.bundle import Bundle, describe_members, open_bundle, write_bundle
from edge_dx.errors import ProofFailed
from edge_dx.manifest import (
    AnyOutput,
    DataSet,
    HeatMap,
    ImageInput,
    Manifest,
    Provenance,
    Variant,
)
from edge_dx.model import Model
from export.card import card_json, card_markdown
from export.errors import BudgetExceeded
from export.golden import golden
from export.measure import Figures, HeatMapFigures
from export.recipe import Recipe
from export.running import ENGINE, draft_variant
from export.training_record import TrainingRecord

_TOOLS = ("torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless")


@dataclass(frozen=True)
class Exported:
    """All that the bundle is made of.

    Attributes:
        files: variant → bytes.
        figures: variant → what was measured on those bytes.
        heat_maps: heat map → scale and tolerance.
        likeness: template of the gate.
        training: what is told of the films that the weights were made from.
    """

    image: ImageInput
    outputs: tuple[AnyOutput, ...]
    files: Mapping[str, bytes]
    figures: Mapping[str, Figures]
    heat_maps: Mapping[str, HeatMapFigures]
    likeness: tuple[float, ...] | None
    weights_sha256: str
    training: TrainingRecord
    calibration: DataSet | None
    validation: DataSet
    quantization: Mapping[str, str]


def pack(recipe: Recipe, made: Exported, path: Path, private_key_pem: bytes | None) -> Bundle:
    """Writes the bundle, opens it again and proves every variant with its golden cases.

    Raises:
        BudgetExceeded: a variant is larger than the recipe allows.
        RecipeError: a golden case cannot be used.
        BundleError, TrustError: what was written does not open.
        ProofFailed: a variant does not give its own golden outputs.
    """
    told = recipe.told
    for name, raw in made.files.items():
        if told.budget.file_mb is not None and len(raw) > told.budget.file_mb * 1e6:
            raise BudgetExceeded(
                f"variant {name} has {len(raw) / 1e6:.2f} MB, {recipe.path} allows "
                f"{told.budget.file_mb} (budget.file_mb)"
            )
    manifest = _manifest(recipe, made)
    cases, golden_npz = golden(recipe, manifest, made.files)
    members = {draft_variant(name).file: raw for name, raw in made.files.items()}
    members["golden.npz"] = golden_npz
    members["card.json"] = card_json(recipe, manifest, made.files, made.training.prefixes)
    members["card.md"] = card_markdown(recipe, manifest, made.files)
    manifest = msgspec.structs.replace(manifest, golden=cases, members=describe_members(members))
    write_bundle(path, manifest, members, private_key_pem)
    return reopen(path, private_key_pem)


def reopen(path: Path, private_key_pem: bytes | None) -> Bundle:
    """Opens a bundle just written the way a device does, and proves every variant.

    Raises:
        BundleError, TrustError: it does not open.
        ProofFailed: a variant does not give its golden outputs.
    """
    if private_key_pem is None:
        bundle = open_bundle(path, allow_unsigned=True)
    else:  # the signer's own key counts here, whatever this workstation trusts besides
        store = trust.TrustStore({"signer": public_half(private_key_pem)}, "the signing key")
        bundle = open_bundle(path, trust=store)
    for variant in bundle.manifest.variants:
        payload = bundle.members[variant.file]
        backend = open_backend(ENGINE, bundle.manifest, variant, payload, 1)
        with Model(bundle, variant, backend, ENGINE) as model:
            proved = proof.verify(model)
        if not proved.passed:
            raise ProofFailed(f"{path}: variant {variant.name}: {proved.problem}")
    return bundle


def public_half(private_key_pem: bytes) -> bytes:
    """The raw public key of a private key in PEM, read from a signature that it makes."""
    signature = json.loads(trust.sign(b"", private_key_pem))
    return bytes.fromhex(signature["key"])


def tool_versions() -> dict[str, str]:
    """Versions of what the exported bytes may depend on."""
    found = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            found[name] = "another distribution"
    return found


def _manifest(recipe: Recipe, made: Exported) -> Manifest:
    told = recipe.told
    outputs = tuple(
        msgspec.structs.replace(
            output,
            scale=made.heat_maps[output.name].scale,
            identity_tolerance=made.heat_maps[output.name].identity_tolerance,
        )
        if isinstance(output, HeatMap)
        else output
        for output in made.outputs
    )
    return Manifest(
        schema_version=1,
        name=told.name,
        version=told.version,
        task=told.task,
        title=told.title,
        intended_use=told.intended_use.strip(),
        licence=told.licence,
        inputs=(made.image,),
        outputs=outputs,
        eligibility=told.eligibility.limits(made.likeness),
        variants=tuple(_variant(name, made.figures[name]) for name in made.files),
        golden=(),
        provenance=Provenance(
            factory=told.model.factory,
            weights_sha256=made.weights_sha256,
            recipe_sha256=recipe.sha256,
            tools=tool_versions(),
            calibration=made.calibration,
            validation=made.validation,
            training=made.training.told,
            quantization=dict(made.quantization),
        ),
        budget=told.budget,
        members={},
    )


def _variant(name: str, figures: Figures) -> Variant:
    return msgspec.structs.replace(
        draft_variant(name),
        tolerance=figures.tolerance,
        operating_points=figures.operating_points,
        fidelity=figures.fidelity,
    )
