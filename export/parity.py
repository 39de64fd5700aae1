"""Does the exported graph compute what the module computes?

torch's exporter can be silently wrong (a network exported in 2025 scored zero on its test set
without an error, pytorch#169178), so the graph is run through the device's runtime on inputs and
batch sizes that the exporter never saw.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import nn

from edge_dx.errors import EngineError, TensorMismatch
from edge_dx.manifest import AnyOutput, ImageInput
from export.errors import ParityFailed
from export.onnx_from_torch import EXAMPLE_BATCH, torch_outputs
from export.running import open_file

BATCHES = (1, 3, 5)
"""None of them is the exporter's own example batch."""

assert EXAMPLE_BATCH not in BATCHES


def check_parity(
    network: nn.Module,
    payload: bytes,
    image: ImageInput,
    outputs: tuple[AnyOutput, ...],
    limit: float,
) -> dict[str, float]:
    """Compares an fp32 file with the module it came from.

    Args:
        network: takes the uint8 image.
        payload: the ONNX file.
        image: the graph's input.
        outputs: the graph's outputs.
        limit: allowed absolute difference, relative to the output's largest value where that
            is above 1.

    Returns:
        Output name → largest absolute difference found.

    Raises:
        ParityFailed: over the limit, not finite, or the file does not run on these inputs.
    """
    names = tuple(output.name for output in outputs)
    worst = dict.fromkeys(names, 0.0)
    try:
        backend = open_file(payload, "onnx-fp32", image, outputs)
    except (EngineError, TensorMismatch) as error:
        raise ParityFailed(f"the exported graph does not load: {error}") from error
    for batch in BATCHES:
        images = trial_images(batch, image.shape)
        expected = torch_outputs(network, names, images, batch)
        try:
            found = backend.run({image.name: images})
        except (EngineError, TensorMismatch) as error:
            raise ParityFailed(
                f"the exported graph does not run with batch size {batch}, only the one of the "
                f"export was tried by torch ({error})"
            ) from error
        for name in names:
            if found[name].shape != expected[name].shape:
                raise ParityFailed(
                    f"output {name} has shape {found[name].shape} for batch size {batch}, torch "
                    f"gives {expected[name].shape}: the batch dimension was frozen in the export"
                )
            error_here = np.abs(found[name].astype(np.float64) - expected[name]).max()
            allowed = limit * max(1.0, float(np.abs(expected[name]).max()))
            if not error_here <= allowed:
                raise ParityFailed(
                    f"output {name} is off by {error_here:.3g} at batch size {batch} (allowed "
                    f"{allowed:.3g}): the exported graph computes something else than the module. "
                    "Rewrite the operation that torch.onnx.export gets wrong, or raise "
                    "parity_limit if the module itself is that ill-conditioned"
                )
            worst[name] = max(worst[name], float(error_here))
    backend.close()
    return worst


def trial_images(batch: int, shape: tuple[int, int, int]) -> np.ndarray[Any, Any]:
    """Pictures `(batch, C, H, W)` uint8: noise, both extremes, a ramp, and smooth blobs."""
    channels, height, width = shape
    rng = np.random.default_rng(1000 + batch)
    coarse = rng.integers(0, 256, (channels, height // 16 + 2, width // 16 + 2))
    smooth = np.kron(coarse, np.ones((1, 16, 16)))[:, :height, :width]
    kinds = [
        rng.integers(0, 256, shape),
        smooth,
        np.full(shape, 255),
        np.zeros(shape),
        np.broadcast_to(np.linspace(0, 255, width), shape),
    ]
    return np.stack([kinds[(i + batch) % len(kinds)] for i in range(batch)]).astype(np.uint8)
