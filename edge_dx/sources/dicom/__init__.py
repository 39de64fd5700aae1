"""DICOM images by the book: single frames and cines, grey, palette and colour.

The file is walked first (`structure`), then what is looked at of its header is read by pydicom and
judged (`header`, `facts`, `regions`), and frames are found (`places`) and decoded when they are
asked for (`frames`), one in memory at a time, and brought to what a display would show (`grey`,
`colour`). What is not read is refused with a reason,
never guessed; `docs/dicom.md` has the list.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import MissingExtra, UnreadableInput, UnsupportedInput
from edge_dx.image import Pixels
from edge_dx.sources.dicom import colour, grey, structure
from edge_dx.sources.dicom.facts import facts_of
from edge_dx.sources.dicom.frames import Frames
from edge_dx.sources.dicom.header import WANTED, reading, shape_of, wanted
from edge_dx.sources.dicom.places import Held, OnDisk, Plan
from edge_dx.sources.limits import HELD_BYTES, MAX_FILE_BYTES
from edge_dx.sources.study import Study


def from_file(file: BinaryIO, path: Path) -> Study:
    """A study from an open DICOM file.

    Raises:
        MissingExtra: pydicom is not installed.
        UnreadableInput: truncated or damaged.
        UnsupportedInput: a kind of image that is not read.
    """
    try:
        import pydicom  # noqa: F401 (asked for before the file is read)
    except ImportError as error:
        raise MissingExtra("pydicom", "dicom", f"{path}: reading DICOM") from error
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    source = Held(file.read(size)) if size <= HELD_BYTES else OnDisk(path)
    return _opened(source, path)


def _opened(source: Held | OnDisk, path: Path) -> Study:
    digest = source.digest()
    with reading(str(path), "not readable as DICOM"), source.open() as file:
        syntax, start, assumed = structure.syntax_of(file)
        if syntax == structure.DEFLATED:
            file.seek(start)
            if source.size > MAX_FILE_BYTES:
                raise UnsupportedInput("its deflated data set is too large", "too_large")
            whole = structure.inflate(file.read())
            source, start = Held(whole), 0
            with source.open() as inflated:
                layout = structure.walk(
                    inflated, source.size, structure.EXPLICIT_LITTLE, 0, wanted()
                )
                dataset = _header(inflated, layout)
        else:
            layout = structure.walk(file, source.size, syntax, start, wanted())
            dataset = _header(file, layout)
        return _study(dataset, layout, source, path, digest, assumed + layout.assumed)


def from_dataset(dataset: Any) -> Study:
    """A study from a pydicom `Dataset`; its header is judged now, its pixels when asked for."""
    name = "the DICOM data set"
    with reading(name, "its header is damaged"):
        raw = dataset.get("PixelData") or b""
        if not isinstance(raw, bytes):
            raise UnsupportedInput("its pixel data is not held in memory", "format")
        meta = getattr(dataset, "file_meta", None)
        syntax = str(meta.TransferSyntaxUID) if meta and "TransferSyntaxUID" in meta else None
        assumed: tuple[str, ...] = ()
        if syntax is None:
            syntax, assumed = structure.EXPLICIT_LITTLE, ("transfer syntax not stated",)
        compressed = syntax not in structure.NATIVE
        fragments = structure.fragments_in(io.BytesIO(raw), len(raw)) if compressed else ()
        layout = structure.Layout(
            syntax=syntax,
            implicit=False,
            little=syntax != structure.EXPLICIT_BIG,
            pixels=(0, len(raw)) if raw else None,
            words="PixelData" in dataset and dataset["PixelData"].VR == "OW",
            fragments=fragments,
        )
        digest = hashlib.sha256(raw)
        for keyword in WANTED:  # the same pixels are another picture under another header
            if keyword in dataset:
                digest.update(f"{keyword}={dataset[keyword].value!r};".encode())
        return _study(dataset, layout, Held(raw), None, digest.hexdigest(), assumed)


def quantities(source: Any, number: int = 0) -> tuple[NDArray[np.float32], str | None]:
    """Values after the modality transform alone, for example Hounsfield units.

    Args:
        source: a path to a DICOM file, or a pydicom `Dataset`.
        number: of the frame, from 0.

    Returns:
        `(H, W)` and the unit, where the header says it.

    Raises:
        IndexError: there is no such frame.
        InputError: it cannot be read, or has no such values.
    """
    from edge_dx.sources import read

    study = read(source)
    decode = study.decode
    if not isinstance(decode, _Decode) or not decode.shape.photometric.startswith("MONOCHROME"):
        raise UnsupportedInput(f"{study.path}: has no grey values to measure", "format")
    if not 0 <= number < study.frames:
        raise IndexError(f"frame {number} of {study.frames}")
    return decode.quantities(number)


def _header(file: BinaryIO, layout: structure.Layout) -> Any:
    """The elements that are looked at, and nothing else of the file, in pydicom's hands."""
    from pydicom.filereader import read_dataset

    raw = bytearray()
    for offset, length in layout.header:
        file.seek(offset)
        raw += file.read(length)
    return read_dataset(
        io.BytesIO(raw), is_implicit_VR=layout.implicit, is_little_endian=layout.little
    )


def _study(
    dataset: Any,
    layout: structure.Layout,
    source: Held | OnDisk,
    path: Path | None,
    digest: str,
    assumed: tuple[str, ...],
) -> Study:
    shape = shape_of(dataset)
    if layout.pixels is None:
        raise UnsupportedInput("holds no image", "format")
    if shape.frames == 1 and isinstance(source, OnDisk) and source.size > MAX_FILE_BYTES:
        raise UnsupportedInput(f"larger than {MAX_FILE_BYTES} bytes", "too_large")
    facts = facts_of(dataset, shape)
    name = str(path) if path else "the DICOM data set"
    decode = _Decode(name, dataset, shape, layout, source)
    return Study(
        path=path,
        digest=digest,
        shape=(shape.rows, shape.columns),
        decode=decode,
        modality=facts.modality,
        body_part=facts.body_part,
        view=facts.view,
        orientation=facts.orientation,
        mm_per_px=facts.mm_per_px,
        spacing_from=facts.spacing_from,
        frames=shape.frames,
        frame_starts_ms=facts.frame_starts_ms,
        regions=facts.regions,
        place=facts.place,
        sop_class=facts.sop_class,
        presentation=facts.presentation,
        burned_in=facts.burned_in,
        age_years=facts.age_years,
        assumed=(*assumed, *facts.assumed, *decode.assumed),
    )


class _Decode:
    """A study's frames, by number. The transfer syntax is judged when the first is asked for, so
    that the header can decline a study that nothing here could decode.
    """

    def __init__(
        self,
        name: str,
        dataset: Any,
        shape: Any,
        layout: structure.Layout,
        source: Held | OnDisk,
    ) -> None:
        self.name = name
        self.shape = shape
        self._dataset = dataset
        self._layout = layout
        self._source = source
        self._frames: Frames | None = None
        self._palette: Any = None
        self._last: tuple[int, grey.Transform] | None = None
        self._per_frame = "PerFrameFunctionalGroupsSequence" in dataset
        self._plan: Plan | None = None
        # What cannot be read is told when the pixels are asked for, not before, so that the header
        # may decline the study with a better reason.
        self.assumed: tuple[str, ...] = ()
        with contextlib.suppress(Exception):
            self.assumed = self._planned().assumed
        if shape.samples == 1 and shape.photometric != "PALETTE COLOR":
            with contextlib.suppress(Exception):
                self.assumed += self._transform(0).assumed

    def __call__(self, number: int) -> Pixels:
        with reading(self.name, "its pixels cannot be decoded"):
            stored, photometric = self._stored(number)
            if photometric == "PALETTE COLOR":
                if self._palette is None:
                    self._palette = colour.palette_of(self._dataset, self.shape.signed)
                return colour.painted(stored, self._palette, self.shape)
            if self.shape.samples == 3:
                if photometric != "RGB":
                    raise UnsupportedInput(f"{photometric} was not converted", "colour")
                return np.ascontiguousarray(stored)
            return self._transform(number).grey(stored)

    def quantities(self, number: int) -> tuple[NDArray[np.float32], str | None]:
        """A frame after the modality transform, and its unit."""
        with reading(self.name, "its pixels cannot be decoded"):
            stored, _ = self._stored(number)
            transform = self._transform(number)
            return transform.quantities(stored), transform.unit

    def _stored(self, number: int) -> tuple[Pixels, str]:
        if self._frames is None:
            places = self._planned().places
            self._frames = Frames(self._source, self._layout, self.shape, places)
        stored, photometric = self._frames(number)
        expected = (self.shape.rows, self.shape.columns)
        colours = (3,) if self.shape.samples == 3 else ()
        if stored.shape != (*expected, *colours):
            raise UnreadableInput(
                f"decodes to {stored.shape}, its header says {(*expected, *colours)}", "unreadable"
            )
        if stored.dtype.kind not in "iu":
            raise UnsupportedInput(f"pixels are {stored.dtype}, not integers", "format")
        return stored, photometric

    def _planned(self) -> Plan:
        if self._plan is None:
            self._plan = Plan(self._source, self._layout, self.shape, self._dataset)
        return self._plan

    def _transform(self, number: int) -> grey.Transform:
        """Of a frame; the same for all of them in most files, so it is made once."""
        key = number if self._per_frame else 0
        last = self._last  # other threads may replace it
        if last is None or last[0] != key:
            last = self._last = key, grey.transform_of(self._dataset, self.shape, number)
        return last[1]
