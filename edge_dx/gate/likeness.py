"""A coarse look at the prepared image before inference: does it resemble the training films?

One correlation with the mean training film at 16 × 16 or so. It costs microseconds, it spares the
inference of what is plainly something else, and its sign tells a film with black and white
exchanged from everything else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.manifest import Eligibility, Likeness
from edge_dx.result import Reason, Why


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
