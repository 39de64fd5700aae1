"""Makes tiny-fp32.tflite and tiny-int8.tflite: the network of tests/tiny.py for LiteRT.

    python -m tests.data.make_tiny_tflite

Needs the extra `tflite-export`. A test holds that it makes the committed bytes again.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from edge_dx.manifest import ArrayInput
from export import quantize_tflite
from export.calibrate import Observed, feeds_digest
from export.network import FromInputs
from export.scheme import Scheme
from export.tflite_from_torch import tflite_from_torch
from tests import tiny

HERE = Path(__file__).parent


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        given = {name: torch.from_numpy(value) for name, value in tiny.constants().items()}
        self.kernel = nn.Parameter(given["kernel"])
        self.head = nn.Parameter(given["head"])
        self.bias = nn.Parameter(given["bias"])

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        maps = torch.relu(nn.functional.conv2d(image, self.kernel, stride=4))
        features = maps.mean((2, 3))
        cam = nn.functional.conv2d(maps, self.head[:, :, None, None])
        return nn.functional.linear(features, self.head, self.bias), cam, features


def make() -> dict[str, bytes]:
    """Name → bytes of both files."""
    # An array input: the file takes the normalised image, the engine's table makes it.
    item = ArrayInput(name="image", shape=(1, tiny.SIDE, tiny.SIDE), unit="normalised")
    plain = tflite_from_torch(FromInputs(Net().eval().requires_grad_(False), (item,)))
    films = np.stack([tiny.film(seed, tiny.SIDE)[None] for seed in range(64)])
    feeds = {"serving_default_args_0": (films.astype(np.float32) - 128) / 64}
    seen = Observed("0" * 64, feeds_digest(feeds), quantize_tflite.observe(plain, feeds))
    ranges = seen.ranges("minmax").ranges
    ranges["serving_default_args_0"] = (-2.0, 127 / 64)  # levels are grey levels minus 128
    scheme = Scheme(activation="int8", symmetric=False, method="minmax", head="int8")
    return {"tiny-fp32": plain, "tiny-int8": quantize_tflite.quantize(plain, ranges, scheme)}


if __name__ == "__main__":
    for name, payload in make().items():
        (HERE / f"{name}.tflite").write_bytes(payload)
        print(f"{name}.tflite: {len(payload)} bytes")
