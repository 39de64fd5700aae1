"""Several inputs and several heads: a picture and facts in; a score, a mask and a number out."""

from __future__ import annotations

import torch
from torch import nn


class CaseNet(nn.Module):
    """Scores a disc by its size and the patient's age, outlines it, and measures it."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(
            nn.Conv2d(1, 12, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.ReLU(),
            nn.Conv2d(24, 24, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.outline = nn.Conv2d(24, 1, 1)
        self.size = nn.Linear(24, 1)
        self.judge = nn.Sequential(nn.Linear(24 + 2, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(
        self, image: torch.Tensor, facts: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Judges cases.

        Args:
            image: `(N, 1, 64, 64)`, normalised.
            facts: `(N, 2)`, age and sex, scaled as the recipe says.

        Returns:
            score `(N, 1)`, mask `(N, 1, 16, 16)`, size `(N, 1)`.
        """
        maps = self.maps(image)
        pooled = maps.mean((2, 3))
        return self.judge(torch.cat([pooled, facts], 1)), self.outline(maps), self.size(pooled)


def build() -> nn.Module:
    """What `model.factory` in several.toml names."""
    return CaseNet()
