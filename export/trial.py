"""One variant after the other: made the best way, measured, and put through its gates.

Where a variant fails at the noise of a layer, at its clinical figures or at its heat maps, and the
recipe allows it, layers go back to float in the order of their noise until it passes: the ranking
and reverting of NNCF's accuracy control, with clinical figures in place of one accuracy number.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
import torch

from edge_dx.device import processor
from edge_dx.manifest import DataSet, Estimate, ImageInput
from edge_dx.metrics import auc, estimate
from export import gates
from export.clinical import Comparison, column_of, compare
from export.datasets import Studies
from export.errors import ExportError, GateFailed
from export.latency import peak_memory_mb
from export.making import Choice, Maker, replace_scheme
from export.measure import (
    Context,
    HeatMapFigures,
    Measured,
    Reference,
    heat_maps_of,
    measure,
    reference_of,
)
from export.network import FromInputs
from export.onnx_from_torch import torch_outputs
from export.parity import check_parity
from export.recipe import Recipe
from export.report.record import Gate, LayerNoise, Report, StudyRow, VariantRecord
from export.running import Made
from export.scheme import Layer
from export.vocabulary import RecipeFile

_REVERTIBLE = ("layer noise", "clinical", "heat maps")


class Trial:
    """All variants of a recipe on its validation set.

    Attributes:
        choices: variant → how it was quantized.
        measured: variant → its figures.
        records: variant → the record of its gates, also where it failed.
    """

    def __init__(
        self,
        told: RecipeFile,
        maker: Maker,
        network: FromInputs,
        studies: Studies,
        say: Callable[[str], None],
    ) -> None:
        self.told = told
        self.maker = maker
        self.network = network
        self.studies = studies
        self.say = say
        self.choices: dict[str, Choice] = {}
        self.measured: dict[str, Measured] = {}
        self.records: dict[str, VariantRecord] = {}
        self._parity: dict[str, dict[str, float]] = {}

    @cached_property
    def reference(self) -> Reference:
        """The module itself."""
        names = tuple(output.name for output in self.maker.outputs)
        values = torch_outputs(self.network, names, self.studies.feeds)
        told = f"torch {torch.__version__.split('+')[0]} eager, float32"
        return reference_of(told, self.told, self.maker.outputs, self.studies, values)

    @cached_property
    def context(self) -> Context:
        """What measuring needs."""
        return Context(
            self.told, self.maker.inputs, self.maker.outputs, self.studies, self.reference
        )

    @cached_property
    def heat_maps(self) -> dict[str, HeatMapFigures]:
        """Of the manifest's heat maps."""
        return heat_maps_of(self.maker.outputs, self.studies, self.reference)

    def run(self, name: str) -> Made:
        """Makes a variant that passes every gate.

        Raises:
            GateFailed: it fails one, and reverting does not help or is not allowed.
            ExportError: it cannot be made at all.
        """
        self.say(f"exporting {name}")
        if not name.endswith("int8"):
            made = self.maker.float_file(name)
            self._gates(made, None, ())
            return made
        choice = self.maker.choose(name, self.studies.feeds, self.reference.outputs)
        ranked = self.maker.layer_noise(name, choice, self.studies.feeds, self.reference.outputs)
        allowed = self.told.quantization.revert
        worst_first = sorted(ranked, key=lambda pair: pair[1].sqnr_db)
        for reverted in range(min(allowed, len(ranked)) + 1):
            back = [layer for layer, _ in worst_first[:reverted]]
            trial = _with_reverted(choice, back)
            made = self.maker.quantized(name, trial.scheme, trial.ranges)
            layers = tuple(
                msgspec.structs.replace(noise, reverted=layer in back) for layer, noise in ranked
            )
            try:
                self._gates(made, trial, layers)
            except GateFailed as error:
                if error.gate not in _REVERTIBLE or reverted == min(allowed, len(ranked)):
                    raise
                following = worst_first[reverted][1]
                self.say(f"  {error.gate} failed; {following.layer} goes back to float")
                continue
            self.choices[name] = trial
            return made
        raise AssertionError("the last round returns or raises")

    def flip_pictures(self) -> dict[str, list[tuple[int, np.ndarray[Any, Any]]]]:
        """Variant → (position, prepared picture) of the studies that are answered otherwise."""
        image = next((i for i in self.maker.inputs if isinstance(i, ImageInput)), None)
        if image is None:
            return {}
        films = self.studies.feeds[image.name]
        return {
            name: [(int(k), films[k]) for k in record.flipped]
            for name, record in self.records.items()
        }

    def _gates(self, made: Made, choice: Choice | None, layers: tuple[LayerNoise, ...]) -> None:
        """Puts a file through its gates, keeping a record up to the one that fails."""
        record = VariantRecord(
            name=made.name, sha256=made.sha256, bytes=len(made.payload),
            scheme=choice.scheme if choice else None,
            candidates=choice.candidates if choice else (), layers=layers,
        )  # fmt: skip
        passed: list[Gate] = []
        try:
            passed.append(gates.structure(made, self.told.gates.undelegated, _prebuild()))
            parent = self.maker.parent(made.name)
            passed.append(gates.parity(self._parity_of(parent), parent.name))
            if layers:
                passed.append(gates.layer_noise(made.name, layers, self.told.gates.layer_sqnr_db))
            measured = measure(self.context, made)
            comparisons = self._comparisons(measured)
            record = _with_figures(record, measured, comparisons, self.context)
            passed.append(gates.clinical(self.context, measured, comparisons))
            peak = peak_memory_mb(made, self.maker.inputs, self.maker.outputs)
            record = msgspec.structs.replace(record, peak_memory_mb=round(peak, 1))
            passed.append(gates.budget(self.context, measured, peak))
            gate, lowest = gates.heat_maps(self.context, measured)
            passed.append(gate)
            record = msgspec.structs.replace(record, lowest_heat_map_correlation=lowest)
        except GateFailed as error:
            told = Gate(gate=error.gate, passed=False, told=str(error))  # type: ignore[arg-type]  # raised by one of the gates, which spell their own names
            self.records[made.name] = msgspec.structs.replace(record, gates=(*passed, told))
            raise
        except ExportError as error:
            told = Gate(gate="parity" if passed else "structure", passed=False, told=str(error))
            self.records[made.name] = msgspec.structs.replace(record, gates=(*passed, told))
            raise
        self.records[made.name] = msgspec.structs.replace(record, gates=tuple(passed))
        self.measured[made.name] = measured
        self._tell(measured)

    def _parity_of(self, parent: Made) -> dict[str, float]:
        if parent.name not in self._parity:
            self._parity[parent.name] = check_parity(
                self.network, parent, self.maker.inputs, self.maker.outputs, self.told.parity_limit
            )
        return self._parity[parent.name]

    def _comparisons(self, measured: Measured) -> tuple[Comparison, ...]:
        reference = self.reference
        return compare(
            self.maker.outputs, self.studies, (reference.answers, reference.points),
            (measured.answers, measured.figures.operating_points), self.told.gates,
        )  # fmt: skip

    def _tell(self, measured: Measured) -> None:
        told = measured.figures.fidelity
        area = f"AUC {told.auc.value:.4f}, " if told.auc else ""
        engines = ", ".join(f"{e} {f.latency_p50_ms:.2f} ms" for e, f in told.engines.items())
        self.say(
            f"  {len(measured.made.payload)} bytes; {area}largest error of an answer "
            f"{told.max_score_error:.2g}, {told.decision_flips} of {told.n} answers differ; "
            f"{engines}; every gate passed"
        )


def _with_reverted(choice: Choice, back: list[Layer]) -> Choice:
    names = tuple(layer.name for layer in back)
    return Choice(replace_scheme(choice.scheme, names), choice.ranges, choice.candidates)


def _with_figures(
    record: VariantRecord, measured: Measured, comparisons: tuple[Comparison, ...], context: Context
) -> VariantRecord:
    return msgspec.structs.replace(
        record,
        figures=measured.figures,
        comparisons=comparisons,
        flipped=tuple(int(k) for k in np.flatnonzero(measured.flipped)),
        scores=scores_told(context, measured.answers),
        latency_p99_ms=measured.p99_ms,
    )


def scores_told(context: Context, answers: Mapping[str, Any]) -> dict[str, tuple[float, ...]]:
    """`output/label` → one number per study; maps are too large for a record."""
    found = {}
    for output in context.outputs:
        values = answers.get(output.name)
        if values is None or values.ndim != 2:
            continue
        names = getattr(output, "labels", None) or [
            field.name for field in getattr(output, "fields", ())
        ]
        for k in range(values.shape[1]):
            label = names[k] if names else getattr(output, "label", str(k))
            found[f"{output.name}/{label}"] = tuple(float(f"{v:.9g}") for v in values[:, k])
    return found


def tried(
    recipe: Recipe,
    trial: Trial,
    tools: Mapping[str, str],
    weights_sha256: str,
    calibration: DataSet | None,
    leak_check: str,
) -> Report:
    """The record of a trial."""
    studies, reference, told = trial.studies, trial.reference, recipe.told
    patients = np.unique(studies.patients, return_inverse=True)[1]
    return Report(
        name=told.name,
        version=told.version,
        measured_on=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        machine=processor(),
        reference=reference.name,
        tools=dict(tools),
        seeds={"bootstrap": 0, "validation draw": told.data.validation.seed}
        | ({"calibration draw": told.data.calibration.seed} if told.data.calibration else {}),
        recipe_sha256=recipe.sha256,
        weights_sha256=weights_sha256,
        calibration=calibration,
        validation=studies.told,
        leak_check=leak_check,
        studies=tuple(
            StudyRow(
                digest=digest[:16], patient=int(patient), group=row.group or "",
                labels=tuple(sorted(row.labels)),
            )
            for digest, patient, row in zip(studies.digests, patients, studies.rows, strict=True)
        ),
        reference_scores=scores_told(trial.context, reference.answers),
        reference_thresholds={point.name: point.threshold for point in reference.points},
        reference_auc=_reference_auc(trial),
        variants=tuple(trial.records.values()),
    )  # fmt: skip


def _reference_auc(trial: Trial) -> Estimate | None:
    reference, outputs = trial.reference, trial.maker.outputs
    for point in reference.points:
        scores = reference.answers[point.output]
        if scores.ndim == 2:
            column = column_of(outputs, point)
            truth = trial.studies.truth(point.label)
            return estimate(auc, truth, scores[:, column], trial.studies.patients)
    return None


def _prebuild() -> gates.Builder | None:
    """TensorRT for RTX's ahead-of-time compiler, where it is installed."""
    import importlib.util

    if importlib.util.find_spec("tensorrt_rtx_bindings") is None:
        return None
    try:
        from edge_dx.backends.tensorrt import prebuild
    except ImportError:
        return None
    return lambda payload: prebuild(payload, compute_capability=(8, 6), say=lambda line: None)
