"""The whole way from a recipe to a bundle, for either state of the data sets: here or not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import msgspec

from edge_dx.bundle import Bundle
from edge_dx.manifest import ImageInput
from export import known
from export.datasets import Studies, check_no_leak, read_studies, rows_of
from export.errors import DataMissing, ExportError, GateFailed, RecipeError
from export.evidence import (
    Evidence,
    Stored,
    check_same_contract,
    check_same_files,
    contract_digest,
    read_evidence,
    write_evidence,
)
from export.familiarity import Known
from export.gate_study.record import GateStudy
from export.gate_study.study import study
from export.making import Maker
from export.network import load_network
from export.onnx_from_torch import inputs_of, outputs_of
from export.pack import Exported, draft_model, pack, tool_versions
from export.parity import check_parity
from export.recipe import Recipe
from export.report.record import Report
from export.running import Made
from export.training_record import check_unseen, read_training
from export.trial import Trial, tried
from export.vocabulary import DataPart

Say = Callable[[str], None]
_STUDIED = 2
"""Variants whose gate is tried on every picture: the module in float and the first of the others;
what quantization does to the limit is told of all."""


def say_on_stderr(line: str) -> None:
    """Progress for a person."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Options:
    """What the caller decides, beside the recipe.

    Attributes:
        data_root: directory that the sets' paths are relative to; the recipe's own where None.
        private_key_pem: signs the bundle; unsigned where None.
        keep_evidence: measure everything anew and store it beside the recipe.
        variants: export these of the recipe's variants alone; all where None.
        drop_failed: pack the others where a variant fails a gate, in place of nothing.
        report: directory for `report.html` and `report.json`; None writes neither.
        say: takes progress lines.
    """

    data_root: Path | None = None
    private_key_pem: bytes | None = None
    keep_evidence: bool = False
    variants: tuple[str, ...] | None = None
    drop_failed: bool = False
    report: Path | None = None
    say: Say = say_on_stderr


def export(recipe: Recipe, path: Path, options: Options | None = None) -> Bundle:
    """Exports a recipe to a bundle.

    Args:
        recipe: what to export.
        path: the `.edx` file to write.
        options: see there.

    Returns:
        The bundle, opened again from the file and proved.

    Raises:
        EdgeDxError: one of its kinds; the message says what to do.
    """
    options = options or Options()
    run = _Run(_selected(recipe, options), options)
    files, evidence = run.measured() if run.validation is not None else run.stored_files()
    made = run.exported(files, evidence)
    bundle = pack(run.recipe, made, path, options.private_key_pem)
    if options.keep_evidence:  # only now that the bundle was proved
        run.say(f"evidence written to {write_evidence(run.recipe, evidence)}")
    return bundle


def _selected(recipe: Recipe, options: Options) -> Recipe:
    """The recipe with the variants that were asked for."""
    if options.variants is None:
        return recipe
    unknown = [name for name in options.variants if name not in recipe.told.variants]
    if unknown or not options.variants:
        raise RecipeError(
            f"{recipe.path}: has no variant {', '.join(unknown) or '(none given)'}; it has: "
            f"{', '.join(recipe.told.variants)}"
        )
    if options.keep_evidence:
        raise RecipeError("--write-evidence measures all variants; leave --variants out")
    kept = tuple(name for name in recipe.told.variants if name in options.variants)
    told = msgspec.structs.replace(recipe.told, variants=kept)
    return Recipe(recipe.path, recipe.sha256, told)


class _Run:
    """One export on its way: what was read, and the steps that make files and figures."""

    def __init__(self, recipe: Recipe, options: Options) -> None:
        self.recipe = recipe
        self.told = recipe.told
        self.options = options
        self.root = options.data_root or recipe.path.parent
        self.say = options.say
        self.stored = None if options.keep_evidence else read_evidence(recipe)
        self.network, self.weights_sha256 = load_network(recipe)
        self.training = read_training(recipe, self.weights_sha256)
        self.inputs = inputs_of(self.told)
        self.outputs = outputs_of(recipe, self.network)
        self.image = next((i for i in self.inputs if isinstance(i, ImageInput)), None)
        self.calibration, self.validation = self._sets()
        self.leak_check = "the calibration set is not here"
        if self.calibration is not None and self.validation is not None:
            self.leak_check = (
                f"{len(set(self.calibration.patients))} calibration and "
                f"{len(set(self.validation.patients))} validation patients, none in both; no study "
                "in both"
            )
            if self.tested:
                self.leak_check += f"; none of {self.tested} test patients in either"
        if self.validation is not None:
            check_unseen(self.training, self.validation)
        feeds = self.calibration.feeds if self.calibration else None
        self.maker = Maker(self.told, self.network, self.inputs, self.outputs, feeds, self.say)

    def _sets(self) -> tuple[Studies | None, Studies | None]:
        parts = {"calibration": self.told.data.calibration, "validation": self.told.data.validation}
        image = self.told.image is not None
        rows = {
            role: rows_of(part, self.root, image=image) if part else None
            for role, part in parts.items()
        }
        apart = self.told.data.test
        rows["test"] = rows_of(apart, self.root, image=image) if apart else None
        for first, second in combinations(("calibration", "validation", "test"), 2):
            check_no_leak(rows[first] or (), rows[second] or (), (first, second))
        self.tested = len({row.patient for row in rows["test"] or ()})
        sets: dict[str, Studies | None] = dict.fromkeys(parts)
        for role, part in parts.items():
            found = rows[role]
            if part is None:
                continue
            if found is None and self.options.keep_evidence:
                raise self.missing(part, role, "evidence is written from data")
            if found is None:
                self.say(f"{role} set: {part.name} is not here (looked in {self.root})")
                continue
            studies = read_studies(part, found, self.inputs)
            mix = ", ".join(f"{n} {name}" for name, n in studies.told.classes.items())
            self.say(f"{role} set: {part.name}, {len(found)} studies ({mix})")
            sets[role] = studies
        calibration, validation = sets["calibration"], sets["validation"]
        if calibration is not None and validation is not None:
            check_no_study_twice(calibration, validation)
        return calibration, validation

    def missing(self, part: DataPart, role: str, why: str) -> DataMissing:
        return DataMissing(
            f"data.{role} ({part.name}): {self.root / part.csv} or {self.root / part.root} is not "
            f"there, and {why}; give the directory that holds the set with --data DIR"
        )

    def stored_files(self) -> tuple[dict[str, Made], Evidence]:
        """Without the validation set: the files made again, if they are those that were measured.

        Raises:
            EvidenceMismatch: they are not.
        """
        if self.stored is None:
            file = self.recipe.beside(self.told.evidence)
            raise self.missing(self.told.data.validation, "validation", f"{file} is not either")
        check_same_contract(self.recipe, self.stored)
        files: dict[str, Made] = {}
        for name in self.told.variants:
            self.say(f"exporting {name}")
            how = self.stored.made.get(name)
            if how is None:
                files[name] = self.maker.float_file(name)
            else:
                source = str(self.recipe.beside(self.told.evidence))
                self.maker.check_stored(how.ranges, name, source)
                files[name] = self.maker.quantized(name, how.scheme, how.ranges)
            self.say(f"  {len(files[name].payload)} bytes, SHA-256 {files[name].sha256[:16]}…")
        for parent in {id(made): made for made in map(self.maker.parent, files)}.values():
            check_parity(self.network, parent, self.inputs, self.outputs, self.told.parity_limit)
        check_same_files(self.recipe, self.stored, {n: made.sha256 for n, made in files.items()})
        self.say(
            "thresholds and figures: the stored ones; they were measured on files that are byte "
            "for byte those just exported"
        )
        if self.options.report is not None:
            self._write_report(self.stored.report, None)
        return files, self.stored

    def measured(self) -> tuple[dict[str, Made], Evidence]:
        """With the validation set: every variant made, measured and put through its gates."""
        studies = self.validation
        assert studies is not None, "the caller looks first"
        calibrated = [name for name in self.told.variants if name.endswith("int8")]
        if calibrated and self.calibration is None:
            part = self.told.data.calibration
            assert part is not None, "the recipe's own check asks for it"
            raise self.missing(part, "calibration", f"{calibrated[0]} needs activation ranges")
        trial = Trial(self.told, self.maker, self.network, studies, self.say)
        files: dict[str, Made] = {}
        failures: list[ExportError] = []
        for name in self.told.variants:
            try:
                files[name] = trial.run(name)
            except ExportError as error:
                failures.append(error)
                if not self.options.drop_failed or not isinstance(error, GateFailed):
                    break
                self.say(f"LEFT OUT: {error}")
        report = self._report(trial)
        if self.options.report is not None:
            self._write_report(report, trial)
        if failures and (not self.options.drop_failed or not files):
            raise failures[0]
        template = known.likeness(self.told, self.inputs, self.calibration, studies, self.say)
        familiarity = self._familiarity(trial, files, template)
        evidence = Evidence(
            name=f"{self.told.name} {self.told.version}",
            contract_sha256=contract_digest(self.recipe),
            calibration=self.calibration.told if self.calibration else None,
            validation=studies.told,
            made={
                name: Stored(scheme=choice.scheme, ranges=choice.ranges)
                for name, choice in trial.choices.items()
                if name in files
            },
            likeness=template,
            familiarity=familiarity,
            heat_maps=trial.heat_maps,
            variants={name: trial.measured[name].figures for name in files},
            tools=tool_versions(),
            report=report,
        )
        gate = self._gate(files, evidence)
        if gate:
            report = msgspec.structs.replace(report, gate=gate)
            evidence = msgspec.structs.replace(evidence, report=report)
            if self.options.report is not None:
                self._write_report(report, trial)
        return files, evidence

    def exported(self, files: dict[str, Made], evidence: Evidence) -> Exported:
        """What the bundle is made of."""
        return Exported(
            inputs=self.inputs,
            outputs=self.outputs,
            files=files,
            figures=evidence.variants,
            heat_maps=evidence.heat_maps,
            likeness=evidence.likeness,
            familiarity=evidence.familiarity,
            weights_sha256=self.weights_sha256,
            training=self.training,
            calibration=evidence.calibration,
            validation=evidence.validation,
            report=evidence.report,
        )

    def _familiarity(
        self, trial: Trial, files: dict[str, Made], template: known.Template | None
    ) -> Known | None:
        """The look after inference, from the calibration films, the other sets for its limits."""
        part, image = self.told.eligibility.familiarity, self.image
        if part is None:
            return None
        if self.calibration is None:
            told = self.told.data.calibration
            assert told is not None, "the recipe's own check asks for it"
            raise self.missing(told, "calibration", "eligibility.familiarity is fitted to it")
        strangers = {}
        if image is not None and self.told.data.strangers:
            limits = self.told.eligibility.limits(template)
            strangers = known.shaping_strangers(self.told, image, limits, self.root)
        return known.familiarity(
            self.told, (self.inputs, self.outputs), files, self.maker.onnx, self.calibration,
            {name: trial.measured[name].outputs for name in files}, strangers, self.say,
        )  # fmt: skip

    def _gate(self, files: dict[str, Made], evidence: Evidence) -> tuple[GateStudy, ...]:
        """What the gate does on the sets that the recipe names for it."""
        sets = self.told.data
        if self.validation is None or not (sets.strangers or sets.elsewhere):
            return ()
        made = self.exported(files, evidence)
        found = []
        for name in list(files)[:_STUDIED]:
            with draft_model(self.recipe, made, name) as model:
                found.append(study(model, sets, self.root, self.validation.rows, self.say))
        return tuple(found)

    def _report(self, trial: Trial) -> Report:
        return tried(
            self.recipe, trial, tool_versions(), self.weights_sha256,
            self.calibration.told if self.calibration else None, self.leak_check,
        )  # fmt: skip

    def _write_report(self, report: Report, trial: Trial | None) -> None:
        from export.report.page import write_report

        assert self.options.report is not None, "the caller looks first"
        pictures = trial.flip_pictures() if trial is not None else {}
        written = write_report(self.options.report, report, self.told, pictures)
        self.say(f"report written to {written}")


def check_no_study_twice(calibration: Studies, validation: Studies) -> None:
    """Makes sure that no file stands in both sets, under whatever name.

    Raises:
        PatientLeak: one does.
    """
    from export.errors import PatientLeak

    both: Sequence[str] = sorted(set(calibration.digests) & set(validation.digests))
    if both:
        raise PatientLeak(
            f"{len(both)} studies stand in both calibration and validation with the same content "
            f"(SHA-256 {both[0][:16]}…): remove the copies from one of the tables"
        )
