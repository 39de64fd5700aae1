"""The beat network: a window and named features of one beat, and what it remembers of the patient.

Small convolutions look at the beat beside the patient's dominant shape, a gated recurrent unit
follows the beats. Its memory is a named tensor, given in and given out, zeros at the beginning.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from edge_dx.ecg.beats import FEATURES, WINDOW
from edge_dx.ecg.events import LABELS


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Attributes:
        channels: of the three convolutions.
        seen: numbers that they come down to.
        told: numbers that the features come down to.
        joined: numbers for both together.
        memory: of the recurrent unit; 0 for none.
    """

    channels: tuple[int, int, int] = (16, 24, 24)
    seen: int = 32
    told: int = 32
    joined: int = 48
    memory: int = 32


class BeatNetwork(nn.Module):
    """One beat, or sequences of beats in training.

    `forward(window, features, h)`: `window` (batch, 2, 64), `features` (batch, F), `h`
    (batch, H); gives `classes` (batch, 5), logits in the order of `LABELS`, and the new `h`.
    """

    middle: Tensor
    spread: Tensor

    def __init__(self, shape: Shape = Shape(), dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        one, two, three = shape.channels
        self.look = nn.Sequential(
            nn.Conv1d(2, one, 7, stride=2), nn.ReLU(),
            nn.Conv1d(one, two, 5, stride=2), nn.ReLU(),
            nn.Conv1d(two, three, 3, stride=2), nn.ReLU(),
            nn.Flatten(),
        )  # fmt: skip
        length = ((WINDOW - 7) // 2 + 1 - 5) // 2 + 1
        length = (length - 3) // 2 + 1
        self.see = nn.Linear(three * length, shape.seen)
        self.hear = nn.Linear(len(FEATURES), shape.told)
        self.join = nn.Linear(shape.seen + shape.told, shape.joined)
        self.drop = nn.Dropout(dropout)
        self.gate_in = nn.Linear(shape.joined, 3 * shape.memory)
        self.gate_h = nn.Linear(shape.memory, 3 * shape.memory)
        self.say = nn.Linear(shape.joined + shape.memory, len(LABELS))
        # Features come as they are; what makes them alike in size is part of the network.
        self.register_buffer("middle", torch.zeros(len(FEATURES)))
        self.register_buffer("spread", torch.ones(len(FEATURES)))

    def taken_in(self, window: Tensor, features: Tensor) -> Tensor:
        """(batch, joined): all that a beat alone says."""
        seen = torch.relu(self.see(self.drop(self.look(window))))
        told = torch.relu(self.hear((features - self.middle) * self.spread))
        return torch.relu(self.join(self.drop(torch.cat((seen, told), dim=1))))

    def remembered(self, gates: Tensor, h: Tensor) -> Tensor:
        """The new memory; `gates` is `gate_in` of what was taken in."""
        own = self.gate_h(h)
        n = self.shape.memory
        turn = torch.sigmoid(gates[:, :n] + own[:, :n])
        keep = torch.sigmoid(gates[:, n : 2 * n] + own[:, n : 2 * n])
        fresh = torch.tanh(gates[:, 2 * n :] + turn * own[:, 2 * n :])
        return fresh + keep * (h - fresh)

    def forward(self, window: Tensor, features: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the new memory; see the class."""
        x = self.taken_in(window, features)
        new = self.remembered(self.gate_in(x), h)
        return self.say(torch.cat((x, new), dim=1)), new

    def sequences(self, windows: Tensor, features: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """(batch, beats, ...) at once: logits (batch, beats, 5) as `forward` gives them in turn."""
        batch, beats = windows.shape[:2]
        x = self.taken_in(windows.flatten(0, 1), features.flatten(0, 1))
        gates = self.gate_in(x).reshape(batch, beats, -1)
        states = []
        for beat in range(beats):
            h = self.remembered(gates[:, beat], h)
            states.append(h)
        joined = torch.cat((x.reshape(batch, beats, -1), torch.stack(states, dim=1)), dim=2)
        return self.say(self.drop(joined)), h

    def start(self, batch: int) -> Tensor:
        """Memory before the first beat."""
        return torch.zeros(batch, self.shape.memory)


def build() -> BeatNetwork:
    """The beat network of the shipped bundles."""
    return BeatNetwork()
