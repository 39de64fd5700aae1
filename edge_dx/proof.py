"""Self-proof: the golden inputs, from raw pixels to result, on this very device.

An engine that computes something else than it did on the workstation (another instruction set,
another version, a damaged file) is noticed here and not on a patient. `verify` runs every case;
`ensure` runs one when a device loads a variant on an engine for the first time, and remembers it
under a key of everything that the proof depends on.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UnsetType

from edge_dx import device, sources, vector
from edge_dx.backends import engine_state
from edge_dx.bundle import Bundle
from edge_dx.ecg import golden
from edge_dx.errors import BundleFormatError, InputError, ProofFailed, TensorMismatch
from edge_dx.manifest import (
    AnyInput,
    GoldenCase,
    GoldenSignal,
    ImageInput,
    VectorInput,
    answers_of,
)
from edge_dx.result import Status
from edge_dx.signal_model import SignalModel
from edge_dx.sources import arrays as npy
from edge_dx.tensors import Array

if TYPE_CHECKING:
    from edge_dx.model import Model

GOLDEN = "golden.npz"
_MAX_ARRAYS_BYTES = 64 * 2**20


@dataclass(frozen=True)
class CaseProof:
    """What one golden case gave.

    Attributes:
        case: its name.
        passed: whether it is within the tolerances and the status is the golden one.
        differences: output → largest absolute difference from the golden output.
        status: found.
        problem: what is wrong, in words, or None.
    """

    case: str
    passed: bool
    differences: dict[str, float]
    status: str
    problem: str | None


@dataclass(frozen=True)
class Proof:
    """What the golden cases gave for one variant on one engine."""

    variant: str
    engine: str
    engine_version: str
    cases: tuple[CaseProof, ...]

    @property
    def passed(self) -> bool:
        """Whether there was a case and every case passed."""
        return bool(self.cases) and all(case.passed for case in self.cases)

    @property
    def problem(self) -> str:
        """What is wrong, in words; empty where nothing is."""
        if not self.cases:
            return "the bundle has no golden cases, so nothing can be proved"
        return "; ".join(f"{c.case}: {c.problem}" for c in self.cases if c.problem)


def verify(model: Model, *, quick: bool = False) -> Proof:
    """Runs the golden cases through the model, from raw pixels to result.

    Args:
        model: a variant on an engine.
        quick: only the first case that reaches the engine.
    """
    bundle = model.bundle
    arrays = golden_arrays(bundle)
    if isinstance(model, SignalModel):
        proofs = tuple(_heard(model, case, arrays) for case in signals(model, quick=quick))
        return Proof(model.variant.name, model.engine, engine_state(model.engine)[1], proofs)
    cases = bundle.manifest.golden
    if quick:
        reaching = [case for case in cases if case.status[model.variant.name] != "not_analysed"]
        cases = tuple(reaching[:1])
    proofs = tuple(_run(model, case, arrays) for case in cases)
    return Proof(model.variant.name, model.engine, engine_state(model.engine)[1], proofs)


def signals(model: SignalModel, *, quick: bool = False) -> tuple[GoldenSignal, ...]:
    """The golden signals of a bundle; `quick`: the first one for each answer."""
    stream = model.bundle.manifest.stream
    found = () if isinstance(stream, UnsetType) else stream.golden
    if not quick:
        return found
    first = {case.answer: case for case in reversed(found)}
    return tuple(case for case in found if first[case.answer] is case)


def ensure(model: Model) -> None:
    """Proves the model unless this device remembers that it did.

    Raises:
        ProofFailed: the golden inputs do not give the golden outputs here.
    """
    file = device.state_directory() / "proofs" / f"{_key(model)}.json"
    if file.exists():
        return
    proof = verify(model, quick=True)
    if not proof.passed:
        others = [v.name for v in model.bundle.manifest.variants if v is not model.variant]
        raise ProofFailed(
            f"{model.bundle.manifest.name}: variant {proof.variant} on engine {proof.engine} "
            f"{proof.engine_version} is not proved on this device ({proof.problem}); "
            f"try another variant ({', '.join(others) or 'there is none'}) or export it again"
        )
    told = {"bundle": model.bundle.manifest.name, "variant": proof.variant,
            "engine": proof.engine, "engine_version": proof.engine_version,
            "device": device.fingerprint(),
            "differences": proof.cases[0].differences}  # fmt: skip
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=file.parent)
        with os.fdopen(handle, "w") as out:
            json.dump(told, out)
        Path(temporary).replace(file)
    except OSError:
        pass  # a read-only device proves again at each start: slower, never wrong


def golden_arrays(bundle: Bundle) -> dict[str, Array]:
    """The arrays of `golden.npz` by name; nothing in it can be code.

    Raises:
        BundleFormatError: the member is missing or is not a plain, stored npz.
    """
    raw = bundle.members.get(GOLDEN, b"")
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            total = 0
            seen: set[str] = set()
            for info in archive.infolist():
                total += info.file_size
                if info.compress_type != zipfile.ZIP_STORED or total > _MAX_ARRAYS_BYTES:
                    raise ValueError("compressed or too large")
                if not info.filename.endswith(".npy") or info.filename in seen:
                    raise ValueError(f"a member {info.filename!r}")
                seen.add(info.filename)
                arrays[info.filename.removesuffix(".npy")] = npy.parse(archive.read(info))
    except Exception as error:  # zipfile and numpy raise whatever the damage leads them to
        raise BundleFormatError(
            f"{bundle.path}: {GOLDEN} cannot be read ({error}); export the bundle again", GOLDEN
        ) from error
    return arrays


def _run(model: Model, case: GoldenCase, arrays: dict[str, Array]) -> CaseProof:
    wanted = case.status[model.variant.name]
    inputs = model.bundle.manifest.inputs
    keys = [f"raw/{case.name}" + (f"/{i.name}" if len(inputs) > 1 else "") for i in inputs]
    for key in keys:
        if key not in arrays:
            return CaseProof(case.name, False, {}, "", f"{key} is not in {GOLDEN}")
    try:
        given = {i.name: _source(i, arrays[key], case) for i, key in zip(inputs, keys, strict=True)}
        result, outputs = model.run_case(given if len(inputs) > 1 else given[inputs[0].name])
    except (InputError, TensorMismatch) as error:  # raw values that no caller could hold
        return CaseProof(case.name, False, {}, "", str(error))
    problems = []
    if result.status.value != wanted:
        told = "; ".join(why.detail for why in result.reasons)
        problems.append(
            f"status is {result.status.value}, golden is {wanted} ({told})".rstrip(" ()")
        )
    if result.status is Status.NOT_ANALYSED:
        found = tuple(why.code.value for why in result.reasons)
        if found != case.reasons:
            problems.append(f"reasons are {', '.join(found)}, golden are {', '.join(case.reasons)}")
    differences = {}
    for name, allowed in model.variant.tolerance.items() if outputs is not None else ():
        golden = arrays.get(f"{model.variant.name}/{case.name}/{name}")
        values = outputs[name] if outputs is not None else None
        if golden is None or values is None or golden.shape != values.shape:
            problems.append(f"{name} has no golden output of its shape")
            continue
        differences[name] = float(np.abs(values.astype(np.float64) - golden).max())
        if not differences[name] <= allowed:
            problems.append(f"{name} differs by {differences[name]:.3g}, allowed {allowed:.3g}")
    problem = "; ".join(problems) or None
    return CaseProof(case.name, problem is None, differences, result.status.value, problem)


def _heard(model: SignalModel, case: GoldenSignal, arrays: dict[str, Array]) -> CaseProof:
    """A golden signal through a stream, compared network by network and event by event."""
    variant = model.variant
    raw = arrays.get(f"raw/{case.name}")
    if raw is None:
        return CaseProof(case.name, False, {}, "", f"raw/{case.name} is not in {GOLDEN}")
    try:
        stream = model.stream(rate_hz=Fraction(case.rate_hz), leads=case.leads,
                              mains_hz=case.mains_hz, answer=case.answer)  # fmt: skip
        names = answers_of(model.bundle.manifest)
        found = golden.answers(stream, model.networks, names, raw)
    except (InputError, TensorMismatch, ValueError, ZeroDivisionError) as error:
        return CaseProof(case.name, False, {}, "", str(error))
    told = f"{len(found[golden.EVENTS])} beats and changes of rhythm"
    problems, differences = [], {}
    for name, values in found.items():
        wanted = arrays.get(f"{variant.name}/{case.name}/{name}")
        if wanted is None or wanted.shape != values.shape:
            problems.append(f"{name} has no golden output of its shape {list(values.shape)}")
        elif name == golden.EVENTS:
            differ = int((values != wanted).any(axis=1).sum())
            if differ:
                problems.append(f"{differ} of {told} are others")
        else:
            differences[name] = float(np.abs(values.astype(np.float64) - wanted).max())
            allowed = variant.tolerance[name]
            if not differences[name] <= allowed:
                problems.append(f"{name} differs by {differences[name]:.3g}, allowed {allowed:.3g}")
    silent = [name for name in variant.tolerance
              if name not in found and f"{variant.name}/{case.name}/{name}" in arrays]  # fmt: skip
    problems += [f"{name} was never given" for name in silent]
    if len(found[golden.EVENTS]) != case.events[variant.name]:
        problems.append(f"{told}, the manifest says {case.events[variant.name]}")
    problem = "; ".join(problems) or None
    return CaseProof(case.name, problem is None, differences, told, problem)


def _source(item: AnyInput, raw: Array, case: GoldenCase) -> Any:
    """What a caller would hold in place of these raw values."""
    if isinstance(item, ImageInput):
        return sources.from_array(raw, modality=case.modality, photometric=case.photometric)
    return vector.from_numbers(item, raw) if isinstance(item, VectorInput) else raw


def _key(model: Model) -> str:
    """Names everything that a proof depends on."""
    from edge_dx import __version__

    manifest = model.bundle.manifest
    if isinstance(model, SignalModel):
        preparing, built = version("scipy"), model.built
    else:
        import cv2

        preparing, built = cv2.__version__, model.backend.built
    digests = "".join(manifest.members[file].sha256 for file in model.variant.files)
    parts = (
        model.bundle.digest, model.variant.name, digests, model.engine,
        engine_state(model.engine)[1], np.__version__, preparing, __version__,
        device.fingerprint(), built or "",
    )  # fmt: skip
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
