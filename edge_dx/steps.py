"""The vocabulary of image preparation: what may stand in a manifest's `prepare` list.

Preparation is data. Each step is a small frozen value with all its parameters; the order of the
list is the order of execution. `edge_dx.image` is the one implementation: calibration, training
evaluation, parity checks and the device all run it, so the resize exists once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Interpolation = Literal["nearest", "linear", "area", "cubic"]
Fraction = Annotated[float, Meta(ge=0.0, lt=0.5)]
Percentile = Annotated[float, Meta(ge=0.0, le=100.0)]
Side = Annotated[int, Meta(ge=1, le=8192)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="step"):
    """Base of all steps; the JSON key `step` names which one it is."""


class Colour(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="colour"):
    """Grey or RGB. RGB becomes grey by Rec. 601 luma; grey becomes RGB by repetition."""

    to: Literal["grey", "rgb"]


class Orientation(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="orientation"):
    """Turn clockwise by `rotate_deg`, then mirror."""

    rotate_deg: Literal[0, 90, 180, 270] = 0
    mirror: Literal["none", "horizontal", "vertical"] = "none"


class Crop(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="crop"):
    """Cut away a fraction of each side, or a dark border of unknown width.

    A border row or column is dark when its mean is below `dark` of the image's brightest row or
    column mean. `limit` bounds what may be removed on each side, so that a dark film is never
    cropped to nothing.
    """

    kind: Literal["fraction", "dark_border"]
    top: Fraction = 0.0
    bottom: Fraction = 0.0
    left: Fraction = 0.0
    right: Fraction = 0.0
    dark: Annotated[float, Meta(ge=0.0, le=1.0)] = 0.08
    limit: Fraction = 0.25


class Resize(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="resize"):
    """To `height` × `width`, stretched or padded to keep the aspect ratio.

    `pad_value` is rounded and clipped to what the image's type can hold.

    `area` averages when it shrinks and is bilinear when it enlarges, as OpenCV defines it.
    """

    height: Side
    width: Side
    interpolation: Interpolation
    fit: Literal["stretch", "pad"] = "stretch"
    pad_value: Annotated[float, Meta(ge=-32768, le=65535)] = 0.0


class Denoise(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="denoise"):
    """Median, Gaussian or bilateral filter; `size_px` is the odd window side.

    `sigma` is the Gaussian's standard deviation in pixels, for `bilateral` also the one in
    grey levels.
    """

    kind: Literal["median", "gaussian", "bilateral"]
    size_px: Literal[3, 5]
    sigma: Annotated[float, Meta(gt=0.0, le=100.0)] = 1.0


class Clahe(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="clahe"):
    """Contrast-limited adaptive histogram equalisation (Zuiderveld 1994) on `tiles` × `tiles`."""

    clip_limit: Annotated[float, Meta(gt=0.0, le=40.0)]
    tiles: Annotated[int, Meta(ge=1, le=64)]


class Intensity(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="intensity"):
    """Stretch to uint8 0..255, linearly between two levels and clipped outside them.

    `percentile`: the levels are the grey values at which the cumulative histogram first reaches
    `low` and `high` percent. `fixed`: the levels are `low` and `high` themselves, in the
    source's unit (Hounsfield units for CT).
    """

    kind: Literal["percentile", "fixed"]
    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse an empty or impossible range."""
        if not self.low < self.high:
            raise ValueError(f"intensity: low ({self.low}) must be below high ({self.high})")
        if self.kind == "percentile" and not (0 <= self.low and self.high <= 100):
            raise ValueError("intensity: percentiles lie between 0 and 100")


class Normalise(Step, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="normalise"):
    """`(x - mean) * (1 / std)` in float32, per channel.

    As the last step the exporter folds it into the graph, which then takes the uint8 image.
    Written as a product with the float32 reciprocal, so that folding is exact to the bit.
    """

    mean: tuple[float, ...]
    std: tuple[Annotated[float, Meta(gt=0.0)], ...]

    def __post_init__(self) -> None:
        """Refuse channel counts that fit no image."""
        if len(self.mean) != len(self.std) or len(self.mean) not in (1, 3):
            raise ValueError("normalise: mean and std must both have 1 or 3 entries")


AnyStep = Colour | Orientation | Crop | Resize | Denoise | Clahe | Intensity | Normalise
