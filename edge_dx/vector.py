"""Facts about a patient or a study → the tensor of a vector input. Nothing is ever imputed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from edge_dx.errors import TensorMismatch, UnsupportedInput
from edge_dx.manifest import VectorField, VectorInput
from edge_dx.tensors import Array


def to_tensor(item: VectorInput, facts: Mapping[str, Any]) -> Array:
    """Scales facts to `(1, fields)` float32.

    Args:
        item: the manifest's input.
        facts: field → number in the field's unit, or one of its choices.

    Raises:
        UnsupportedInput: a field is missing or unknown, or its value is none that the model was
            made for; the reason says which.
    """
    known = {field.name for field in item.fields}
    if unknown := sorted(str(name) for name in facts if name not in known):
        raise UnsupportedInput(
            f"{item.name}: {', '.join(unknown)} is no field of it; it takes "
            f"{', '.join(_told(field) for field in item.fields)}",
            "unknown_input",
        )
    values = [(_value(item, field, facts) - field.mean) / field.std for field in item.fields]
    return np.array([values], np.float32)


def from_numbers(item: VectorInput, numbers: Array) -> dict[str, float]:
    """Facts from unscaled numbers in the order of the fields, as `golden.npz` keeps them.

    Raises:
        TensorMismatch: not one number for each field.
    """
    if numbers.shape != (len(item.fields),):
        raise TensorMismatch(
            f"{item.name} has {len(item.fields)} fields, and numbers of shape {numbers.shape}"
        )
    names = [field.name for field in item.fields]
    return dict(zip(names, map(float, numbers), strict=True))


def _value(item: VectorInput, field: VectorField, facts: Mapping[str, Any]) -> float:
    given = facts.get(field.name)
    if given is None:
        raise UnsupportedInput(
            f"{item.name}: {field.name} is missing; the model needs {_told(field)}",
            "missing_input",
        )
    if isinstance(given, str):
        if given not in field.choices:
            raise UnsupportedInput(
                f"{item.name}: {field.name} is {given!r}; it takes {_told(field)}", "out_of_range"
            )
        return field.choices[given]
    try:
        # A truth value is a number to Python, and was a question to whoever gave it.
        value = float("nan") if isinstance(given, (bool, np.bool_)) else float(given)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnsupportedInput(
            f"{item.name}: {field.name} is no number; it takes {_told(field)}", "out_of_range"
        ) from error
    coded = field.choices and value in field.choices.values()
    if not math.isfinite(value) or not (coded or field.low <= value <= field.high):
        raise UnsupportedInput(
            f"{item.name}: {field.name} is {value:g} {field.unit}".rstrip()
            + f"; the model was made for {_told(field)}",
            "out_of_range",
        )
    return value


def _told(field: VectorField) -> str:
    """What a field takes: its words, and its range unless they already cover it."""
    told = sorted(field.choices)
    if not told or not {field.low, field.high} <= set(field.choices.values()):
        told.append(f"{field.low:g} to {field.high:g} {field.unit}".rstrip())
    return f"{field.name} ({' or '.join(told)})"
