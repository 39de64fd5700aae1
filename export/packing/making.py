"""From a description and model files to a bundle that was opened and proved again."""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from edge_dx import manifest as contract
from edge_dx.backends import ENGINES, engine_state, open_backend, right_here
from edge_dx.bundle import Bundle, describe_members
from edge_dx.errors import BundleError, EngineError, TensorMismatch
from edge_dx.manifest import InstructionSet, Manifest, OperatingPoint, Provenance, Variant
from edge_dx.model import Model
from export.errors import PackError
from export.golden import npz
from export.packing import cases as golden
from export.packing.card import card_markdown
from export.packing.files import ModelFile, read_model
from export.packing.plan import Plan
from export.packing.proving import write_proved
from export.packing.tolerance import tolerances
from export.packing.vocabulary import ModelPart, PointPart
from export.packing.wiring import batch, wires

_EXACT_INT8: tuple[InstructionSet, ...] = ("avx_vnni", "avx512_vnni", "amx_int8", "asimd")
"""x86 without one of these adds products of 8 bits in 16 and saturates (onnxruntime#12072)."""
_TOOLS = ("numpy", "opencv-python-headless", "onnx", "onnxruntime", "ai-edge-litert", "openvino")


def pack(
    plan: Plan, paths: Sequence[Path], output: Path, private_key_pem: bytes | None = None
) -> Bundle:
    """Packs model files as the description says, and proves every variant on every engine here.

    Args:
        plan: the description.
        paths: the model files, found by their names.
        output: the `.edx` file; it appears when everything is proved, or not at all.
        private_key_pem: key to sign with; unsigned where None.

    Raises:
        PackError: a file, the description, or the two together cannot be packed.
        ProofFailed: an engine that the description lists gives something else than the first.
        TrustError: the key cannot sign.
    """
    files = {part.variant: read_model(path) for part, path in _matched(plan, paths)}
    _check_sizes(plan, files)
    draft = _draft(plan, files)
    variants = tuple(_variant(draft, part, files[part.variant], plan) for part in plan.told.models)
    payloads = {v.file: files[v.name].payload for v in variants}
    draft = msgspec.structs.replace(draft, variants=variants, members=describe_members(payloads))
    _check_contract(plan, draft)
    drawn = golden.drawn(plan)
    models = [_open(plan, draft, variant, files[variant.name]) for variant in variants]
    try:
        told, arrays, by_variant = golden.answered(plan, drawn, models)
        reaching = [
            case for case, one in zip(drawn, told, strict=True)
            if "not_analysed" not in one.status.values()
        ]  # fmt: skip
        parts = {part.variant: part for part in plan.told.models}
        settled = tuple(
            msgspec.structs.replace(model.variant, tolerance=tolerances(
                model, files[model.variant.name].payload, reaching,
                by_variant[model.variant.name], parts[model.variant.name].tolerance,
            ))
            for model in models
        )  # fmt: skip
        manifest = msgspec.structs.replace(draft, variants=settled, golden=told)
        golden.check_steady(plan, manifest, drawn, models, arrays)
    finally:
        for model in models:
            model.close()
    for case in drawn:
        arrays.update(case.raw)
    sizes = {name: len(file.payload) for name, file in files.items()}
    members = {
        **payloads, "golden.npz": npz(arrays), "card.md": card_markdown(plan, manifest, sizes)
    }  # fmt: skip
    manifest = msgspec.structs.replace(manifest, members=describe_members(members))
    return write_proved(plan, manifest, members, output, private_key_pem)


def _matched(plan: Plan, paths: Sequence[Path]) -> list[tuple[ModelPart, Path]]:
    """Each described model with its file."""
    by_name = {path.name: path for path in paths}
    if len(by_name) != len(paths):
        raise PackError("two model files have the same name; rename one, in the description too")
    wanted = {part.file for part in plan.told.models}
    if missing := sorted(wanted - set(by_name)):
        raise PackError(
            f"{plan.path}: describes {', '.join(missing)}, which was not given; name it on the "
            "command line"
        )
    if unknown := sorted(set(by_name) - wanted):
        raise PackError(
            f"{by_name[unknown[0]]}: is not described in {plan.path}; add [[models]] with "
            f'file = "{unknown[0]}"'
        )
    return [(part, by_name[part.file]) for part in plan.told.models]


def _check_sizes(plan: Plan, files: Mapping[str, ModelFile]) -> None:
    budget = plan.told.budget
    sizes = {name: len(file.payload) / 1e6 for name, file in files.items()}
    for name, size in sizes.items():
        if budget.file_mb is not None and size > budget.file_mb:
            raise PackError(
                f"{files[name].path}: has {size:.2f} MB, {plan.path} allows {budget.file_mb:g} "
                "(budget.file_mb)"
            )
    if budget.total_mb is not None and sum(sizes.values()) > budget.total_mb:
        raise PackError(
            f"{plan.path}: all model files together have {sum(sizes.values()):.2f} MB, "
            f"{budget.total_mb:g} are allowed (budget.total_mb); leave one out"
        )


def _draft(plan: Plan, files: Mapping[str, ModelFile]) -> Manifest:
    """The manifest as far as the description tells it."""
    told = plan.told
    if told.eligibility.familiarity is not None:
        raise PackError(
            f"{plan.path}: eligibility.familiarity is fitted to training films, which only an "
            "export from a recipe does; leave it out"
        )
    weights = hashlib.sha256()
    for part in told.models:
        weights.update(files[part.variant].payload)
    return Manifest(
        schema_version=contract.SCHEMA_VERSION,
        name=told.name,
        version=told.version,
        task=told.task,
        title=told.title,
        intended_use=told.intended_use.strip(),
        licence=told.licence,
        inputs=plan.inputs,
        outputs=told.outputs,
        eligibility=told.eligibility,
        variants=(),
        golden=(),
        provenance=Provenance(
            factory=f"packed from {', '.join(part.file for part in told.models)}",
            weights_sha256=weights.hexdigest(),
            recipe_sha256=plan.sha256,
            tools=_tools(),
            calibration=None,
            validation=None,
            training=None,
        ),
        budget=told.budget,
        members={},
    )


def _variant(draft: Manifest, part: ModelPart, file: ModelFile, plan: Plan) -> Variant:
    engines = part.engines or (file.format,)
    for name in engines:
        if file.format not in ENGINES[name].formats:
            raise PackError(
                f"{plan.path}: engine {name} does not read {file.format} files, which {part.file} "
                f"is; engines that do: "
                f"{', '.join(n for n, e in ENGINES.items() if file.format in e.formats)}"
            )
    if file.quantized and part.precision != "int8":
        raise PackError(
            f"{plan.path}: {part.file} has 8-bit operators and is described as {part.precision}; "
            'say precision = "int8"'
        )
    if len(file.undelegated) > part.undelegated:
        raise PackError(
            f"{file.path}: {len(file.undelegated)} operators run outside the fast kernels "
            f"({', '.join(file.undelegated[:5])}) and may be a hundred times slower; to accept "
            f"that, say undelegated = {len(file.undelegated)}"
        )
    needed = _EXACT_INT8 if file.quantized and file.format == "onnx" else ()
    return Variant(
        name=part.variant,
        file=f"variants/{part.variant}.{file.format}",
        format=file.format,
        precision=part.precision,
        engines=engines,
        batch=batch(file),
        tolerance={output.name: part.tolerance.get(output.name, 0.0) for output in draft.outputs},
        operating_points=tuple(_point(plan, draft, part, point) for point in part.operating_points),
        fidelity=None,
        wires=wires(draft, part, file),
        runs_on=needed if part.runs_on is None else part.runs_on,
        undelegated=part.undelegated,
        identity_tolerance=part.identity_tolerance,
        quantization=part.quantization,
    )


def _point(plan: Plan, draft: Manifest, part: ModelPart, point: PointPart) -> OperatingPoint:
    name = point.output
    if name is None:
        judged = [
            output.name
            for output in draft.outputs
            if isinstance(output, (contract.Scores, contract.Mask, contract.Reconstruction))
        ]
        if len(judged) != 1:
            raise PackError(
                f"{plan.path}: operating point {point.name!r} of {part.file} must say which output "
                f"it reads; there are: {', '.join(judged) or 'none'}"
            )
        name = judged[0]
    return OperatingPoint(
        name=point.name,
        output=name,
        label=point.label,
        threshold=point.threshold,
        band=point.band or (point.threshold, point.threshold),
        criterion=f"given by the maker: {point.criterion}",
        sensitivity=None,
        specificity=None,
    )


def _check_contract(plan: Plan, draft: Manifest) -> None:
    """Says in the description's words what the manifest would be refused for."""
    try:
        contract.parse(contract.encode(draft))
    except BundleError as error:
        told = str(error).removeprefix("manifest.json: ").removesuffix("; export the bundle again")
        raise PackError(f"{plan.path}: {told}") from error


def _open(plan: Plan, draft: Manifest, variant: Variant, file: ModelFile) -> Model:
    """The variant on the first of its engines that is right here."""
    wrong = {
        name: right_here(name, variant) if engine_state(name)[0] else engine_state(name)[1]
        for name in variant.engines
    }
    engine = next((name for name, problem in wrong.items() if problem is None), None)
    if engine is None:
        told = "; ".join(f"{name}: {problem}" for name, problem in wrong.items())
        raise PackError(
            f"{file.path}: no engine of its is usable here, so its golden outputs cannot be made "
            f"({told})"
        )
    try:
        backend = open_backend(engine, draft, variant, file.payload, 1)
    except (EngineError, TensorMismatch) as error:
        raise PackError(f"{file.path}: {error}") from error
    bundle = Bundle(plan.path, draft, {}, "0" * 64, None)
    return Model(bundle, variant, backend, engine)


def _tools() -> dict[str, str]:
    """Versions of what the golden outputs may depend on."""
    found = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = importlib.metadata.version(name).partition("+")[0]
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
