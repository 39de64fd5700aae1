"""The shipped fake: an engine that needs no model, for plumbing, user interfaces and tests.

Its answers follow from the input's mean grey level alone and keep every promise of the manifest
(names, shapes, the heat-map identity), so all that stands around an engine can be tried without
one. They mean nothing: it never stands among a variant's engines, it has to be asked for by name,
and every result it gives carries the reason `pretend_engine`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edge_dx.backends.protocol import Backend
from edge_dx.backends.specs import input_specs, output_specs
from edge_dx.errors import EngineFailed
from edge_dx.manifest import HeatMap, Manifest, Variant
from edge_dx.tensors import Array, TensorSpec, check_feeds


class Pretend:
    """Keeps the protocol and the manifest, and knows nothing."""

    def __init__(self, manifest: Manifest, variant: Variant, payload: bytes, threads: int) -> None:
        del variant, payload, threads  # the fake reads no file and needs no threads
        self._inputs = input_specs(manifest)
        self._outputs = output_specs(manifest)
        self._maps = {o.name: o for o in manifest.outputs if isinstance(o, HeatMap)}
        self._open = True

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the manifest promises."""
        return self._inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the manifest promises."""
        return self._outputs

    @property
    def built(self) -> None:
        """Nothing."""
        return None

    def run(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        """Gives each sample its mean grey level, scaled to -2..2, as every score."""
        check_feeds(self._inputs, feeds)
        if not self._open:
            raise EngineFailed("pretend: is closed")
        image = feeds[self._inputs[0].name]
        level = image.mean(axis=tuple(range(1, image.ndim)), dtype=np.float64)
        top = 255.0 if image.dtype == np.uint8 else 1.0
        score = (level / top * 4 - 2).astype(np.float32)
        outputs: dict[str, Array] = {}
        for spec in self._outputs:
            shape = (len(image), *(n or 1 for n in spec.shape[1:]))
            value = np.broadcast_to(score.reshape(-1, *[1] * (len(shape) - 1)), shape)
            heat_map = self._maps.get(spec.name)
            if heat_map is not None:  # mean(map) + bias == score
                value = value - np.asarray(heat_map.bias, np.float32)[None, :, None, None]
            outputs[spec.name] = np.array(value, np.float32)
        return outputs

    def close(self) -> None:
        """Closes the fake."""
        self._open = False


_: type[Backend] = Pretend
