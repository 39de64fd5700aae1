"""`load` a bundle, call the `Model`: a thin assembler of the rooms on either side.

read → header gate → decode → pixel gate → prepare → likeness gate → infer → interpret. Whatever
happens to a study comes out as a `Result`; what is wrong with the bundle, the engine's
installation or the caller's arguments is raised.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge_dx import device, gate, interpret, sources
from edge_dx.backends import ENGINES, Backend, engine_state, input_specs, open_backend
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.errors import (
    EngineError,
    EngineMissing,
    EngineRefused,
    InputError,
    TensorMismatch,
)
from edge_dx.image import compile_steps, to_tensor
from edge_dx.manifest import HeatMap, Manifest, Scores, Variant
from edge_dx.result import Finding, HeatMapImage, Reason, Result, Status, TimingMs, Why
from edge_dx.shelf import find
from edge_dx.tensors import Array
from edge_dx.trust import TrustStore


def load(
    path: str | Path,
    variant: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
    *,
    trust: TrustStore | None = None,
    allow_unsigned: bool = False,
) -> Model:
    """Opens and verifies a bundle, and proves the engine on this device if it was not yet.

    Args:
        path: an `.edx` file or directory, or the bare name of a shipped or installed bundle.
        variant: which encoding to run. Where None, an int8 one if this processor has int8 dot
            products, else the first fp32 one; `Model.choice` says which and why.
        engine: which engine to run it on; the first of the variant's engines that is installed
            where None. `pretend` is the shipped fake.
        threads: threads for one inference; 1 where None.
        trust: accepted signers; the device's own store where None.
        allow_unsigned: run a bundle without a signature; every result says so.

    Raises:
        NotFound: no such bundle.
        BundleError: the bundle is damaged or contradicts itself.
        TrustError: unsigned, badly signed, or signed by a stranger.
        ManifestError: no variant of that name.
        EngineError: the engine is missing, refused or failed.
        ProofFailed: the golden inputs do not give the golden outputs here.
    """
    from edge_dx import proof

    bundle = open_bundle(find(path), trust=trust, allow_unsigned=allow_unsigned)
    chosen, engine, choice = choose(bundle.manifest, variant, engine)
    payload = bundle.members[chosen.file]
    backend = open_backend(engine, bundle.manifest, chosen, payload, threads)
    model = Model(bundle, chosen, backend, engine, choice)
    if engine != "pretend":
        proof.ensure(model)
    return model


def choose(manifest: Manifest, variant: str | None, engine: str | None) -> tuple[Variant, str, str]:
    """Which variant and engine to run, and why, in words.

    Raises:
        ManifestError: no variant of that name.
        EngineMissing: no engine that may run it is installed.
        EngineRefused: the variant was not measured on the engine asked for.
    """
    if variant is not None:
        candidates = [manifest.variant(variant)]
        why = "asked for"
    else:
        wanted = "int8" if device.has_int8_dot() else "fp32"
        candidates = sorted(manifest.variants, key=lambda v: v.precision != wanted)
        why = f"this processor has {'' if wanted == 'int8' else 'no '}int8 dot products"
    if engine is not None:
        for candidate in candidates:
            if engine == "pretend" or engine in candidate.engines:
                return candidate, engine, f"variant {candidate.name}: {why}; engine asked for"
        known = sorted({name for candidate in candidates for name in candidate.engines})
        if engine not in ENGINES:
            raise EngineMissing(f"no engine is called {engine!r}; there are: {', '.join(ENGINES)}")
        raise EngineRefused(
            f"{manifest.name}: {', '.join(c.name for c in candidates)} was not measured on engine "
            f"{engine}, so its thresholds do not hold there; measured on: {', '.join(known)}"
        )
    missing = []
    for candidate in candidates:
        for name in candidate.engines:
            there, detail = engine_state(name) if name in ENGINES else (False, "unknown engine")
            if there:
                return candidate, name, f"variant {candidate.name}: {why}; engine {name} is here"
            missing.append(f"{name}: {detail}")
    raise EngineMissing(f"{manifest.name}: no engine for it is here ({'; '.join(missing)})")


@dataclass
class _Case:
    """A study on its way through the model."""

    source: Any
    started: int
    study: sources.Study | None = None
    tensor: Array | None = None
    status: Status | None = None
    reasons: tuple[Why, ...] = ()
    took: dict[str, float] = field(default_factory=dict)


class Model:
    """A variant of a bundle on an engine.

    Attributes:
        bundle: the verified bundle.
        variant: the variant that runs.
        engine: the engine's name.
        choice: why this variant and engine, in words.
        preparation: the compiled preparation of the input.
    """

    def __init__(
        self, bundle: Bundle, variant: Variant, backend: Backend, engine: str, choice: str = ""
    ) -> None:
        self.bundle = bundle
        self.variant = variant
        self.backend = backend
        self.engine = engine
        self.choice = choice
        self._input = bundle.manifest.inputs[0]
        self._spec = input_specs(bundle.manifest)[0]
        self.preparation = compile_steps(self._input.prepare)

    def __call__(self, source: Any) -> Result:
        """Judges one study.

        Args:
            source: what `edge_dx.sources.read` takes: a path, a DICOM data set, an array or a
                `Study`.

        Raises:
            NotFound: no such file.
            MissingExtra: the file's kind needs a package that is not installed.
            TensorMismatch: an array that is no image.
        """
        return self._judge([source])[0]

    def batch(self, studies: Iterable[Any], size: int = 8) -> Iterator[Result]:
        """Judges studies in their order, `size` at a time in one call of the engine.

        Results come as each group is done; memory does not grow with the number of studies.
        Raises what a call raises, when it reaches that study.
        """
        if size < 1:
            raise ValueError(f"batch size is at least 1, not {size}")
        remaining = iter(studies)
        while group := list(islice(remaining, size)):
            yield from self._judge(group)

    def run_case(self, source: Any) -> tuple[Result, dict[str, Array] | None]:
        """The result with the raw outputs behind it (None where none were computed)."""
        case = self._prepared(source)
        outputs = self._infer([case])
        return self._result(case, outputs, 0), outputs

    def close(self) -> None:
        """Lets go of the engine."""
        self.backend.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        signed = f"signed by {self.bundle.signer}" if self.bundle.signer else "UNSIGNED bundle"
        name = f"{self.bundle.manifest.name} {self.bundle.manifest.version}"
        return f"<Model {name}: {self.variant.name} on {self.engine}; {signed}>"

    def _judge(self, group: list[Any]) -> list[Result]:
        cases = [self._prepared(source) for source in group]
        ready = [case for case in cases if case.tensor is not None]
        if self.variant.batch == "any":
            outputs = self._infer(ready)
            where = {id(case): (outputs, i) for i, case in enumerate(ready)}
        else:
            where = {id(case): (self._infer([case]), 0) for case in ready}
        return [self._result(case, *where.get(id(case), (None, 0))) for case in cases]

    def _prepared(self, source: Any) -> _Case:
        """Reads, gates and prepares; a declined case has a status and no tensor."""
        case = _Case(source, time.perf_counter_ns())
        limits = self.bundle.manifest.eligibility
        mark = case.started
        try:
            study = sources.read(source)
            case.study = study
            case.reasons = gate.check_header(study, limits)
            if not case.reasons:
                pixels = study.pixels
                mark = _lap(case, "read", mark)
                case.reasons = gate.check_pixels(pixels, limits)
                if not case.reasons:
                    tensor = to_tensor(self.preparation(pixels))
                    problem = self._spec.problem(tensor)
                    if problem:  # before a batch is put together of tensors that do not fit
                        raise TensorMismatch(f"{self.bundle.path}: the prepared image {problem}")
                    case.reasons = gate.check_prepared(tensor, limits)
                    case.tensor = None if case.reasons else tensor
                _lap(case, "prepare", mark)
            else:
                _lap(case, "read", mark)
            if case.reasons:
                case.status = Status.NOT_ANALYSED
        except InputError as error:
            reason = Reason(error.reason)
            broken = reason is Reason.UNREADABLE
            case.status = Status.FAILED if broken else Status.NOT_ANALYSED
            case.reasons = (Why(reason, str(error)),)
            _lap(case, "read", mark)
        return case

    def _infer(self, cases: list[_Case]) -> dict[str, Array] | None:
        tensors = [case.tensor for case in cases if case.tensor is not None]
        if not tensors:
            return None
        mark = time.perf_counter_ns()
        feed = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        try:
            return self.backend.run({self._input.name: feed})
        except EngineError as error:
            for case in cases:
                case.status = Status.FAILED
                case.reasons = (Why(Reason.ENGINE, str(error)),)
            return None
        finally:
            share = (time.perf_counter_ns() - mark) / 1e6 / len(tensors)
            for case in cases:
                case.took["infer"] = share

    def _result(self, case: _Case, outputs: dict[str, Array] | None, sample: int) -> Result:
        mark = time.perf_counter_ns()
        manifest, variant = self.bundle.manifest, self.variant
        status, reasons = case.status, case.reasons
        lead, heat = None, None
        found: tuple[Finding, ...] = ()
        chances: dict[str, float] = {}
        if outputs is not None:
            problem = interpret.integrity_problem(manifest, outputs, sample)
            if problem:
                status, reasons = Status.FAILED, (problem,)
            else:
                found = interpret.findings(manifest, variant, outputs, sample)
                lead = interpret.leading(found)
                status = lead.status
                chances = self._probabilities(outputs, sample)
                if status is not Status.NEGATIVE:
                    heat = self._heat_map(lead.label, outputs, sample)
                if status is Status.INDETERMINATE:
                    low, high = lead.operating_point.band
                    told = f"{lead.score:.4f} lies within the numerical error of this variant "
                    reasons = (Why(Reason.NEAR_THRESHOLD, f"{told}({low:.4f} to {high:.4f})"),)
        if self.engine == "pretend":
            why = Why(Reason.PRETEND_ENGINE, "made up by the shipped fake; means nothing")
            reasons = (*reasons, why)
        assert status is not None, "a case without outputs was declined or failed"
        study = case.study
        path = study.path if study else case.source
        done = time.perf_counter_ns()
        case.took["interpret"] = (done - mark) / 1e6
        return Result(
            status=status,
            label=lead.label if lead else None,
            score=lead.score if lead else None,
            operating_point=lead.operating_point if lead else None,
            findings=found,
            probabilities=chances,
            reasons=reasons,
            heat_map=heat,
            assumed=study.assumed if study else (),
            file=str(path) if isinstance(path, (str, Path)) else None,
            bundle=f"{manifest.name} {manifest.version}",
            bundle_digest=self.bundle.digest,
            variant=variant.name,
            engine=self.engine,
            signer=self.bundle.signer,
            input_digest=study.digest if study else None,
            timing_ms=TimingMs(**case.took, total=(done - case.started) / 1e6),
        )

    def _probabilities(self, outputs: dict[str, Array], sample: int) -> dict[str, float]:
        chances: dict[str, float] = {}
        for output in self.bundle.manifest.outputs:
            if isinstance(output, Scores):
                values = outputs[output.name][sample : sample + 1]
                row = interpret.probabilities(output, values)[0].tolist()
                chances.update(zip(output.labels, row, strict=True))
        return chances

    def _heat_map(self, label: str, outputs: dict[str, Array], sample: int) -> HeatMapImage | None:
        scores = {o.name: o for o in self.bundle.manifest.outputs if isinstance(o, Scores)}
        for output in self.bundle.manifest.outputs:
            if isinstance(output, HeatMap) and label in scores[output.of].labels:
                channel = scores[output.of].labels.index(label)
                values = outputs[output.name][sample, channel].copy()
                values.flags.writeable = False
                return HeatMapImage(label, values, output.scale)
        return None


def _lap(case: _Case, stage: str, since: int) -> int:
    now = time.perf_counter_ns()
    case.took[stage] = (now - since) / 1e6
    return now
