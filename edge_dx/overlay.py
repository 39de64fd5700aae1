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
from edge_dx.sources import Study, view

Picture = NDArray[Any]  # (H, W) or (H, W, 3) RGB, uint8

_SHORTEST, _LONGEST = 384, 768
_LINE, _MARGIN = 22, 10
_SCALE_WIDTH = 76
_BACKGROUND = (14, 17, 21)
_COLOURS = {
    Status.POSITIVE: (255, 150, 90),
    Status.INDETERMINATE: (245, 205, 90),
    Status.NEGATIVE: (150, 205, 245),
    Status.MEASURED: (190, 225, 175),
    Status.NOT_ANALYSED: (200, 204, 208),
    Status.FAILED: (255, 125, 150),
}
_LARGEST_ALPHA = 0.6


def draw(study: Study, result: Result, preparation: Preparation, spec: ImageInput) -> Picture:
    """A picture (H, W, 3) RGB of the study with its result, and the answer in words above it.

    Args:
        study: what was judged.
        result: the answer to it.
        preparation: the model's preparation, to place the map on the film.
        spec: the model's image input.

    Raises:
        InputError: the study's pixels cannot be decoded, so there is nothing to draw on.
    """
    picture = film_with_map(study, result, preparation, spec)
    if result.heat_map is not None:
        picture = np.hstack([picture, _colour_bar(picture.shape[0], result.heat_map)])
    return np.vstack([_banner(picture.shape[1], result), picture])


def film_with_map(
    study: Study, result: Result, preparation: Preparation, spec: ImageInput
) -> Picture:
    """The picture alone, without words and colour scale. Arguments and errors as for `draw`."""
    import cv2

    if result.status.analysed:
        study = view.of(study, spec.view)
    film = display(study.pixels)
    canvas = cv2.cvtColor(film, cv2.COLOR_GRAY2RGB) if film.ndim == 2 else film.copy()
    if result.heat_map is None:
        return canvas
    place = _grid_from_display(study, film, preparation, spec, result.heat_map)
    return _blend(canvas, result.heat_map, place)


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
    """The film as a screen shows it: uint8, 384 to 768 pixels on its longer side.

    Grey is stretched between its 0.5th and 99.5th percentile; colour is left as it is.
    """
    import cv2

    longer = max(pixels.shape[:2])
    scale = min(max(longer, _SHORTEST), _LONGEST) / longer
    if scale != 1:
        height, width = (max(1, round(n * scale)) for n in pixels.shape[:2])
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, (width, height), interpolation=how)
    if pixels.ndim == 3 and pixels.dtype == np.uint8:
        return pixels
    low, high = np.percentile(pixels, [0.5, 99.5])
    span = max(float(high - low), 1e-6)
    shown: Picture = np.clip((pixels.astype(np.float32) - low) * (255 / span), 0, 255).astype(
        np.uint8
    )
    return shown


def colours(share: NDArray[Any]) -> Picture:
    """The colour (…, 3) RGB of each share 0..1 of the scale, for shares `(H, W)`.

    A map whose lightness grows evenly, which the colour-blind and a grey print show too.
    """
    import cv2

    table = cv2.applyColorMap((share * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)
    picture: Picture = cv2.cvtColor(table, cv2.COLOR_BGR2RGB)
    return picture


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
    x, y = np.arange(canvas.shape[1])[None, :], np.arange(canvas.shape[0])[:, None]
    column, row = (
        (place[i, 0] * x + place[i, 1] * y + place[i, 2]).astype(np.float32) for i in (0, 1)
    )
    # What the preparation cut away the model has not seen: it stays uncoloured.
    seen = (np.abs(column + 0.5 - share.shape[1] / 2) <= share.shape[1] / 2) & (
        np.abs(row + 0.5 - share.shape[0] / 2) <= share.shape[0] / 2
    )
    strength = cv2.remap(share, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    strength = np.where(seen, strength, 0)[..., None]
    alpha = strength * _LARGEST_ALPHA
    return np.rint(canvas * (1 - alpha) + colours(strength[..., 0]) * alpha).astype(np.uint8)


def _colour_bar(height: int, heat: HeatMapImage) -> Picture:
    bar = np.full((height, _SCALE_WIDTH, 3), _BACKGROUND, np.uint8)
    top, bottom = 2 * _LINE + 8, height - _MARGIN
    column = np.linspace(1, 0, bottom - top, dtype=np.float32)[:, None]
    bar[top:bottom, _MARGIN : _MARGIN + 14] = colours(np.repeat(column, 14, axis=1))
    _write(bar, "evidence", 18, (215, 218, 222), 0.42, _MARGIN - 2)
    _write(bar, "(logit)", 36, (160, 165, 170), 0.38, _MARGIN - 2)
    for share in (0.0, 0.5, 1.0):
        value = heat.scale[0] + share * (heat.scale[1] - heat.scale[0])
        at = round(bottom - share * (bottom - top)) + round(2 + 8 * (share - 0.2))
        _write(bar, f"{value:.1f}", at, (215, 218, 222), 0.4, _MARGIN + 20)
    return bar


def _banner(width: int, result: Result) -> Picture:
    answer = result.status.value.replace("_", " ").upper()
    if result.score is not None and result.threshold is not None:
        answer += f": {result.label} {result.score:.3f} (threshold {result.threshold:.3f})"
    elif result.score is not None:
        answer += f": {result.label} {result.score:.3f}"
    elif result.reasons:
        answer += f": {result.reasons[0].code.value}"
    trust = "" if result.signer else ", UNSIGNED"
    lines = [
        (answer, _COLOURS[result.status], 0.55),
        (f"{result.bundle}, {result.variant} on {result.engine}{trust}", (205, 208, 212), 0.42),
        ("Not for diagnosis. Colour is the model's evidence, no outline." if result.heat_map
         else "Not for diagnosis.", (165, 170, 175), 0.42),
    ]  # fmt: skip
    banner = np.full((_LINE * len(lines) + 12, width, 3), _BACKGROUND, np.uint8)
    for row, (text, colour, size) in enumerate(lines):
        _write(banner, text, _LINE * (row + 1), colour, size, _MARGIN)
    return banner


def _write(
    picture: Picture, text: str, baseline: int, colour: tuple[int, int, int], size: float, left: int
) -> None:
    """Writes a line, smaller where it would not fit."""
    import cv2

    font = cv2.FONT_HERSHEY_SIMPLEX
    text = text.encode("ascii", "replace").decode()  # all that the font has
    (wide, _), _ = cv2.getTextSize(text, font, size, 1)
    fitted = size * min(1.0, (picture.shape[1] - left - 2) / max(wide, 1))
    cv2.putText(picture, text, (left, baseline), font, fitted, colour, 1, cv2.LINE_AA)
