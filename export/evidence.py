"""What was measured where the data sets are, kept so that others can export without them.

`evidence.json` lies beside the recipe. A fresh clone has the weights but not the films: there the
exporter quantizes with the stored activation ranges, and it attaches the stored thresholds and
figures only to files that come out byte for byte the ones they were measured on. Anything else is
an error, because a threshold belongs to the very file it was fitted on.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edge_dx.manifest import DataSet, Part, Sha256
from export.calibrate import Ranges
from export.errors import EvidenceMismatch
from export.familiarity import Known
from export.measure import Figures, HeatMapFigures
from export.recipe import Recipe
from export.report.record import Report
from export.scheme import Scheme


class Stored(Part, frozen=True, kw_only=True):
    """How an int8 variant was made: enough to make the same bytes again."""

    scheme: Scheme
    ranges: Ranges


class Evidence(Part, frozen=True, kw_only=True):
    """The file's content.

    Attributes:
        contract_sha256: of all in the recipe that the figures depend on beside the files' bytes:
            preparation, outputs, rules, gates, selection of the sets, what could be chosen.
        made: variant → how it was quantized.
        likeness: template of the gate, from the calibration films.
        familiarity: where their features lie, and each variant's limit.
        variants: variant → what was measured on its bytes.
        report: the record of decisions and gates.
    """

    format: Literal[2] = 2
    name: str
    contract_sha256: Sha256
    calibration: DataSet | None
    validation: DataSet
    made: dict[str, Stored]
    likeness: tuple[float, ...] | None
    familiarity: Known | None = None
    heat_maps: dict[str, HeatMapFigures]
    variants: dict[str, Figures]
    tools: dict[str, str]
    report: Report


def contract_digest(recipe: Recipe) -> str:
    """SHA-256 of what the figures depend on beside the exported files' bytes."""
    told = recipe.told
    # Distances were measured on the films and strangers that the other limits let pass.
    limits = told.eligibility
    of_gate = limits if limits.familiarity or told.data.strangers else limits.likeness
    parts = (told.all_inputs, told.outputs, told.operating_points, told.quantization, told.gates,
             told.data, of_gate)  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()


def read_evidence(recipe: Recipe) -> Evidence | None:
    """The evidence beside the recipe, or None where there is none.

    Raises:
        EvidenceMismatch: the file is not evidence, or not of this format.
    """
    path = recipe.beside(recipe.told.evidence)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Evidence)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise EvidenceMismatch(
            f"{path}: cannot be used ({error}); make it again where the data sets are: "
            "edge-dx-export RECIPE --data DIR --write-evidence"
        ) from error


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


def check_same_contract(recipe: Recipe, evidence: Evidence) -> None:
    """Makes sure that the evidence was measured with this recipe's preparation and rules.

    Raises:
        EvidenceMismatch: the recipe changed since.
    """
    found = contract_digest(recipe)
    if found != evidence.contract_sha256:
        raise EvidenceMismatch(
            f"{recipe.beside(recipe.told.evidence)}: was measured with another preparation, other "
            f"outputs, rules or sets than {recipe.path.name} says now (contract "
            f"{evidence.contract_sha256[:16]}, now {found[:16]}); measure again where the data "
            "sets are: edge-dx-export RECIPE --data DIR --write-evidence"
        )


def check_same_files(recipe: Recipe, evidence: Evidence, digests: Mapping[str, str]) -> None:
    """Makes sure that the exported files are those that were measured.

    Args:
        recipe: for the message.
        evidence: the stored figures.
        digests: variant → SHA-256 of the file just exported.

    Raises:
        EvidenceMismatch: a variant differs by a byte, or was never measured.
    """
    for name, found in digests.items():
        stored = evidence.variants.get(name)
        if stored is None or stored.sha256 != found:
            told = stored.sha256 if stored else "nothing"
            raise EvidenceMismatch(
                f"variant {name}: the file just exported has SHA-256 {found}, the figures in "
                f"{recipe.beside(recipe.told.evidence)} were measured on {told}. Thresholds "
                "belong to one file: fit them with the data sets (--data DIR), or export with "
                f"the versions that made the evidence ({versions(evidence)})"
            )


def versions(evidence: Evidence) -> str:
    """The tools that made the evidence, in words."""
    return ", ".join(f"{name} {version}" for name, version in evidence.tools.items())
