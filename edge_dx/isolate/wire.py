"""What passes between a process and its helper: JSON of a closed vocabulary, then raw numbers.

A message is a head of three little-endian numbers (which request it belongs to, bytes of JSON,
bytes of payload), the JSON, the payload. The helper has looked at hostile bytes and may have been
taken over by them, so nothing it sends is unpickled or evaluated: both lengths are capped, the JSON
must fit the types of a `Study`, and a payload must have exactly the length that its shape says.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import struct
from pathlib import Path
from typing import Any, get_type_hints

import msgspec
import numpy as np

from edge_dx.errors import (
    EdgeDxError,
    InputError,
    MissingExtra,
    NotFound,
    UnreadableInput,
    UnsupportedInput,
)
from edge_dx.image import Pixels
from edge_dx.result import Reason
from edge_dx.sources import Study
from edge_dx.sources.limits import MAX_FRAME_BYTES, MAX_FRAMES, MAX_PIXELS

HEAD = struct.Struct("<QIQ")
MAX_JSON_BYTES = 2**20
MAX_PAYLOAD_BYTES = MAX_FRAME_BYTES
_TYPES = {"|u1": 1, "<u2": 2, "<f4": 4}
"""Pixels are of these; the number is bytes each."""
_MAX_REGIONS = 1000
# What cannot be sent: the path and the decoder are the caller's, the times go as a payload.
_KEPT = {"path", "decode", "frame_starts_ms"}
_ERRORS: dict[str, type[InputError]] = {
    "UnreadableInput": UnreadableInput,
    "UnsupportedInput": UnsupportedInput,
}
_REASONS = frozenset(reason.value for reason in Reason)

Message = dict[str, Any]


class Garbled(Exception):
    """The other side said something that it never says."""


def packed(number: int, told: Message, payload: bytes | memoryview = b"") -> bytes:
    """Head and JSON of a message; the payload is sent behind it."""
    text = json.dumps(told).encode()
    return HEAD.pack(number, len(text), len(payload)) + text


def lengths(head: bytes | bytearray, number: int) -> tuple[int, int]:
    """Bytes of JSON and of payload that follow a head.

    Raises:
        Garbled: more than is taken, or the answer to another request.
    """
    found, text, payload = HEAD.unpack(head)
    if found != number or text > MAX_JSON_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise Garbled("its answer does not begin like one")
    return text, payload


def parsed(text: bytes | bytearray) -> Message:
    """The JSON of a message.

    Raises:
        Garbled: it is no JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise Garbled("its answer is no JSON") from None
    if not isinstance(found, dict):
        raise Garbled("its answer is no JSON object")
    return found


def told_of_study(study: Study) -> tuple[Message, bytes]:
    """A study's facts, and when its frames start as float64."""
    sent = {f.name: getattr(study, f.name) for f in dataclasses.fields(study)}
    facts = msgspec.to_builtins({k: v for k, v in sent.items() if k not in _KEPT})
    starts = study.frame_starts_ms
    return {"study": facts}, b"" if starts is None else np.array(starts, "<f8").tobytes()


def study_of(answer: Message, payload: bytearray, path: Path, decode: Any) -> Study:
    """The study that an answer tells of.

    Raises:
        Garbled: its facts are not of a study's types, or beyond what any reader gives.
    """
    try:
        facts = msgspec.convert(answer.get("study"), _facts())
    except msgspec.ValidationError as error:
        raise Garbled(f"its facts are not those of a study ({error})") from None
    height, width = facts.shape
    if (
        not 1 <= facts.frames <= MAX_FRAMES
        or min(height, width) < 1
        or height * width > MAX_PIXELS
        or len(facts.regions) > _MAX_REGIONS
        or len(payload) not in (0, 8 * facts.frames)
    ):
        raise Garbled("its facts are not those of a study")
    starts = tuple(np.frombuffer(payload, "<f8").tolist()) if payload else None
    return Study(path=path, decode=decode, frame_starts_ms=starts, **msgspec.structs.asdict(facts))


@functools.cache
def _facts() -> Any:
    """A struct of the facts of a `Study`, so that a fact that is added there is carried here."""
    hints = get_type_hints(Study)
    fields = [(f.name, hints[f.name]) for f in dataclasses.fields(Study) if f.name not in _KEPT]
    return msgspec.defstruct("Facts", fields, forbid_unknown_fields=True)


def told_of_pixels(pixels: Pixels) -> tuple[Message, memoryview]:
    """Type and shape of a picture, and its bytes."""
    whole = np.ascontiguousarray(pixels)
    return {"dtype": whole.dtype.str, "shape": whole.shape}, whole.data.cast("B")


def pixels_of(answer: Message, payload: bytearray, shape: tuple[int, int]) -> Pixels:
    """The picture that an answer carries.

    Raises:
        Garbled: of another type or size than was announced.
    """
    each, told = _TYPES.get(str(answer.get("dtype"))), answer.get("shape")
    if each is None or told not in ([*shape], [*shape, 3]):
        raise Garbled("its pixels are not of the shape that it announced")
    if len(payload) != each * math.prod(told):
        raise Garbled("its pixels are not as many as it says")
    found: Pixels = np.frombuffer(payload, answer["dtype"]).reshape(told)
    return found


def told_of_error(error: EdgeDxError) -> Message:
    """An error of reading, by its name."""
    if isinstance(error, MissingExtra):
        needed_for = str(error).partition(" needs the package ")[0]
        return {"error": "MissingExtra", "package": error.package, "extra": error.extra,
                "told": needed_for}  # fmt: skip
    reason = error.reason if isinstance(error, InputError) else None
    return {"error": type(error).__name__, "told": str(error)[:10_000], "reason": reason}


def error_of(answer: Message, path: Path) -> EdgeDxError:
    """The error that an answer tells of, about a path as its caller wrote it.

    Raises:
        Garbled: no error that a reader has.
    """
    kind, told = answer.get("error"), str(answer.get("told"))
    told = told.replace(str(path.absolute()), str(path))
    if kind == "NotFound":
        return NotFound(told)
    if kind == "MissingExtra":
        package, extra = str(answer.get("package")), str(answer.get("extra"))
        return MissingExtra(package, extra, told)
    if kind in _ERRORS and answer.get("reason") in _REASONS:
        return _ERRORS[kind](told, answer["reason"])
    raise Garbled("its error is none of ours")
