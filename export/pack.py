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
from edge_dx.backends import ENGINES, engine_state, open_backend, right_here
from edge_dx.bundle import Bundle, describe_members, open_bundle, write_bundle
from edge_dx.errors import ProofFailed
from edge_dx.manifest import (
    AnyInput,
    AnyOutput,
    DataSet,
    Familiarity,
    HeatMap,
    Manifest,
    Provenance,
    Variant,
)
from edge_dx.model import Model
from export.card import card_json, card_markdown
from export.errors import GateFailed
from export.familiarity import Known
from export.golden import golden, golden_model
from export.measure import Figures, HeatMapFigures
from export.recipe import Recipe
from export.report.record import Report, encode
from export.running import Made, draft_variant
from export.training_record import TrainingRecord

_TOOLS = (
    "torch", "onnx", "onnxscript", "onnxruntime", "numpy", "opencv-python-headless",
    "litert-torch", "litert-converter", "ai-edge-quantizer", "ai-edge-litert", "openvino",
    "tensorrt-rtx-cu12-libs",
)  # fmt: skip


@dataclass(frozen=True)
class Exported:
    """All that the bundle is made of.

    Attributes:
        files: variant → the file.
        figures: variant → what was measured on those bytes.
        heat_maps: heat map → scale and tolerance.
        likeness: template of the gate.
        familiarity: where the training films' features lie, and each variant's limit.
        training: what is told of the films that the weights were made from.
        report: the record of decisions and gates.
    """

    inputs: tuple[AnyInput, ...]
    outputs: tuple[AnyOutput, ...]
    files: Mapping[str, Made]
    figures: Mapping[str, Figures]
    heat_maps: Mapping[str, HeatMapFigures]
    likeness: tuple[float, ...] | None
    familiarity: Known | None
    weights_sha256: str
    training: TrainingRecord
    calibration: DataSet | None
    validation: DataSet
    report: Report


def pack(recipe: Recipe, made: Exported, path: Path, private_key_pem: bytes | None) -> Bundle:
    """Writes the bundle, opens it again and proves every variant with its golden cases.

    Raises:
        GateFailed: all variants together are larger than the recipe allows.
        RecipeError: a golden case cannot be used.
        BundleError, TrustError: what was written does not open.
        ProofFailed: a variant does not give its own golden outputs.
    """
    told = recipe.told
    total_mb = sum(len(file.payload) for file in made.files.values()) / 1e6
    if told.budget.total_mb is not None and total_mb > told.budget.total_mb:
        raise GateFailed(
            f"all variants together have {total_mb:.2f} MB, {recipe.path} allows "
            f"{told.budget.total_mb:g} (budget.total_mb); leave one out (--variants)",
            "all", "size, latency, memory",
        )  # fmt: skip
    manifest = _manifest(recipe, made)
    own = _own_members(made)
    cases, golden_npz = golden(recipe, manifest, made.files, own)
    members = {file.file: file.payload for file in made.files.values()} | own
    sizes = {name: len(file.payload) for name, file in made.files.items()}
    members["golden.npz"] = golden_npz
    members["report.json"] = encode(made.report)
    members["card.json"] = card_json(recipe, manifest, sizes, made.training.prefixes)
    members["card.md"] = card_markdown(recipe, manifest, sizes, made.report.gate)
    manifest = msgspec.structs.replace(manifest, golden=cases, members=describe_members(members))
    write_bundle(path, manifest, members, private_key_pem)
    return reopen(path, private_key_pem)


def reopen(path: Path, private_key_pem: bytes | None) -> Bundle:
    """Opens a bundle just written the way a device does, and proves every variant on every
    engine that is here.

    Raises:
        BundleError, TrustError: it does not open.
        ProofFailed: a variant does not give its golden outputs.
    """
    bundle = open_written(path, private_key_pem)
    for variant in bundle.manifest.variants:
        payload = bundle.members[variant.file]
        for engine in variant.engines:
            if not engine_state(engine)[0] or right_here(engine, variant) is not None:
                continue
            backend = open_backend(engine, bundle.manifest, variant, payload, 1)
            with Model(bundle, variant, backend, engine) as model:
                proved = proof.verify(model)
            if not proved.passed:
                raise ProofFailed(f"{path}: variant {variant.name} on {engine}: {proved.problem}")
    return bundle


def open_written(path: Path, private_key_pem: bytes | None) -> Bundle:
    """Opens a bundle just written the way a device does.

    Raises:
        BundleError, TrustError: it does not open.
    """
    if private_key_pem is None:
        return open_bundle(path, allow_unsigned=True)
    # The signer's own key counts here, whatever this workstation trusts besides.
    store = trust.TrustStore({"signer": public_half(private_key_pem)}, "the signing key")
    return open_bundle(path, trust=store)


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
            continue
    return found


def draft_model(recipe: Recipe, made: Exported, variant: str) -> Model:
    """A variant as the bundle will hold it, before there is one."""
    return golden_model(_manifest(recipe, made), made.files[variant], _own_members(made))


def _own_members(made: Exported) -> dict[str, bytes]:
    """Members that a model reads beside its file."""
    known = made.familiarity
    return {} if known is None else {Familiarity(output=known.output).file: known.member}


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
        inputs=made.inputs,
        outputs=outputs,
        eligibility=told.eligibility.limits(
            made.likeness, made.familiarity.output if made.familiarity else None
        ),
        variants=tuple(
            _variant(made.files[name], made.figures[name], made.familiarity) for name in made.files
        ),
        golden=(),
        provenance=Provenance(
            factory=told.model.factory,
            weights_sha256=made.weights_sha256,
            recipe_sha256=recipe.sha256,
            tools=tool_versions(),
            calibration=made.calibration,
            validation=made.validation,
            training=made.training.told,
        ),
        budget=told.budget,
        members={},
    )


def _variant(made: Made, figures: Figures, known: Known | None) -> Variant:
    """The variant's entry: the engines that were measured, and those that prove it themselves."""
    engines = tuple(
        name
        for name in made.engines
        if name in figures.fidelity.engines or not ENGINES[name].on_processor
    )
    return msgspec.structs.replace(
        draft_variant(made),
        engines=engines,
        tolerance=figures.tolerance,
        identity_tolerance=figures.identity_tolerance,
        operating_points=figures.operating_points,
        fidelity=figures.fidelity,
        max_distance=known.limits[made.name].max_distance if known else None,
    )
