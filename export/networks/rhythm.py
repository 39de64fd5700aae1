"""The rhythm network: features of RR intervals, and a memory over beats."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from edge_dx.ecg.rhythm import FEATURES

MEMORY = 24


class RhythmNetwork(nn.Module):
    """One beat, or sequences of beats in training.

    `forward(features, h)`: `features` (batch, F), `h` (batch, 24), zeros at a beginning; gives `af`
    (batch, 1), the logit of "the beat `DELAY_BEATS` ago is one of atrial fibrillation", and the
    new `h`.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.hear = nn.Linear(len(FEATURES), 24)
        self.memory = nn.GRU(24, MEMORY)
        self.drop = nn.Dropout(dropout)
        self.say = nn.Linear(MEMORY, 1)

    def forward(self, features: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One beat of each of `batch` streams; see the class."""
        x = torch.relu(self.hear(features))
        _, new = self.memory(x[None], h[None])
        return self.say(new[0]), new[0]

    def sequences(self, features: Tensor, h: Tensor) -> Tensor:
        """(beats, batch, F) → (beats, batch) logits."""
        y, _ = self.memory(self.drop(torch.relu(self.hear(features))), h[None])
        logits: Tensor = self.say(self.drop(y))
        return logits[..., 0]

    def start(self, batch: int) -> Tensor:
        """Memory before the first beat."""
        return torch.zeros(batch, MEMORY)


def build() -> RhythmNetwork:
    """The rhythm network of the shipped bundle."""
    return RhythmNetwork()
