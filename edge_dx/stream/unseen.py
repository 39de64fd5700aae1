"""Results about what the model was never shown."""

from __future__ import annotations

from edge_dx.errors import EdgeDxError, InputError, MissingExtra, NotFound
from edge_dx.model import Model
from edge_dx.result import Reason, Result, Status, TimingMs, Why


def without_answer(model: Model, status: Status, why: Why, file: str | None) -> Result:
    """A result with a reason and nothing else.

    Args:
        model: which would have judged it.
        status: not analysed, or failed.
        why: the reason.
        file: the path of what it is about, or None.
    """
    manifest = model.bundle.manifest
    return Result(
        status=status,
        label=None,
        score=None,
        operating_point=None,
        findings=(),
        probabilities={},
        reasons=(why,),
        heat_map=None,
        assumed=(),
        file=file,
        bundle=f"{manifest.name} {manifest.version}",
        bundle_digest=model.bundle.digest,
        variant=model.variant.name,
        engine=model.engine,
        signer=model.bundle.signer,
        input_digest=None,
        timing_ms=TimingMs(),
        engine_digest=model.backend.built,
    )


def of_error(model: Model, error: EdgeDxError, file: str | None) -> Result:
    """What an error means for the study that raised it."""
    status = Status.FAILED
    if isinstance(error, InputError):
        reason = Reason(error.reason)
        status = Status.FAILED if reason is Reason.UNREADABLE else Status.NOT_ANALYSED
    elif isinstance(error, MissingExtra):
        reason = Reason.MISSING_PACKAGE
    else:
        reason = Reason.UNREADABLE if isinstance(error, NotFound) else Reason.INTERNAL
    return without_answer(model, status, Why(reason, str(error)), file)
