"""Draws a result on its study: the film in grey, the heat map in colour, the answer in words.

The colour scale is fixed for the model, so a weak map looks weak; nothing is coloured where the
answer is negative or nothing was analysed. The map shows where the model's evidence lies. It is
no outline of a lesion and nothing may be measured on it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import InputError
from edge_dx.image import Pixels, Preparation
from edge_dx.manifest import ImageInput
from edge_dx.result import HeatMapImage, Result, Status
from edge_dx.sources import Study

Picture = NDArray[Any]  # (H, W) or (H, W, 3) RGB, uint8

_MAX_SIDE = 768
_BANNER = 64
_SCALE_WIDTH = 84
_COLOURS = {
    Status.POSITIVE: (235, 110, 60),
    Status.INDETERMINATE: (235, 190, 60),
    Status.NEGATIVE: (120, 190, 235),
    Status.NOT_ANALYSED: (190, 190, 190),
    Status.FAILED: (235, 80, 120),
}
_LARGEST_ALPHA = 0.55


def draw(study: Study, result: Result, preparation: Preparation, spec: ImageInput) -> Picture:
    """A picture (H, W, 3) RGB of the study with its result.

    Args:
        study: what was judged.
        result: the answer to it.
        preparation: the model's preparation, to place the map on the film.
        spec: the model's image input.

    Raises:
        InputError: the study's pixels cannot be decoded, so there is nothing to draw on.
    """
    import cv2

    film = display(study.pixels)
    canvas = cv2.cvtColor(film, cv2.COLOR_GRAY2RGB) if film.ndim == 2 else film.copy()
    if result.heat_map is not None:
        place = _grid_from_display(study, film, preparation, spec, result.heat_map)
        canvas = _blend(canvas, result.heat_map, place)
        canvas = np.hstack([canvas, _colour_bar(canvas.shape[0], result.heat_map)])
    return np.vstack([_banner(canvas.shape[1], result), canvas])


def save(
    path: Path, study: Study, result: Result, preparation: Preparation, spec: ImageInput
) -> None:
    """Draws and writes a PNG."""
    import cv2

    picture = draw(study, result, preparation, spec)
    done, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    if not done:
        raise InputError(f"{path}: the overlay could not be encoded", "internal")
    path.write_bytes(data.tobytes())


def display(pixels: Pixels) -> Picture:
    """The film as a screen shows it: uint8, at most 768 pixels a side, 0.5th to 99.5th percentile.

    Colour is left as it is.
    """
    import cv2

    scale = min(1.0, _MAX_SIDE / max(pixels.shape[:2]))
    if scale < 1:
        height, width = (max(1, round(n * scale)) for n in pixels.shape[:2])
        pixels = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
    if pixels.ndim == 3 and pixels.dtype == np.uint8:
        return pixels
    low, high = np.percentile(pixels, [0.5, 99.5])
    span = max(float(high - low), 1e-6)
    shown: Picture = np.clip((pixels.astype(np.float32) - low) * (255 / span), 0, 255).astype(
        np.uint8
    )
    return shown


def _grid_from_display(
    study: Study, film: Picture, preparation: Preparation, spec: ImageInput, heat: HeatMapImage
) -> NDArray[np.float64]:
    """3×3 affine map from the drawn film's pixel centres to the heat map's."""

    def scaling(sy: float, sx: float) -> NDArray[np.float64]:
        # Between two grids over the same area, with pixel centres at half-integers of it.
        return np.array([[sx, 0, 0.5 * sx - 0.5], [0, sy, 0.5 * sy - 0.5], [0, 0, 1.0]])

    _, height, width = spec.shape
    rows, columns = heat.values.shape
    source_from_film = scaling(
        study.pixels.shape[0] / film.shape[0], study.pixels.shape[1] / film.shape[1]
    )
    prepared_from_source = np.linalg.inv(preparation.to_source(study.pixels))
    grid_from_prepared = scaling(rows / height, columns / width)
    return grid_from_prepared @ prepared_from_source @ source_from_film


def _blend(canvas: Picture, heat: HeatMapImage, place: NDArray[np.float64]) -> Picture:
    import cv2

    low, high = heat.scale
    share = np.clip((heat.values - low) / (high - low), 0, 1).astype(np.float32)
    # One ring of copied cells, so that the outermost half cell fades like the others and what the
    # preparation cut away stays uncoloured.
    ringed = np.pad(share, 1, mode="edge")
    shifted = np.array([[1, 0, 1], [0, 1, 1], [0, 0, 1.0]]) @ place
    size = (canvas.shape[1], canvas.shape[0])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    strength = cv2.warpAffine(ringed, shifted[:2], size, flags=flags)[..., None]
    coloured = _colours(strength[..., 0])
    alpha = strength * _LARGEST_ALPHA
    return (canvas * (1 - alpha) + coloured * alpha).astype(np.uint8)


def _colours(share: NDArray[Any]) -> Picture:
    """The colour of each share 0..1: a map whose lightness grows evenly, colour-blind safe."""
    import cv2

    table = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture: Picture = cv2.cvtColor(table, cv2.COLOR_BGR2RGB)
    return picture


def _colour_bar(height: int, heat: HeatMapImage) -> Picture:
    import cv2

    bar = np.zeros((height, _SCALE_WIDTH, 3), np.uint8)
    top, bottom = 28, height - 14
    column = np.linspace(1, 0, bottom - top, dtype=np.float32)[:, None]
    bar[top:bottom, 8:24] = _colours(np.repeat(column, 16, axis=1))
    cv2.putText(bar, "logit", (6, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (220, 220, 220), 1,
                cv2.LINE_AA)  # fmt: skip
    for at, value in ((top + 6, heat.scale[1]), (bottom, heat.scale[0])):
        cv2.putText(bar, f"{value:.1f}", (30, at), cv2.FONT_HERSHEY_SIMPLEX, 0.4,
                    (220, 220, 220), 1, cv2.LINE_AA)  # fmt: skip
    return bar


def _banner(width: int, result: Result) -> Picture:
    import cv2

    banner = np.zeros((_BANNER, width, 3), np.uint8)
    answer = result.status.value.replace("_", " ").upper()
    if result.score is not None and result.threshold is not None:
        answer += f"  {result.label} {result.score:.3f} (threshold {result.threshold:.3f})"
    elif result.reasons:
        answer += f"  {result.reasons[0].code.value}"
    trust = "" if result.signer else "  UNSIGNED"
    below = f"{result.bundle} {result.variant} on {result.engine}{trust}"
    lines = (
        (answer, _COLOURS[result.status], 0.5),
        (below, (200, 200, 200), 0.38),
        ("Not for diagnosis. Colour shows the model's evidence, not an outline.",
         (150, 150, 150), 0.38),
    )  # fmt: skip
    for row, (text, colour, size) in enumerate(lines):
        (wide, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
        fitted = size * min(1.0, (width - 12) / max(wide, 1))
        cv2.putText(banner, text, (6, 20 + 19 * row), cv2.FONT_HERSHEY_SIMPLEX, fitted, colour, 1,
                    cv2.LINE_AA)  # fmt: skip
    return banner
