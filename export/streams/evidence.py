"""What was measured where the recordings are, kept so that others can export without them.

As for images (`export.evidence`): a fresh clone quantizes with the stored ranges and attaches the
stored thresholds and figures only to files that come out byte for byte those they were measured on.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edge_dx.manifest import DataSet, Fidelity, OperatingPoint, Part, Sha256
from edge_dx.manifest.stream import NetworkName
from export.calibrate import Ranges
from export.errors import EvidenceMismatch
from export.streams.files import Files
from export.streams.recipe import Recipe
from export.streams.rollout import Drift


class Measured(Part, frozen=True, kw_only=True):
    """One variant.

    Attributes:
        sha256: of its files by network.
        ranges: with which they were quantized.
        tolerance: answer tensor to the difference that a device may show.
        operating_points: fitted to its own outputs.
        fidelity: with figures.
        latency_us: network and batch size to microseconds per row of the batch, bare call.
    """

    sha256: dict[NetworkName, Sha256]
    ranges: dict[NetworkName, Ranges]
    tolerance: dict[str, float]
    operating_points: tuple[OperatingPoint, ...]
    fidelity: Fidelity
    latency_us: dict[str, float]


class Evidence(Part, frozen=True, kw_only=True):
    """The file's content.

    Attributes:
        contract_sha256: of all in the recipe that the figures depend on beside the files' bytes.
        weights_sha256: of each network.
        records: that thresholds were fitted to.
        unseen: whether networks judged only patients that they had not learned from.
        variants: by name.
        drift: half an hour hop by hop.
        gates: what was asked and found, in words.
    """

    format: Literal[1] = 1
    name: str
    contract_sha256: Sha256
    weights_sha256: dict[NetworkName, Sha256]
    records: DataSet
    unseen: bool
    variants: dict[str, Measured]
    drift: tuple[Drift, ...]
    gates: tuple[str, ...]
    tools: dict[str, str]


def contract_digest(recipe: Recipe) -> str:
    """SHA-256 of what the figures depend on beside the exported files' bytes."""
    told = recipe.told
    parts = (told.input, told.networks, told.data, told.calibration, told.limits)
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def read_evidence(recipe: Recipe) -> Evidence | None:
    """The evidence beside the recipe, or None where there is none.

    Raises:
        EvidenceMismatch: the file is not evidence, or not of this format, or of another recipe.
    """
    path = recipe.beside(recipe.told.evidence)
    again = "make it again where the recordings are: edge-dx-export RECIPE --data DIR"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Evidence)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise EvidenceMismatch(
            f"{path}: cannot be used ({error}); {again} --write-evidence"
        ) from error
    return found


def check_same(recipe: Recipe, evidence: Evidence, files: Mapping[str, Files]) -> None:
    """Makes sure that stored figures belong to this recipe and to these very files.

    Raises:
        EvidenceMismatch: they do not.
    """
    path = recipe.beside(recipe.told.evidence)
    again = (
        "fit them where the recordings are: edge-dx-export RECIPE --data DIR --write-evidence, or "
        "export with the versions that made the evidence ("
        + ", ".join(f"{name} {version}" for name, version in evidence.tools.items()) + ")"
    )  # fmt: skip
    if contract_digest(recipe) != evidence.contract_sha256:
        raise EvidenceMismatch(
            f"{path}: was measured with another input, other networks, records or limits than "
            f"{recipe.path.name} says now; {again}"
        )
    for name, own in files.items():
        stored = evidence.variants.get(name)
        found = {network: file.sha256 for network, file in own.networks.items()}
        if stored is None or stored.sha256 != found:
            raise EvidenceMismatch(
                f"variant {name}: the files just exported are not those that the figures in {path} "
                f"were measured on. Thresholds belong to the very files: {again}"
            )


def write_evidence(recipe: Recipe, evidence: Evidence) -> Path:
    """Stores evidence beside the recipe, at once or not at all."""
    path = recipe.beside(recipe.told.evidence)
    raw = msgspec.json.format(msgspec.json.encode(evidence), indent=1) + b"\n"
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
    Path(temporary).chmod(0o644)
    Path(temporary).replace(path)
    return path
