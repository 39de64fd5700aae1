"""Which variant and engine run on this device, and why."""

from __future__ import annotations

import msgspec

from edge_dx import device
from edge_dx.backends import ENGINES, engine_state, right_here
from edge_dx.errors import EngineMissing, EngineRefused
from edge_dx.manifest import Manifest, Variant

_ANY_NUMBER = 10**9


def choose(manifest: Manifest, variant: str | None, engine: str | None) -> tuple[Variant, str, str]:
    """Which variant and engine to run, and why, in words.

    Raises:
        ManifestError: no variant of that name.
        EngineMissing: no engine that may run it is installed.
        EngineRefused: the variant was not measured on the engine asked for, or this processor is
            not one that it was made for.
    """
    if variant is not None:
        candidates = [manifest.variant(variant)]
        why = "asked for"
    else:
        candidates, why = _preferred(manifest)
    if engine is not None:
        return _on(manifest, candidates, engine, why)
    missing = []
    for candidate in candidates:
        for name in candidate.engines:
            there, detail = engine_state(name) if name in ENGINES else (False, "unknown engine")
            wrong = right_here(name, candidate) if there else None
            if there and wrong is None:
                return candidate, name, f"variant {candidate.name}: {why}; engine {name} is here"
            if wrong is not None and variant is not None:
                raise EngineRefused(f"{manifest.name}: {wrong}; use an fp32 variant")
            missing.append(f"{name}: {wrong or detail}")
    raise EngineMissing(
        f"{manifest.name}: no engine for it is here ({'; '.join(dict.fromkeys(missing))})"
    )


def with_slow_kernels(manifest: Manifest) -> Manifest:
    """The manifest of a caller who accepts reference loops where no fast kernel takes an operator.

    The answers are the same within the tolerance, the time may be tens of times as long.
    """
    accepted = tuple(_accepting(variant) for variant in manifest.variants)
    return msgspec.structs.replace(manifest, variants=accepted)


def _accepting(variant: Variant) -> Variant:
    found = msgspec.structs.replace(variant, undelegated=_ANY_NUMBER)
    if isinstance(variant.networks, msgspec.UnsetType):
        return found
    files = {
        name: msgspec.structs.replace(file, undelegated=_ANY_NUMBER)
        for name, file in variant.networks.items()
    }
    return msgspec.structs.replace(found, networks=files)


def _preferred(manifest: Manifest) -> tuple[list[Variant], str]:
    """The variants, best first, and what put the first one there.

    A GPU with TensorRT comes first, in half precision: int8 is often no faster there, and less
    exact. A processor with int8 dot products takes int8, any other fp32.
    """
    made_for_gpu = [v for v in manifest.variants if v.engines[0] == "tensorrt"]
    if made_for_gpu and engine_state("tensorrt")[0]:
        ranked = sorted(
            manifest.variants, key=lambda v: (v.engines[0] != "tensorrt", v.precision == "int8")
        )
        return ranked, "a GPU with TensorRT is here"
    wanted = "int8" if device.has_int8_dot() else "fp32"
    ranked = sorted(
        manifest.variants, key=lambda v: (v.engines[0] == "tensorrt", v.precision != wanted)
    )
    return ranked, f"this processor has {'' if wanted == 'int8' else 'no '}int8 dot products"


def _on(
    manifest: Manifest, candidates: list[Variant], engine: str, why: str
) -> tuple[Variant, str, str]:
    """The first candidate that runs on the engine asked for."""
    wrong = None
    for candidate in candidates:
        if engine == "pretend" or engine in candidate.engines:
            wrong = right_here(engine, candidate)
            if wrong is None:
                return candidate, engine, f"variant {candidate.name}: {why}; engine asked for"
    if wrong is not None:
        raise EngineRefused(f"{manifest.name}: {wrong}; use an fp32 variant")
    known = sorted({name for candidate in candidates for name in candidate.engines})
    if engine not in ENGINES:
        raise EngineMissing(f"no engine is called {engine!r}; there are: {', '.join(ENGINES)}")
    raise EngineRefused(
        f"{manifest.name}: {', '.join(c.name for c in candidates)} was not measured on engine "
        f"{engine}, so its thresholds do not hold there; measured on: {', '.join(known)}"
    )
