"""The gate: is this a study that the model may judge?

Three looks, cheapest first: the header before any pixel is decoded, the pixels before they are
prepared, and the prepared image before it is inferred. Each returns the reasons for declining; an
empty tuple lets the study pass. Limits come from the manifest.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.image import Pixels
from edge_dx.manifest import Eligibility, Likeness
from edge_dx.result import Reason, Why
from edge_dx.sources import Study

_SAMPLE_SIDE = 256
"""Pixel statistics are taken on every n-th pixel so that at most this many remain per side."""


def check_header(study: Study, limits: Eligibility) -> tuple[Why, ...]:
    """Judges what the file says about itself; decodes nothing."""
    found = []
    for code, what, value, accepted in (
        (Reason.MODALITY, "modality", study.modality, limits.modalities),
        (Reason.BODY_PART, "body part", study.body_part, limits.body_parts),
        (Reason.VIEW, "view", study.view, limits.views),
    ):
        if value is not None and accepted and value not in accepted:
            found.append(Why(code, f"{what} is {value}; this model knows {', '.join(accepted)}"))
    if study.frames != 1:
        found.append(Why(Reason.FRAMES, f"{study.frames} frames; this model judges single images"))
    short, long = sorted(study.shape)
    if short < limits.min_side_px:
        found.append(
            Why(
                Reason.RESOLUTION,
                f"{study.shape[1]} × {study.shape[0]} pixels; "
                f"at least {limits.min_side_px} are needed on each side",
            )
        )
    elif long > limits.max_aspect * short:
        found.append(
            Why(
                Reason.RESOLUTION,
                f"{study.shape[1]} × {study.shape[0]} pixels; one side is more than "
                f"{limits.max_aspect:g} times the other",
            )
        )
    return tuple(found)


def check_pixels(pixels: Pixels, limits: Eligibility) -> tuple[Why, ...]:
    """Judges decoded pixels `(H, W)` or `(H, W, 3)`: colour, blank, clipped."""
    step = -(-min(pixels.shape[:2]) // _SAMPLE_SIDE)  # rounded up
    sample = np.ascontiguousarray(pixels[::step, ::step])
    if sample.dtype == np.float32:
        low, high = float(sample.min()), float(sample.max())
    else:
        low, high = 0.0, float(np.iinfo(sample.dtype).max)
    span = max(high - low, 1e-12)
    if sample.ndim == 3:
        first, second, third = (sample[..., i].astype(np.float32) for i in range(3))
        colour = float(max(abs(first - second).mean(), abs(second - third).mean())) / span
        if colour > limits.max_colour:
            return (Why(Reason.COLOUR, "a colour picture, not a grey film"),)
        sample = sample[..., 1].copy()
    contrast, black, white = _spread(sample, low, high)
    if contrast < limits.min_contrast:
        return (
            Why(
                Reason.BLANK,
                f"nearly blank: contrast {contrast:.4f} of full range, "
                f"at least {limits.min_contrast:g} is needed",
            ),
        )
    for share, name in ((black, "black"), (white, "white")):
        if share > limits.max_clipped:
            return (Why(Reason.CLIPPED, f"{share:.0%} of the pixels are fully {name}"),)
    return ()


_LEVELS = np.arange(256, dtype=np.float64)


def _spread(sample: Pixels, low: float, high: float) -> tuple[float, float, float]:
    """Standard deviation over the range, and the shares of pixels at its two ends."""
    import cv2

    if sample.dtype == np.uint8:  # one histogram tells all three, in a third of the time
        share = cv2.calcHist([sample.reshape(-1)], [0], None, [256], [0, 256]).ravel() / sample.size
        mean = float(share @ _LEVELS)
        variance = float(share @ (_LEVELS - mean) ** 2)
        return variance**0.5 / 255, float(share[0]), float(share[255])
    deviation = float(cv2.meanStdDev(sample)[1][0, 0]) / max(high - low, 1e-12)
    ends = [np.count_nonzero(sample == end) / sample.size for end in (low, high)]
    return deviation, ends[0], ends[1]


def check_prepared(tensor: NDArray[Any], limits: Eligibility) -> tuple[Why, ...]:
    """Judges the prepared image `(1, C, H, W)`: is it like what the model was trained on?"""
    likeness = limits.likeness
    if likeness is None:
        return ()
    found = correlation(tensor, likeness)
    if found >= likeness.min_correlation:
        return ()
    told = f"correlation {found:.2f} with the training films, {likeness.min_correlation:.2f} needed"
    if found <= -likeness.min_correlation:
        return (Why(Reason.INVERTED, f"looks like a film with black and white exchanged ({told})"),)
    return (Why(Reason.UNLIKE_TRAINING, f"not what the model knows ({told})"),)


def correlation(tensor: NDArray[Any], likeness: Likeness) -> float:
    """Pearson correlation of a prepared image `(1, C, H, W)` with the template."""
    template = np.asarray(likeness.template, np.float32)
    return float(_standardised(tensor, likeness.side) @ template)


def template_of(tensors: NDArray[Any], side: int) -> tuple[float, ...]:
    """The template of prepared images `(N, C, H, W)`: their mean at `side` × `side`, standardised.

    Rounded to four decimals, which the manifest carries.

    Raises:
        ValueError: the images show nothing that they share.
    """
    mean = np.mean([_standardised(tensor[None], side) for tensor in tensors], axis=0)
    mean -= mean.mean()
    if not np.linalg.norm(mean) > 0:
        raise ValueError("the images show nothing that they share")
    return tuple(round(float(v), 4) for v in mean / np.linalg.norm(mean))


def _standardised(tensor: NDArray[Any], side: int) -> NDArray[np.float32]:
    import cv2

    small = cv2.resize(tensor[0, 0], (side, side), interpolation=cv2.INTER_AREA)
    flat: NDArray[np.float32] = small.astype(np.float32).ravel()
    flat -= flat.mean()
    norm = float(np.linalg.norm(flat))
    return flat / np.float32(norm) if norm > 0 else flat
