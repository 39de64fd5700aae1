"""Pictures of results: a PNG on disk and a small JPEG inside the page."""

from __future__ import annotations

import base64
from pathlib import Path

from edge_dx import overlay, sources
from edge_dx.errors import InputError, NotFound
from edge_dx.manifest import ImageInput
from edge_dx.model import Model
from edge_dx.result import Result

_EMBEDDED_PX = 420


def make(model: Model, file: Path, result: Result, target: Path) -> str | None:
    """Draws a result on its film.

    Args:
        model: what answered.
        file: the film.
        result: the answer.
        target: where the full picture is written.

    Returns:
        A `data:` address of a smaller one, or None where the film cannot be drawn.
    """
    import cv2

    try:
        study = sources.read(file)
        spec = model.bundle.manifest.inputs[0]
        if not isinstance(spec, ImageInput):
            return None
        overlay.save(target, study, result, model.preparation, spec)
        picture = overlay.film_with_map(study, result, model.preparation, spec)
    except (InputError, NotFound):  # nothing to draw on; the answer's reason says why
        return None
    height, width = picture.shape[:2]
    scale = min(1.0, _EMBEDDED_PX / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(
        ".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82]
    )
    if not done:
        return None
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode()
