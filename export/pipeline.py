"""The whole way from a recipe to a bundle, for either state of the data sets: here or not."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path

from edge_dx.bundle import Bundle
from edge_dx.gate import correlation, template_of
from edge_dx.manifest import Likeness
from export.calibrate import Ranges, calibrate, method_name
from export.datasets import Studies, check_no_leak, read_studies, rows_of
from export.errors import DataMissing, EvidenceMismatch
from export.evidence import (
    Evidence,
    check_same_contract,
    check_same_files,
    contract_digest,
    read_evidence,
    versions,
    write_evidence,
)
from export.measure import measure
from export.network import load_network
from export.onnx_from_torch import input_of, onnx_from_torch, outputs_of, torch_outputs
from export.pack import Exported, pack, tool_versions
from export.parity import check_parity
from export.quantize import QUANTIZED_OPS, preprocess, quantize
from export.recipe import Recipe
from export.training_record import check_unseen, read_training
from export.vocabulary import DataPart

Say = Callable[[str], None]


def say_on_stderr(line: str) -> None:
    """Progress for a person."""
    print(line, file=sys.stderr, flush=True)


def export(
    recipe: Recipe,
    path: Path,
    *,
    data_root: Path | None = None,
    private_key_pem: bytes | None = None,
    keep_evidence: bool = False,
    say: Say = say_on_stderr,
) -> Bundle:
    """Exports a recipe to a bundle.

    Args:
        recipe: what to export.
        path: the `.edx` file to write.
        data_root: directory that the sets' paths are relative to; the recipe's own where None.
        private_key_pem: signs the bundle; unsigned where None.
        keep_evidence: measure everything anew and store it beside the recipe.
        say: takes progress lines.

    Returns:
        The bundle, opened again from the file and proved.

    Raises:
        EdgeDxError: one of its kinds; the message says what to do.
    """
    run = _Run(recipe, data_root or recipe.path.parent, keep_evidence, say)
    files, ranges = run.files()
    evidence = run.evidence(files, ranges)
    made = Exported(
        image=run.image,
        outputs=run.outputs,
        files=files,
        figures=evidence.variants,
        heat_maps=evidence.heat_maps,
        likeness=evidence.likeness,
        weights_sha256=run.weights_sha256,
        training=run.training,
        calibration=evidence.calibration,
        validation=evidence.validation,
        quantization=_scheme(ranges),
    )
    bundle = pack(recipe, made, path, private_key_pem)
    if keep_evidence:  # only now that the bundle was proved
        say(f"evidence written to {write_evidence(recipe, evidence)}")
    return bundle


class _Run:
    """One export on its way: what was read, and the steps that make files and figures."""

    def __init__(self, recipe: Recipe, root: Path, keep_evidence: bool, say: Say) -> None:
        self.recipe = recipe
        self.told = recipe.told
        self.root = root
        self.say = say
        self.stored = None if keep_evidence else read_evidence(recipe)
        self.network, self.weights_sha256 = load_network(recipe)
        self.training = read_training(recipe, self.weights_sha256)
        self.image = input_of(self.told.input)
        self.outputs = outputs_of(recipe, self.network)
        parts = {"calibration": self.told.data.calibration, "validation": self.told.data.validation}
        rows = {role: rows_of(part, root) if part else None for role, part in parts.items()}
        if rows["calibration"] and rows["validation"]:
            check_no_leak(rows["calibration"], rows["validation"], ("calibration", "validation"))
        sets: dict[str, Studies | None] = dict.fromkeys(parts)
        for role, part in parts.items():
            found = rows[role]
            if part is None:
                continue
            if found is None and keep_evidence:
                raise self.missing(part, role, "evidence is written from data")
            if found is None:
                say(f"{role} set: {part.name} is not here (looked in {root})")
                continue
            studies = read_studies(part, found, self.image)
            mix = ", ".join(f"{n} {name}" for name, n in studies.told.classes.items())
            say(f"{role} set: {part.name}, {len(found)} studies ({mix})")
            sets[role] = studies
        self.calibration, self.validation = sets["calibration"], sets["validation"]
        if self.validation is not None:
            check_unseen(self.training, self.validation)

    def missing(self, part: DataPart, role: str, why: str) -> DataMissing:
        return DataMissing(
            f"data.{role} ({part.name}): {self.root / part.csv} or {self.root / part.root} is not "
            f"there, and {why}; give the directory that holds the set with --data DIR"
        )

    def files(self) -> tuple[dict[str, bytes], Ranges | None]:
        """The variants' files in the recipe's order, and the activation ranges used."""
        self.say("exporting onnx-fp32")
        fp32 = onnx_from_torch(self.network, self.told.input, self.outputs)
        off = check_parity(self.network, fp32, self.image, self.outputs, self.told.parity_limit)
        self.say(f"  parity with torch: {', '.join(f'{k} {v:.1e}' for k, v in off.items())}")
        made = {"onnx-fp32": fp32}
        ranges = None
        if "onnx-int8" in self.told.variants:
            prepared = preprocess(fp32)
            ranges = self.ranges(hashlib.sha256(fp32).hexdigest(), prepared)
            self.say("exporting onnx-int8")
            made["onnx-int8"] = quantize(prepared, ranges.ranges, self.outputs)
        return {name: made[name] for name in self.told.variants}, ranges

    def ranges(self, graph_sha256: str, prepared: bytes) -> Ranges:
        """Stored activation ranges where they belong to this graph, else calibrated ones."""
        part = self.told.data.calibration
        assert part is not None, "the recipe's own check asks for it with onnx-int8"
        studies = self.calibration
        images = hashlib.sha256(studies.images.tobytes()).hexdigest() if studies else None
        method = method_name(self.told.quantization)
        known = self.stored.ranges if self.stored else None
        if known is not None and known.fit(graph_sha256, images, method):
            if studies is None and self.stored is not None:
                check_same_contract(self.recipe, self.stored)
            self.say(f"activation ranges: the stored ones of this very graph ({method})")
            return known
        if studies is None or images is None:
            file = self.recipe.beside(self.told.evidence)
            if known is None or self.stored is None:
                raise self.missing(part, "calibration", f"{file} holds no activation ranges")
            raise EvidenceMismatch(
                f"{file}: its activation ranges belong to the graph {known.graph_sha256} "
                f"({known.method}), the graph just exported is {graph_sha256} ({method}); "
                "calibrate with the data set (--data DIR), or export with the versions that made "
                f"the evidence ({versions(self.stored)})"
            )
        self.say(f"activation ranges: calibrating on {studies.told.n} studies ({method})")
        return calibrate(
            graph_sha256, prepared, QUANTIZED_OPS, self.image.name, studies.images, images,
            self.told.quantization,
        )  # fmt: skip

    def evidence(self, files: dict[str, bytes], ranges: Ranges | None) -> Evidence:
        """Figures measured here where the data are, else the stored ones of these very bytes."""
        digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
        for name, raw in files.items():
            self.say(f"  {name}: {len(raw)} bytes, SHA-256 {digests[name][:16]}…")
        studies = self.validation
        if studies is None:
            if self.stored is None:
                file = self.recipe.beside(self.told.evidence)
                raise self.missing(self.told.data.validation, "validation", f"{file} is not either")
            check_same_contract(self.recipe, self.stored)
            check_same_files(self.recipe, self.stored, digests)
            self.say(
                "thresholds and figures: the stored ones; they were measured on files that are "
                "byte for byte those just exported"
            )
            return self.stored
        self.say(f"measuring on {studies.told.n} studies")
        names = tuple(output.name for output in self.outputs)
        expected = torch_outputs(self.network, names, studies.images)
        figures, heat_maps = measure(
            self.told, self.image, self.outputs, files, digests, studies, expected
        )
        for name, figure in figures.items():
            told = figure.fidelity
            self.say(
                f"  {name}: AUC {told.auc.value if told.auc else float('nan'):.4f}, largest score "
                f"error {told.max_score_error:.2g}, {told.decision_flips} of {told.n} decisions "
                f"flip, {told.latency_p50_ms} ms"
            )
        self.say("thresholds and figures: measured here")
        return Evidence(
            name=f"{self.told.name} {self.told.version}",
            contract_sha256=contract_digest(self.recipe),
            calibration=self.calibration.told if self.calibration else None,
            validation=studies.told,
            ranges=ranges,
            likeness=self.likeness(studies),
            heat_maps=heat_maps,
            variants=figures,
            tools=tool_versions(),
        )

    def likeness(self, validation: Studies) -> tuple[float, ...] | None:
        """The gate's template from the calibration films, tried on the validation films."""
        part = self.told.eligibility.likeness
        if part is None:
            return None
        films = self.calibration or validation
        likeness = Likeness(
            side=part.side,
            template=template_of(films.images, part.side),
            min_correlation=part.min_correlation,
        )
        found = sorted(correlation(film[None], likeness) for film in validation.images)
        refused = sum(value < part.min_correlation for value in found)
        self.say(
            f"  likeness: validation films correlate from {found[0]:.2f} (median "
            f"{found[len(found) // 2]:.2f}); {refused} of {len(found)} lie below "
            f"{part.min_correlation:g}"
        )
        return likeness.template


def _scheme(ranges: Ranges | None) -> dict[str, str]:
    """How the int8 variant was quantized, for the manifest's provenance."""
    if ranges is None:
        return {}
    return {
        "scheme": "static Q/DQ, activations uint8 per tensor, weights int8 per channel",
        "float": "everything behind the last feature map",
        "ranges": ranges.method,
        "images_sha256": ranges.images_sha256,
    }
