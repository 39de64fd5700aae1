"""Runs a model over pictures and counts what it refuses, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edge_dx import gate, interpret, metrics
from edge_dx.errors import EdgeDxError
from edge_dx.image import compile_steps, to_tensor
from edge_dx.manifest import Eligibility, Estimate, ImageInput
from edge_dx.model import Model
from edge_dx.result import Status
from edge_dx.sources import read, view
from edge_dx.tensors import Array
from export.datasets import Row
from export.errors import DataError
from export.gate_study.pictures import Picture, altered, films, pictures_of
from export.gate_study.record import GateStudy, Kind, Point, Refused
from export.vocabulary import PicturesPart, Sets

Say = Callable[[str], None]
_STEPS = 41
_FAR = 1.5
"""The curve reaches from 0.5 times to this many times the limit."""


@dataclass(frozen=True)
class Look:
    """What became of one picture.

    Attributes:
        group: whose it is.
        refused: no answer was given.
        failed: it could not be read.
        reasons: codes.
        distance: of its features; infinity where a look before inference refused it.
        wrong: whether the answer without this gate is wrong; None where it is neither yes nor no,
            or nobody knows.
    """

    group: str
    refused: bool
    failed: bool
    reasons: tuple[str, ...]
    distance: float
    wrong: bool | None = None


def study(model: Model, told: Sets, root: Path, rows: Sequence[Row], say: Say) -> GateStudy:
    """Tries the gate of a model.

    Strangers are those that shaped no limit: the other half.

    Args:
        model: a variant on an engine.
        told: the recipe's sets.
        root: directory that their paths are relative to.
        rows: of the validation set.
        say: takes progress lines.

    Raises:
        DataError: a set of strangers or of films from elsewhere is not here.
    """
    found: list[tuple[Kind, str, list[Look]]] = []
    for kind, name, pictures in _classes(told, root, rows):
        looks = [look_at(model, picture) for picture in pictures]
        found.append((kind, name, looks))
        refused = sum(look.refused for look in looks)
        say(f"  gate, {model.variant.name}: {name}: {refused} of {len(looks)} refused")
    limit = model.familiar.limit if model.familiar else None
    return GateStudy(
        variant=model.variant.name,
        max_distance=limit,
        classes=tuple(_refused(*each) for each in found),
        curve=() if limit is None else tuple(_curve(found, limit)),
    )


def look_at(model: Model, picture: Picture) -> Look:
    """Asks the model, as a caller would."""
    result, outputs = model.run_case(picture.source())
    distance, wrong = float("inf"), None
    if outputs is not None and model.familiar is not None:
        distance = model.familiar.distance(outputs[model.familiar.output][0])
    if outputs is not None:
        wrong = _wrong(model, outputs, picture.labels)
    return Look(
        group=picture.group,
        refused=not result.status.analysed,
        failed=result.status is Status.FAILED,
        reasons=tuple(why.code.value for why in result.reasons),
        distance=distance,
        wrong=wrong,
    )


def passing(pictures: Sequence[Picture], limits: Eligibility, image: ImageInput) -> list[Array]:
    """The prepared images `(1, C, H, W)` of those that every look before inference lets pass."""
    preparation = compile_steps(image.prepare)
    found = []
    for picture in pictures:
        try:
            opened = read(picture.source())
            if gate.check_header(opened, limits):
                continue
            pixels = view.of(opened, image.view).pixels
            if gate.check_pixels(pixels, limits):
                continue
            tensor = to_tensor(preparation(pixels))
        except EdgeDxError:  # what cannot be read is refused
            continue
        if not gate.check_prepared(tensor, limits):
            found.append(tensor)
    return found


def set_of(part: PicturesPart, root: Path) -> tuple[Picture, ...]:
    """The pictures of a set.

    Raises:
        DataError: it is not here.
    """
    found = pictures_of(part, root)
    if found is None:
        raise DataError(
            f"{root / part.csv}: {part.name} is not here; give its directory with --data"
        )
    return found


def _classes(
    told: Sets, root: Path, rows: Sequence[Row]
) -> Iterator[tuple[Kind, str, Sequence[Picture]]]:
    for part in told.strangers:
        yield "stranger", part.name, [p for p in set_of(part, root) if not p.shapes]
    yield "right", told.validation.name, films(rows)
    for part in told.elsewhere:
        yield "elsewhere", part.name, set_of(part, root)
    for name, pictures in altered(rows):
        yield "altered", name, pictures


def _wrong(model: Model, outputs: dict[str, Array], labels: frozenset[str]) -> bool | None:
    """Whether the first finding contradicts what the film carries."""
    found = interpret.findings(model.bundle.manifest, model.variant, outputs, 0, {})
    if not found or found[0].status is Status.INDETERMINATE:
        return None
    return (found[0].status is Status.POSITIVE) != (found[0].label in labels)


def _refused(kind: Kind, name: str, looks: Sequence[Look]) -> Refused:
    values = np.array([look.refused for look in looks], np.float64)
    share = metrics.estimate(metrics.mean, np.zeros(len(looks), bool), values,
                             [look.group for look in looks])  # fmt: skip
    assert share is not None, "a class has pictures"
    share = _with_rule_of_three(share)
    reasons = Counter(code for look in looks if look.refused for code in look.reasons)
    return Refused(
        kind=kind, name=name, pictures=len(looks), refused=share,
        failed=sum(look.failed for look in looks), reasons=dict(reasons.most_common()),
    )  # fmt: skip


def _with_rule_of_three(share: Estimate) -> Estimate:
    """The interval of a share of 0 or 1, in which the bootstrap sees no other end.

    Of n groups without the event its rate is below 3 / n with 95 % confidence (Hanley and
    Lippman-Hand 1983, JAMA 249:1743).
    """
    reach = min(1.0, round(3 / share.n, 6))
    if share.low == share.high == 0:
        return msgspec.structs.replace(share, high=reach)
    if share.low == share.high == 1:
        return msgspec.structs.replace(share, low=round(1 - reach, 6))
    return share


def _curve(found: Sequence[tuple[Kind, str, Sequence[Look]]], limit: float) -> Iterator[Point]:
    by_kind = {
        kind: [looks for which, _, looks in found if which == kind]
        for kind in ("right", "stranger", "altered")
    }
    (right,) = by_kind["right"]
    for step in range(_STEPS):
        at = limit * (0.5 + (_FAR - 0.5) * step / (_STEPS - 1))
        answered = [look for look in right if look.distance <= at]
        known = [look.wrong for look in answered if look.wrong is not None]
        yield Point(
            max_distance=round(at, 4),
            right_refused=round(1 - len(answered) / len(right), 5),
            error=round(sum(known) / len(known), 5) if known else None,
            strangers_answered=_answered(by_kind["stranger"], at),
            altered_answered=_answered(by_kind["altered"], at),
        )


def _answered(classes: Sequence[Sequence[Look]], at: float) -> float:
    shares = [np.mean([look.distance <= at for look in looks]) for looks in classes]
    return round(float(np.mean(shares)), 5) if shares else 0.0
