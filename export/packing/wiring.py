"""Which tensor of a file each input and output is, and how it stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from edge_dx.backends import input_specs, output_specs
from edge_dx.manifest import AnyInput, AnyOutput, ImageInput, Manifest, Wire
from edge_dx.tensors import TensorSpec
from export.errors import PackError
from export.packing.files import Border, ModelFile
from export.packing.vocabulary import ModelPart, TensorPart

_STORED = Literal["uint8", "int8", "float32"]
_Side = tuple[str, Sequence[AnyInput | AnyOutput], tuple[TensorSpec, ...], tuple[Border, ...]]


def wires(draft: Manifest, part: ModelPart, file: ModelFile) -> dict[str, Wire]:
    """Input or output → how it stands in the file, where it differs.

    Types and quantization come from the file; the description gives names and layout.

    Raises:
        PackError: a tensor cannot be found, is left over, or does not fit.
    """
    found: dict[str, Wire] = {}
    sides: tuple[
        tuple[str, Sequence[AnyInput | AnyOutput], tuple[TensorSpec, ...], tuple[Border, ...]], ...
    ]
    sides = (
        ("input", draft.inputs, input_specs(draft), file.inputs),
        ("output", draft.outputs, output_specs(draft), file.outputs),
    )
    for what, items, specs, borders in sides:
        used = set()
        for item, spec in zip(items, specs, strict=True):
            told = part.tensors.get(spec.name, TensorPart())
            border = _found(file, what, spec, told, borders, alone=len(specs) == 1)
            if border.name in used:
                raise PackError(f"{file.path}: two {what}s are its tensor {border.name!r}")
            used.add(border.name)
            _check_shape(file, spec, told, border)
            wire = _wire(file, item, spec, told, border)
            if wire is not None:
                found[spec.name] = wire
        if left := [border.name for border in borders if border.name not in used]:
            raise PackError(
                f"{file.path}: its {what} {', '.join(map(repr, left))} is not described; list it "
                "in the description, or take it out of the file"
            )
    return found


def batch(file: ModelFile) -> Literal["any", "one"]:
    """Whether a file takes several studies at once.

    Raises:
        PackError: its batch dimension is fixed to another number than one.
    """
    borders = (*file.inputs, *file.outputs)
    if flat := [border.name for border in borders if not border.shape]:
        raise PackError(
            f"{file.path}: {', '.join(flat)} has no shape in the file, or no batch dimension; "
            "export it with shapes"
        )
    firsts = {border.shape[0] for border in borders}
    if file.format == "onnx" and firsts == {None}:
        return "any"
    if firsts <= {None, 1}:
        return "one"
    raise PackError(
        f"{file.path}: its batch dimension is {', '.join(sorted(map(str, firsts)))}; devices judge "
        "one study at a time, so export it with a batch of 1, or with a free one (ONNX)"
    )


def _found(
    file: ModelFile,
    what: str,
    spec: TensorSpec,
    told: TensorPart,
    borders: tuple[Border, ...],
    *,
    alone: bool,
) -> Border:
    wanted = told.tensor or spec.name
    for border in borders:
        if border.name == wanted:
            return border
    if told.tensor is None and alone and len(borders) == 1:
        return borders[0]
    raise PackError(
        f"{file.path}: has no {what} called {wanted!r}; it has "
        f"{', '.join(repr(border.name) for border in borders)}. Name the right one: "
        f'tensors.{spec.name} = {{ tensor = "…" }}'
    )


def _check_shape(file: ModelFile, spec: TensorSpec, told: TensorPart, border: Border) -> None:
    wanted = spec.shape[1:]
    last = (*wanted[1:], wanted[0])
    asked = last if told.layout == "channels_last" else wanted
    have = border.shape[1:]
    if have == asked:
        return
    hint = "describe it as it is, or export the file with that shape"
    if None in have:
        hint = "only its batch dimension may be free; export it with fixed sizes"
    elif told.layout == "same" and have == last and isinstance(have[-1], int):
        hint = f'if its channels stand last, say tensors.{spec.name}.layout = "channels_last"'
    raise PackError(
        f"{file.path}: {border.name!r} has the shape {_told(border.shape)}, and {spec.name} is "
        f"described as {_told((None, *asked))}; {hint}"
    )


def _wire(
    file: ModelFile,
    item: AnyInput | AnyOutput,
    spec: TensorSpec,
    told: TensorPart,
    border: Border,
) -> Wire | None:
    stored = next((name for name in get_args(_STORED) if name == border.dtype), None)
    normalised = False
    if isinstance(item, ImageInput):
        takes_levels = border.dtype == "uint8" and border.scale is None
        normalised = bool(item.in_graph) and not takes_levels
        fits = takes_levels or border.dtype == "float32" or border.scale is not None
    else:
        fits = border.dtype == spec.dtype if border.scale is None else spec.dtype == "float32"
    if stored is None or not fits:
        how = f"{border.dtype or 'no tensor of numbers'}"
        how += "" if border.scale is None else " (quantized)"
        raise PackError(
            f"{file.path}: {border.name!r} is {how}, which cannot stand for {spec.name} "
            f"({spec.dtype}); a device gives and takes uint8, int8 and float32, and integers "
            "other than grey levels only with their scale and zero point in the file"
        )
    if told.layout == "channels_last" and len(spec.shape) != 4:
        raise PackError(f"{file.path}: {spec.name} has no channels that could stand last")
    wire = Wire(
        tensor=border.name,
        dtype=stored,
        scale=border.scale,
        zero_point=border.zero_point if border.scale is not None else 0,
        layout=told.layout,
        normalised=normalised,
    )
    plain = Wire(tensor=spec.name, dtype=_plain(spec.dtype))
    return None if wire == plain else wire


def _plain(dtype: str) -> _STORED:
    return "uint8" if dtype == "uint8" else "int8" if dtype == "int8" else "float32"


def _told(shape: tuple[int | None, ...]) -> str:
    return f"[{', '.join('any' if n is None else str(n) for n in shape)}]"
