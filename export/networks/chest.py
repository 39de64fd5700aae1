"""`chest-tb`: a frontal chest film → one tuberculosis logit, its heat map, pooled features.

Few wide layers instead of many narrow ones, for two measured reasons: every quantized layer costs
kilobytes of graph text, and int8 pays in dense and pointwise convolutions while depthwise ones at
a high resolution gain nothing. Hence a strided dense stem down to a quarter of the resolution and
depthwise-separable blocks (Howard et al. 2017, arXiv:1704.04861) only at an eighth and below.

The head is global average pooling and one linear layer, so the same weights laid over the last
feature map give the class activation map (Zhou et al. 2016, arXiv:1512.04150), and
`mean(cam) + bias` is the logit exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import nn

SIDE_PX = 256
"""Height and width of the prepared film that the weights were made for."""

STRIDE = 16
"""Prepared pixels per cell of the heat map."""


class Layer(NamedTuple):
    """One convolution followed by ReLU; `depthwise` ones keep their channels."""

    channels_in: int
    channels: int
    size: int
    stride: int = 1
    depthwise: bool = False


LAYERS = (
    Layer(1, 32, 6, stride=4),
    Layer(32, 48, 3),
    Layer(48, 80, 3, stride=2),
    Layer(80, 80, 3),
    Layer(80, 80, 3, depthwise=True),
    Layer(80, 160, 1),
    Layer(160, 160, 3, stride=2, depthwise=True),
    Layer(160, 192, 1),
    Layer(192, 192, 5, depthwise=True),
    Layer(192, 256, 1),
    Layer(256, 256, 5, depthwise=True),
    Layer(256, 320, 1),
)
FEATURES = LAYERS[-1].channels


def convolution(layer: Layer, *, bias: bool) -> nn.Conv2d:
    """The layer's convolution; the 6-pixel stem is padded by 1 so that its stride divides 256."""
    return nn.Conv2d(
        layer.channels_in,
        layer.channels,
        layer.size,
        stride=layer.stride,
        padding=(layer.size - 1) // 2 if layer.size % 2 else (layer.size - layer.stride) // 2,
        groups=layer.channels if layer.depthwise else 1,
        bias=bias,
    )


class ChestNet(nn.Module):
    """The network over a trunk that gives `(N, FEATURES, H / 16, W / 16)`.

    Args:
        block: makes a layer's module; the deployed one is convolution and ReLU, training puts a
            batch normalisation between them.
    """

    def __init__(self, block: Callable[[Layer], nn.Module]) -> None:
        super().__init__()
        self.trunk = nn.Sequential(*(block(layer) for layer in LAYERS))
        self.head = nn.Linear(FEATURES, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Scores films.

        Args:
            image: `(N, 1, H, W)` float32, `(prepared - 128) / 64`; sides divisible by 16.

        Returns:
            logits `(N, 1)`, class activation map `(N, 1, H / 16, W / 16)` in logits and without
            the bias, pooled features `(N, FEATURES)`.
        """
        maps = self.trunk(image)
        features = nn.functional.adaptive_avg_pool2d(maps, 1).flatten(1)
        cam = nn.functional.conv2d(maps, self.head.weight[:, :, None, None])
        return self.head(features), cam, features


def deployed(layer: Layer) -> nn.Module:
    """Convolution and ReLU: what the device runs."""
    return nn.Sequential(convolution(layer, bias=True), nn.ReLU())


def build() -> ChestNet:
    """The deployment form; `export/zoo/chest_tb/weights.safetensors` fits it."""
    return ChestNet(deployed)
