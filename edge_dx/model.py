"""`load` a bundle, call the `Model`: a thin assembler of the rooms on either side.

take in (read, gate, prepare) → infer → is it familiar? → interpret. Whatever happens to a study
comes out as a `Result`; what is wrong with the bundle, the engine's installation or the caller's
arguments is raised.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_dx import interpret, sources
from edge_dx.backends import Backend, open_backend
from edge_dx.bundle import Bundle, open_bundle
from edge_dx.choice import choose, with_slow_kernels
from edge_dx.errors import EngineError, UnsupportedInput
from edge_dx.gate import familiar_of
from edge_dx.intake import Intake, Taken
from edge_dx.isolate import Limits, Reader
from edge_dx.manifest import HeatMap, Scores, Variant
from edge_dx.result import (
    Finding,
    HeatMapImage,
    MaskImage,
    Reason,
    Result,
    Status,
    TimingMs,
    Value,
    Why,
)
from edge_dx.shelf import find
from edge_dx.signal import Mains, Rate
from edge_dx.tensors import Array
from edge_dx.trust import TrustStore

if TYPE_CHECKING:
    from edge_dx.ecg.stream import SignalStream


def load(
    path: str | Path,
    variant: str | None = None,
    engine: str | None = None,
    threads: int | None = None,
    *,
    trust: TrustStore | None = None,
    allow_unsigned: bool = False,
    allow_slow: bool = False,
    isolate: bool | Limits = False,
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
        allow_slow: run TFLite operators that no fast kernel takes here on reference loops, where
            it would be refused.
        isolate: read image files in a process of its own, whose memory and time are limited; for
            files that anybody may have sent; with these limits where some are given. Linux alone.

    Raises:
        NotFound: no such bundle.
        BundleError: the bundle is damaged or contradicts itself.
        TrustError: unsigned, badly signed, or signed by a stranger.
        ManifestError: no variant of that name.
        EngineError: the engine is missing, refused or failed.
        ProofFailed: the golden inputs do not give the golden outputs here.
        NotIsolated: `isolate`, and this system does not give such a process.
    """
    from edge_dx import proof

    reader = Reader(isolate if isinstance(isolate, Limits) else Limits()) if isolate else None
    bundle = open_bundle(find(path), trust=trust, allow_unsigned=allow_unsigned)
    if allow_slow:
        bundle = replace(bundle, manifest=with_slow_kernels(bundle.manifest))
    chosen, engine, choice = choose(bundle.manifest, variant, engine)
    if bundle.manifest.stream:
        from edge_dx.signal_model import SignalModel

        streaming = SignalModel.opened(bundle, chosen, engine, choice, threads)
        if engine != "pretend":
            proof.ensure(streaming)
        return streaming
    payload = bundle.members[chosen.file]
    with engines_beside(bundle.path, engine):
        backend = open_backend(engine, bundle.manifest, chosen, payload, threads)
    model = Model(bundle, chosen, backend, engine, choice, reader)
    if engine != "pretend":
        proof.ensure(model)
    return model


def engines_beside(path: Path, engine: str) -> AbstractContextManager[None]:
    """Where TensorRT keeps what it compiles for this device: beside the bundle."""
    if engine != "tensorrt":
        return nullcontext()
    from edge_dx.backends.tensorrt import beside

    return beside(path)


class Model:
    """A variant of a bundle on an engine.

    Attributes:
        bundle: the verified bundle.
        variant: the variant that runs.
        engine: the engine's name.
        choice: why this variant and engine, in words.
        preparation: the compiled preparation of the input.
        reader: reads image files in a process of its own; None: they are read here.
    """

    def __init__(
        self,
        bundle: Bundle,
        variant: Variant,
        backend: Backend,
        engine: str,
        choice: str = "",
        reader: Reader | None = None,
    ) -> None:
        self.bundle = bundle
        self.variant = variant
        self.backend = backend
        self.engine = engine
        self.choice = choice
        self.reader = reader
        read = reader.read if reader else sources.read
        self._intake = Intake(bundle.manifest, str(bundle.path), read)
        self.preparation = self._intake.preparation
        self.familiar = familiar_of(bundle, variant)

    def __call__(self, source: Any) -> Result:
        """Judges one study.

        Args:
            source: for an image what `edge_dx.sources.read` takes: a path, a DICOM data set, an
                array or a `Study`; for facts a dict from field to value; for an array input an
                array or a `.npy` path. A model of several inputs takes a dict from input to
                source, or the path of a case file (`.json`).

        Raises:
            NotFound: no such file.
            MissingExtra: the file's kind needs a package that is not installed.
            TensorMismatch: an array that does not fit.
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
        case = self._intake.take(source)
        outputs = self._infer([case])
        return self._result(case, outputs, 0), outputs

    def feeds_of(self, source: Any) -> dict[str, Array]:
        """The tensors that the engine is given for a study, without asking the gates."""
        return self._intake.feeds(source)

    def read(self, source: Any) -> sources.Study:
        """Opens a study as this model does: in a process of its own where it was loaded so.

        Raises what `edge_dx.sources.read` raises.
        """
        return self._intake.read(source)

    def stream(
        self,
        *,
        rate_hz: Rate,
        leads: Sequence[str],
        mains_hz: Mains | None = None,
        answer: str | None = None,
        full_scale_mv: float | None = None,
    ) -> SignalStream:
        """A stream of a bundle that judges a waveform; see `edge_dx.ecg.stream.SignalStream`.

        Raises:
            UnsupportedInput: the bundle judges something else, or not at this rate or lead.
            MissingExtra: scipy is not installed.
        """
        del rate_hz, leads, mains_hz, answer, full_scale_mv
        name = self.bundle.manifest.name
        raise UnsupportedInput(
            f"{name} judges no signal: call the model, or edge-dx run {name} FILE", "format"
        )

    def close(self) -> None:
        """Lets go of the engine, and of the process that reads files."""
        self.backend.close()
        if self.reader:
            self.reader.close()

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
        cases = [self._intake.take(source) for source in group]
        ready = [case for case in cases if case.feeds]
        if self.variant.batch == "any":
            outputs = self._infer(ready)
            where = {id(case): (outputs, i) for i, case in enumerate(ready)}
        else:
            where = {id(case): (self._infer([case]), 0) for case in ready}
        return [self._result(case, *where.get(id(case), (None, 0))) for case in cases]

    def _infer(self, cases: list[Taken]) -> dict[str, Array] | None:
        ready = [case for case in cases if case.feeds]
        if not ready:
            return None
        mark = time.perf_counter_ns()
        feeds = ready[0].feeds
        if len(ready) > 1:
            feeds = {name: np.concatenate([case.feeds[name] for case in ready]) for name in feeds}
        try:
            return self.backend.run(feeds)
        except EngineError as error:
            for case in ready:
                case.status = Status.FAILED
                case.reasons = (Why(Reason.ENGINE, str(error)),)
            return None
        finally:
            share = (time.perf_counter_ns() - mark) / 1e6 / len(ready)
            for case in ready:
                case.took["infer"] = share

    def _result(self, case: Taken, outputs: dict[str, Array] | None, sample: int) -> Result:
        mark = time.perf_counter_ns()
        manifest = self.bundle.manifest
        answer = (
            _Answer(case.status, case.reasons)
            if outputs is None
            else self._answer(case, outputs, sample)
        )
        reasons = answer.reasons
        if self.engine == "pretend":
            why = Why(Reason.PRETEND_ENGINE, "made up by the shipped fake; means nothing")
            reasons = (*reasons, why)
        assert answer.status is not None, "a case without outputs was declined or failed"
        study, path, lead = case.study, case.path, answer.lead
        done = time.perf_counter_ns()
        case.took["interpret"] = (done - mark) / 1e6
        return Result(
            status=answer.status,
            label=lead.label if lead else answer.likeliest[0] if answer.likeliest else None,
            score=lead.score if lead else answer.likeliest[1] if answer.likeliest else None,
            operating_point=lead.operating_point if lead else None,
            findings=answer.findings,
            probabilities=answer.probabilities,
            reasons=reasons,
            heat_map=answer.heat_map,
            assumed=study.assumed if study else (),
            file=str(path) if path is not None else None,
            bundle=f"{manifest.name} {manifest.version}",
            bundle_digest=self.bundle.digest,
            variant=self.variant.name,
            engine=self.engine,
            signer=self.bundle.signer,
            input_digest=case.digest,
            timing_ms=TimingMs(**case.took, total=(done - case.started) / 1e6),
            masks=answer.masks,
            values=answer.values,
            engine_digest=self.backend.built,
        )

    def _answer(self, case: Taken, outputs: dict[str, Array], sample: int) -> _Answer:
        """What the outputs say, if they can be right at all."""
        manifest, variant = self.bundle.manifest, self.variant
        problem = interpret.integrity_problem(manifest, variant, outputs, sample)
        if problem:
            return _Answer(Status.FAILED, (problem,))
        known = self.familiar
        if known and (strange := known.check(outputs[known.output][sample])):
            return _Answer(Status.NOT_ANALYSED, strange)  # the score is there, and means nothing
        found = interpret.findings(manifest, variant, outputs, sample, case.feeds)
        lead = interpret.leading(found) if found else None
        status = lead.status if lead else Status.MEASURED
        heat, reasons = None, case.reasons
        if lead and status is not Status.NEGATIVE:
            heat = self._heat_map(lead.label, outputs, sample)
        if lead and (near := interpret.undecided(lead.score, lead.operating_point)):
            reasons = (near,)
        return _Answer(
            status,
            reasons,
            lead=lead,
            likeliest=None if lead else interpret.likeliest(manifest, outputs, sample),
            findings=found,
            probabilities=self._probabilities(outputs, sample),
            heat_map=heat,
            masks=interpret.masks(manifest, variant, outputs, sample),
            values=interpret.values(manifest, outputs, sample),
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


@dataclass(frozen=True)
class _Answer:
    """What one study's outputs say."""

    status: Status | None
    reasons: tuple[Why, ...]
    lead: Finding | None = None
    likeliest: tuple[str, float] | None = None
    findings: tuple[Finding, ...] = ()
    probabilities: dict[str, float] = field(default_factory=dict)
    heat_map: HeatMapImage | None = None
    masks: tuple[MaskImage, ...] = ()
    values: tuple[Value, ...] = ()
