"""Is the picture good enough? Limits of the manifest against measures of the decoded pixels."""

from __future__ import annotations

import numpy as np

from edge_dx.gate import measures
from edge_dx.image import Pixels
from edge_dx.manifest import Eligibility
from edge_dx.result import Reason, Why

_SAMPLE_SIDE = 256
"""Pixel statistics are taken on every n-th pixel so that at most this many remain per side."""


def check_pixels(pixels: Pixels, limits: Eligibility) -> tuple[Why, ...]:
    """Judges decoded pixels `(H, W)` or `(H, W, 3)`.

    In order: colour, blank, clipped, exposure, blur, share of the field, burned-in text. The first
    that fails is told; a blank picture has no sharpness to speak of.
    """
    return _levels(pixels, limits) or _look(pixels, limits)


def _levels(pixels: Pixels, limits: Eligibility) -> tuple[Why, ...]:
    """What single pixels tell: colour, contrast, clipping; on a sample of them."""
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


def _look(pixels: Pixels, limits: Eligibility) -> tuple[Why, ...]:
    """What the picture shows as a whole; each measure is taken only where it has a limit."""
    wanted = limits.quality
    if wanted is None:
        return ()
    grey = measures.looked_at(pixels)
    if wanted.exposure != (0.0, 1.0):
        found = measures.exposure(grey)
        low, high = wanted.exposure
        if not low <= found <= high:
            dark = found < low
            code = Reason.UNDER_EXPOSED if dark else Reason.OVER_EXPOSED
            told = f"median grey level {found:.2f} of full range, {low:g} to {high:g} accepted"
            return (Why(code, f"too {'dark' if dark else 'bright'}: {told}"),)
    if wanted.min_sharpness:
        found = measures.sharpness(grey)
        if found < wanted.min_sharpness:
            told = f"blurred: sharpness {found:.3f}, at least {wanted.min_sharpness:g} is needed"
            return (Why(Reason.BLUR, told),)
    if wanted.min_field:
        found = measures.field_share(grey)
        if found < wanted.min_field:
            told = (
                f"{found:.0%} of the picture is the field, at least {wanted.min_field:.0%} needed"
            )
            return (Why(Reason.FIELD, told),)
    if wanted.max_text < 1:
        found = measures.text_share(grey, at_least=wanted.max_text)
        if found > wanted.max_text:
            told = f"text is burned in: {found:.1%} of the picture, {wanted.max_text:.1%} accepted"
            return (Why(Reason.BURNED_IN_TEXT, told),)
    return ()


_GREY_LEVELS = np.arange(256, dtype=np.float64)


def _spread(sample: Pixels, low: float, high: float) -> tuple[float, float, float]:
    """Standard deviation over the range, and the shares of pixels at its two ends."""
    import cv2

    if sample.dtype == np.uint8:  # one histogram tells all three, in a third of the time
        share = cv2.calcHist([sample.reshape(-1)], [0], None, [256], [0, 256]).ravel() / sample.size
        mean = float(share @ _GREY_LEVELS)
        variance = float(share @ (_GREY_LEVELS - mean) ** 2)
        return variance**0.5 / 255, float(share[0]), float(share[255])
    deviation = float(cv2.meanStdDev(sample)[1][0, 0]) / max(high - low, 1e-12)
    ends = [np.count_nonzero(sample == end) / sample.size for end in (low, high)]
    return deviation, ends[0], ends[1]
