"""A network of your own: any `torch.nn.Module`, built by a function that the recipe names."""

from __future__ import annotations

import torch
from torch import nn


class SmallNet(nn.Module):
    """Three classes from a 3 × 64 × 64 image; gives the scores and nothing else."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(2 * width, 3)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Scores `(N, 3)` of normalised images `(N, 3, 64, 64)`."""
        scores: torch.Tensor = self.head(self.features(image))
        return scores


def build(width: int = 16) -> nn.Module:
    """What `model.factory` in recipe.toml names; the weights are loaded by the exporter."""
    return SmallNet(width)
