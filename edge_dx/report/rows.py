"""One judged study as the report keeps it: small, so that a thousand films fit in memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from edge_dx.errors import EdgeDxError, InputError, MissingExtra, NotFound
from edge_dx.model import Model
from edge_dx.report.labels import Truth
from edge_dx.result import Reason, Result, Status, TimingMs, Why


@dataclass(frozen=True)
class Row:
    """What the report tells about a study.

    Attributes:
        name: shown instead of the path.
        file: where it lies.
        what: what it is known to be, in words: "drawn clear", "CT", the film's label.
        status, score, threshold: the answer of the operating point that the report is about.
        reasons: codes.
        detail: the reasons in words.
        digest: SHA-256 of the file's bytes.
        timing: where the time went.
        truth: what labels.csv says, or None.
        seen: whether the film was used in training.
    """

    name: str
    file: Path
    what: str
    status: Status
    score: float | None
    threshold: float | None
    reasons: tuple[str, ...]
    detail: str
    digest: str | None
    timing: TimingMs
    truth: Truth | None = None
    seen: bool = False

    @property
    def took_ms(self) -> float:
        """The image's own time: its stages, without the others of its batch."""
        took = self.timing
        return took.read + took.prepare + took.infer + took.interpret


def row_from_result(
    result: Result,
    name: str,
    file: Path,
    what: str = "",
    *,
    point: str | None = None,
    truth: Truth | None = None,
    seen_in_training: frozenset[str] = frozenset(),
) -> Row:
    """Keeps what the report needs.

    Args:
        result: the answer.
        name: shown instead of the path.
        file: where the study lies.
        what: what it is known to be.
        point: name of the operating point to tell about; the leading answer's where None.
        truth: what labels.csv says.
        seen_in_training: first 16 hex digits of the SHA-256 of each training film.
    """
    status, score, threshold = result.status, result.score, result.threshold
    for finding in result.findings:
        if finding.operating_point.name == point:
            status, score = finding.status, finding.score
            threshold = finding.operating_point.threshold
    return Row(
        name=name,
        file=file,
        what=what,
        status=status,
        score=score,
        threshold=threshold,
        reasons=tuple(why.code.value for why in result.reasons),
        detail="; ".join(why.detail for why in result.reasons),
        digest=result.input_digest,
        timing=result.timing_ms,
        truth=truth,
        seen=(result.input_digest or "")[:16] in seen_in_training,
    )


def failed(model: Model, file: Path, error: EdgeDxError) -> Result:
    """The result of a study that could not even be opened."""
    code = Reason.INTERNAL
    if isinstance(error, MissingExtra):
        code = Reason.MISSING_PACKAGE
    elif isinstance(error, (NotFound, InputError)):
        code = Reason.UNREADABLE
    manifest = model.bundle.manifest
    return Result(
        status=Status.FAILED, label=None, score=None, operating_point=None, findings=(),
        probabilities={}, reasons=(Why(code, str(error)),), heat_map=None, assumed=(),
        file=str(file), bundle=f"{manifest.name} {manifest.version}",
        bundle_digest=model.bundle.digest, variant=model.variant.name, engine=model.engine,
        signer=model.bundle.signer, input_digest=None, timing_ms=TimingMs(),
    )  # fmt: skip
