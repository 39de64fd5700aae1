"""TensorSpec: what a tensor must look like, and the one check against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge_dx.errors import TensorMismatch

Array = NDArray[Any]


@dataclass(frozen=True)
class TensorSpec:
    """A tensor's name, numpy type name and shape; None in the shape stands for any size."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def problem(self, array: Array) -> str | None:
        """Why `array` does not fit, or None where it does."""
        if array.dtype != np.dtype(self.dtype):  # a type of another byte order is another type
            found = array.dtype.name if array.dtype.isnative else f"byte-swapped {array.dtype.name}"
            return f"{self.name} is {found}, the model takes {self.dtype}"
        fits = len(array.shape) == len(self.shape) and all(
            want is None or want == have for want, have in zip(self.shape, array.shape, strict=True)
        )
        if not fits:
            want = tuple("any" if n is None else n for n in self.shape)
            return f"{self.name} has shape {array.shape}, the model takes {want}"
        return None


def check_feeds(specs: tuple[TensorSpec, ...], feeds: Mapping[str, Array]) -> None:
    """Checks that `feeds` are exactly the tensors that `specs` describe.

    Raises:
        TensorMismatch: a name is missing or unknown, or an array does not fit.
    """
    names = {spec.name for spec in specs}
    if set(feeds) != names:
        raise TensorMismatch(
            f"the model takes {', '.join(sorted(names))}; "
            f"given were {', '.join(sorted(feeds)) or 'none'}"
        )
    for spec in specs:
        problem = spec.problem(feeds[spec.name])
        if problem:
            raise TensorMismatch(problem)
