"""Image preparation: runs a manifest's steps on pixels. The only place that resizes anything.

`compile_steps` turns the steps into a `Preparation`: a function from pixels `(H, W)` or
`(H, W, 3)` RGB, uint8, uint16 or float32, to the prepared image, and, when a heat map has to be
drawn on the study, the affine map from prepared back to source coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx import steps as vocabulary
from edge_dx.errors import TensorMismatch

Pixels = NDArray[Any]
Apply = Callable[[Pixels], Pixels]
Affine = NDArray[np.float64]
# Given the image before the step and the one after it: output (x, y, 1) → input (x, y, 1).
Inverse = Callable[[Pixels, Pixels], Affine]

_ACCEPTED = (np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32))
_LEAST_RANGE = 1e-36
"""Of grey levels: 255 divided by less is no float32."""


class Preparation:
    """A compiled list of steps.

    Attributes:
        steps: the steps it runs, in order.
    """

    def __init__(self, steps: Sequence[vocabulary.AnyStep]) -> None:
        self.steps = tuple(steps)
        self._stages = [_COMPILERS[type(step)](step) for step in self.steps]

    def __call__(self, pixels: Pixels) -> Pixels:
        """Prepares pixels `(H, W)` or `(H, W, 3)`; never writes into them.

        Raises:
            TensorMismatch: pixels of a type or shape that no image has.
        """
        _check_pixels(pixels)
        for apply, _ in self._stages:
            pixels = apply(pixels)
        return pixels

    def to_source(self, pixels: Pixels) -> Affine:
        """The 3×3 affine map from prepared to source pixel centres, for these pixels."""
        _check_pixels(pixels)
        total = np.eye(3)
        for apply, inverse in self._stages:
            after = apply(pixels)
            if inverse is not None:
                total = total @ inverse(pixels, after)
            pixels = after
        return total


def compile_steps(steps: Sequence[vocabulary.AnyStep]) -> Preparation:
    """Compiles steps into a callable `Preparation`."""
    return Preparation(steps)


def to_tensor(image: Pixels) -> Pixels:
    """`(H, W)` → `(1, 1, H, W)`, `(H, W, 3)` → `(1, 3, H, W)`, contiguous."""
    if image.ndim == 2:
        return np.ascontiguousarray(image)[None, None]
    return np.ascontiguousarray(image.transpose(2, 0, 1))[None]


def _check_pixels(pixels: Pixels) -> None:
    if pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] != 3) or not pixels.size:
        raise TensorMismatch(
            f"an image is (height, width) or (height, width, 3), not {pixels.shape}"
        )
    if pixels.dtype not in _ACCEPTED:
        raise TensorMismatch(
            f"pixels are uint8, uint16 or float32, not {pixels.dtype}; convert them first"
        )
    if pixels.dtype == np.float32 and not np.isfinite(pixels).all():
        raise TensorMismatch("the pixels hold NaN or infinity; mend them first")


def _colour(step: vocabulary.Colour) -> tuple[Apply, Inverse | None]:
    import cv2

    to_grey = step.to == "grey"

    def apply(image: Pixels) -> Pixels:
        if to_grey:
            return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)

    return apply, None


def _orientation(step: vocabulary.Orientation) -> tuple[Apply, Inverse | None]:
    turns = step.rotate_deg // 90

    def apply(image: Pixels) -> Pixels:
        image = np.rot90(image, -turns) if turns else image
        if step.mirror == "horizontal":
            image = image[:, ::-1]
        elif step.mirror == "vertical":
            image = image[::-1]
        return np.ascontiguousarray(image)

    def inverse(before: Pixels, after: Pixels) -> Affine:
        height, width = before.shape[:2]
        # Clockwise by 90°: the output pixel (x, y) came from (y, height - 1 - x).
        turned = {
            0: [[1, 0, 0], [0, 1, 0]],
            1: [[0, 1, 0], [-1, 0, height - 1]],
            2: [[-1, 0, width - 1], [0, -1, height - 1]],
            3: [[0, -1, width - 1], [1, 0, 0]],
        }[turns]
        mirrored = np.eye(3)
        if step.mirror == "horizontal":
            mirrored[0] = [-1, 0, after.shape[1] - 1]
        elif step.mirror == "vertical":
            mirrored[1] = [0, -1, after.shape[0] - 1]
        return np.array([*turned, [0, 0, 1]], dtype=np.float64) @ mirrored

    return apply, inverse


def _crop(step: vocabulary.Crop) -> tuple[Apply, Inverse | None]:
    import cv2

    def box(image: Pixels) -> tuple[int, int, int, int]:
        height, width = image.shape[:2]
        if step.kind == "fraction":
            top, left = int(step.top * height), int(step.left * width)
            return top, height - int(step.bottom * height), left, width - int(step.right * width)
        grey = image if image.ndim == 2 else image.mean(axis=2, dtype=np.float32)
        # OpenCV's reduction takes a tenth of numpy's time on a film.
        rows = cv2.reduce(grey, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
        columns = cv2.reduce(grey, 0, cv2.REDUCE_AVG, dtype=cv2.CV_32F).ravel()
        top, bottom = _bright_span(rows, step.dark, step.limit)
        left, right = _bright_span(columns, step.dark, step.limit)
        return top, bottom, left, right

    def apply(image: Pixels) -> Pixels:
        top, bottom, left, right = box(image)
        return image[top:bottom, left:right]

    def inverse(before: Pixels, after: Pixels) -> Affine:
        top, _, left, _ = box(before)
        return np.array([[1, 0, left], [0, 1, top], [0, 0, 1]], dtype=np.float64)

    return apply, inverse


def _bright_span(profile: NDArray[Any], dark: float, limit: float) -> tuple[int, int]:
    """First and one-past-last index that is not dark border, at most `limit` off each end."""
    allowed = int(limit * len(profile))
    bright = np.flatnonzero(profile >= dark * profile.max())
    if not bright.size:  # all below zero (Hounsfield units of air): no border can be told
        return 0, len(profile)
    return min(int(bright[0]), allowed), max(int(bright[-1]) + 1, len(profile) - allowed)


def _resize(step: vocabulary.Resize) -> tuple[Apply, Inverse | None]:
    import cv2

    flag = {
        "nearest": cv2.INTER_NEAREST,
        "linear": cv2.INTER_LINEAR,
        "area": cv2.INTER_AREA,
        "cubic": cv2.INTER_CUBIC,
    }[step.interpolation]

    def placed(image: Pixels) -> tuple[int, int, int, int]:
        """Top, left, height and width of the picture inside the output."""
        if step.fit == "stretch":
            return 0, 0, step.height, step.width
        height, width = image.shape[:2]
        scale = min(step.height / height, step.width / width)
        inner_h = min(step.height, max(1, round(height * scale)))
        inner_w = min(step.width, max(1, round(width * scale)))
        return (step.height - inner_h) // 2, (step.width - inner_w) // 2, inner_h, inner_w

    def pad(dtype: np.dtype[Any]) -> float:
        if dtype == np.float32:
            return step.pad_value
        return min(max(round(step.pad_value), 0), np.iinfo(dtype).max)

    def apply(image: Pixels) -> Pixels:
        if image.shape[:2] == (step.height, step.width):
            return image
        top, left, height, width = placed(image)
        inner: Pixels = cv2.resize(image, (width, height), interpolation=flag)
        if (height, width) == (step.height, step.width):
            return inner
        outer = np.full((step.height, step.width, *image.shape[2:]), pad(image.dtype), image.dtype)
        outer[top : top + height, left : left + width] = inner
        return outer

    def inverse(before: Pixels, after: Pixels) -> Affine:
        top, left, height, width = placed(before)
        sy, sx = before.shape[0] / height, before.shape[1] / width
        # Pixel centres lie at half-integers of the area that both pictures cover.
        return np.array(
            [
                [sx, 0, (0.5 - left) * sx - 0.5],
                [0, sy, (0.5 - top) * sy - 0.5],
                [0, 0, 1],
            ]
        )

    return apply, inverse


def _denoise(step: vocabulary.Denoise) -> tuple[Apply, Inverse | None]:
    import cv2

    def apply(image: Pixels) -> Pixels:
        if step.kind == "median":
            return cv2.medianBlur(image, step.size_px)
        if step.kind == "gaussian":
            return cv2.GaussianBlur(image, (step.size_px, step.size_px), step.sigma)
        if image.dtype == np.uint16:  # OpenCV's bilateral filter takes uint8 and float32 only
            smooth = cv2.bilateralFilter(
                image.astype(np.float32), step.size_px, step.sigma, step.sigma
            )
            return np.rint(smooth).astype(np.uint16)
        return cv2.bilateralFilter(image, step.size_px, step.sigma, step.sigma)

    return apply, None


def _clahe(step: vocabulary.Clahe) -> tuple[Apply, Inverse | None]:
    import cv2

    def apply(image: Pixels) -> Pixels:
        if image.ndim != 2 or image.dtype == np.float32:
            raise TensorMismatch(
                "clahe works on grey uint8 or uint16; put a colour or intensity step before it"
            )
        # The object keeps tables between calls, so each call makes its own: images of different
        # sizes, and threads, must not meet in it.
        return cv2.createCLAHE(step.clip_limit, (step.tiles, step.tiles)).apply(image)

    return apply, None


def _intensity(step: vocabulary.Intensity) -> tuple[Apply, Inverse | None]:
    import cv2

    def levels(image: Pixels) -> tuple[float, float]:
        if step.kind == "fixed":
            return step.low, step.high
        if image.dtype == np.float32:
            ordered = np.sort(image, axis=None)
            ranks = [max(0, int(np.ceil(p / 100 * image.size)) - 1) for p in (step.low, step.high)]
            return float(ordered[ranks[0]]), float(ordered[ranks[1]])
        if (step.low, step.high) == (0, 100):
            darkest, brightest, _, _ = cv2.minMaxLoc(image.reshape(len(image), -1))
            return darkest, brightest
        bins = 256 if image.dtype == np.uint8 else 65536
        if image.size < 2**24:  # calcHist counts in float32; OpenCV 4 returns (n, 1), 5 (n,)
            counts = cv2.calcHist([image.reshape(-1)], [0], None, [bins], [0, bins]).ravel()
        else:
            counts = np.bincount(image.ravel(), minlength=bins)
        reached = np.cumsum(counts, dtype=np.float64)
        # side="left": the first level at which the cumulative count reaches the percentile, and
        # at least one pixel, so that 0 % is the darkest level that is there.
        wanted = np.maximum([step.low, step.high], 1e-9) / 100 * image.size
        low, high = np.searchsorted(reached, wanted)
        return float(low), float(high)

    def apply(image: Pixels) -> Pixels:
        low, high = levels(image)
        # A flat image has nothing to stretch; the gate calls it blank. Nor has one whose levels lie
        # so near to zero and each other that float32 has no factor for it.
        if high - low < _LEAST_RANGE:
            return np.zeros(image.shape, np.uint8)
        if image.dtype == np.uint8:
            if (low, high) == (0, 255):
                return image
            return cv2.LUT(image, _stretch(np.arange(256, dtype=np.float32), low, high))
        if image.dtype == np.uint16 and image.size > 65536:  # each level once, not each pixel
            table = _stretch(np.arange(65536, dtype=np.float32), low, high)
            stretched: Pixels = table[image]
            return stretched
        return _stretch(image.astype(np.float32, copy=False), low, high)

    return apply, None


def _stretch(values: Pixels, low: float, high: float) -> Pixels:
    scaled = (values - np.float32(low)) * np.float32(255.0 / (high - low))
    result: Pixels = np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)
    return result


def _normalise(step: vocabulary.Normalise) -> tuple[Apply, Inverse | None]:
    mean, reciprocal = normalise_constants(step)

    def apply(image: Pixels) -> Pixels:
        channels = 1 if image.ndim == 2 else 3
        if len(mean) not in (1, channels):
            raise TensorMismatch(
                f"normalise has {len(mean)} channels but the image has {channels}; "
                "put a colour step before it"
            )
        result: Pixels = (image.astype(np.float32) - mean) * reciprocal
        return result

    return apply, None


def normalise_constants(
    step: vocabulary.Normalise,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and float32 reciprocal of std, the constants both the device and the graph use."""
    std = np.asarray(step.std, np.float32)
    return np.asarray(step.mean, np.float32), (np.float32(1) / std).astype(np.float32)


_COMPILERS: dict[type[vocabulary.Step], Callable[[Any], tuple[Apply, Inverse | None]]] = {
    vocabulary.Colour: _colour,
    vocabulary.Orientation: _orientation,
    vocabulary.Crop: _crop,
    vocabulary.Resize: _resize,
    vocabulary.Denoise: _denoise,
    vocabulary.Clahe: _clahe,
    vocabulary.Intensity: _intensity,
    vocabulary.Normalise: _normalise,
}
