"""What the tests of this directory share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from edge_dx.backends import open_backend
from edge_dx.manifest import Manifest, Variant
from tests import tiny
from tests.backends.tensorrt import fake, fake_cuda

Array = np.ndarray[Any, Any]
Parts = tuple[Manifest, Variant, bytes]
Install = Callable[..., tuple[fake.Fault, fake_cuda.Gpu]]


def opened(bundle: Parts, payload: bytes | None = None) -> Any:
    manifest, variant, own = bundle
    return open_backend("tensorrt", manifest, variant, own if payload is None else payload)


def films(n: int) -> Array:
    return np.stack([tiny.film(seed, tiny.SIDE)[None] for seed in range(n)])
