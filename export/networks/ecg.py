"""The R-peak detector: causal convolutions whose memory stands in named tensors.

One frame of output for every 5 rows of input (50 per second). Every convolution looks back only;
what it needs of earlier rows is its cache, given in and given out, zeros at the beginning. So any
length that is a whole number of hops gives what the hops give one after another.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

HOP_ROWS = 25
STRIDE_ROWS = 5
DELAY_ROWS = 60
"""A frame says whether an R peak lay this many rows before it. After 240 ms a tall P wave can be
told from the QRS complex that follows it: with 45 rows the record with the tallest ones (108) had
twice as many false peaks."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the network.

    Attributes:
        first: rows that the first convolution sees at once.
        stem: its channels.
        width: channels of the blocks.
        kernel: frames that a block sees at once.
        dilations: of the blocks, in frames.
    """

    first: int = 25
    stem: int = 24
    width: int = 32
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 3, 9, 20)


class Detector(nn.Module):
    """Rows of one lead → frames.

    `forward(signal, *states)`: `signal` (batch, 1, rows) in millivolts, rows a multiple of 25;
    gives `frames` (batch, rows / 5, 3) and the new states. A frame holds the logit of "an R peak
    lies in this frame, `delay_rows` ago", its place in rows from the frame's middle, and the logit
    of "too noisy to tell classes".
    """

    hop_rows, stride_rows, delay_rows = HOP_ROWS, STRIDE_ROWS, DELAY_ROWS

    def __init__(self, shape: Shape = Shape()) -> None:
        super().__init__()
        self.shape = shape
        self.stem = nn.Conv1d(1, shape.stem, shape.first, stride=STRIDE_ROWS)
        self.lift = nn.Conv1d(shape.stem, shape.width, 1)
        self.blocks = nn.ModuleList(
            nn.Conv1d(shape.width, shape.width, shape.kernel, dilation=dilation)
            for dilation in shape.dilations
        )
        self.head = nn.Conv1d(shape.width, 3, 1)

    @property
    def state_shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of each state, without the batch dimension."""
        past = self.shape.kernel - 1
        blocks = ((self.shape.width, past * d) for d in self.shape.dilations)
        return ((1, self.shape.first - STRIDE_ROWS), *blocks)

    @property
    def receptive_field_rows(self) -> int:
        """Rows that a frame rests on."""
        past = sum((self.shape.kernel - 1) * d for d in self.shape.dilations)
        return past * STRIDE_ROWS + self.shape.first

    def start(self, batch: int) -> tuple[Tensor, ...]:
        """States before the first row."""
        return tuple(torch.zeros(batch, *shape) for shape in self.state_shapes)

    def forward(self, signal: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        """Frames and new states; see the class."""
        joined = torch.cat((states[0], signal), dim=2)
        kept = [joined[:, :, -states[0].shape[2] :]]
        x = torch.relu(self.lift(torch.relu(self.stem(joined))))
        for block, state in zip(self.blocks, states[1:], strict=True):
            joined = torch.cat((state, x), dim=2)
            kept.append(joined[:, :, -state.shape[2] :])
            x = torch.relu(x + block(joined))
        frames = self.head(x).transpose(1, 2)
        return (frames, *kept)


def build() -> Detector:
    """The detector of the shipped bundles."""
    return Detector()
