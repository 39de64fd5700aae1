"""One call of a network, as the exported files compute it: rows or a beat in, memory in and out.

The modules of `export.networks` are written for training, on whole sequences. The same weights are
laid out here for a single hop or beat. The detector's convolutions become matrix products over
gathered rows: with five frames to a hop that takes a third of the time of the convolution kernels
in a batch of 64, and rows and channels never change places. Its caches are one tensor, so that a
device copies one array and not five.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from edge_dx.manifest import StatePair
from edge_dx.manifest import Tensor as TensorOf

FRAME = 3


class Step(nn.Module):
    """One call of a network.

    Attributes:
        takes: the inputs in the order of `forward`, states behind.
        gives: the outputs in their order, the answer first, states behind.
        pairs: which output is the next call's input.
        quantized: layers that int8 files hold in eight bits.
    """

    takes: tuple[TensorOf, ...]
    gives: tuple[TensorOf, ...]
    pairs: tuple[StatePair, ...]
    quantized: tuple[Any, ...] = ()

    def tell(
        self, takes: dict[str, tuple[int, ...]], answer: tuple[str, int | tuple[int, ...]],
        states: tuple[tuple[int, ...], ...],
    ) -> None:  # fmt: skip
        """Names the tensors; states are `state.<n>.in` and `.out`."""
        name, shape = answer
        shape = (shape,) if isinstance(shape, int) else shape
        self.pairs = tuple(
            StatePair(input=f"state.{n}.in", output=f"state.{n}.out", shape=own)
            for n, own in enumerate(states)
        )
        self.takes = (
            *(TensorOf(name=own, shape=size) for own, size in takes.items()),
            *(TensorOf(name=pair.input, shape=pair.shape) for pair in self.pairs),
        )
        self.gives = (
            TensorOf(name=name, shape=shape),
            *(TensorOf(name=pair.output, shape=pair.shape) for pair in self.pairs),
        )

    def examples(self, batch: int) -> tuple[Tensor, ...]:
        """Zeros of the inputs' shapes."""
        return tuple(torch.zeros(batch, *tensor.shape) for tensor in self.takes)


class DetectorStep(Step):
    """A hop of `export.networks.ecg.Detector`.

    `forward(signal, state)`: `signal` (batch, 1, hop), `state` (batch, all caches); gives `frames`
    (batch, frames, 3) and the new state. The state holds the stem's rows, then of each block its
    frames, oldest first, the channels of a frame together.

    Args:
        detector: with its weights.
        slices: cut rows out one by one, for engines that are slow to gather (XNNPACK has no
            kernel for it); the same arithmetic.
    """

    def __init__(self, detector: Any, *, slices: bool = False) -> None:
        super().__init__()
        shape = detector.shape
        self.hop, self.stride, self.slices = detector.hop_rows, detector.stride_rows, slices
        self.delay_rows, self.receptive_field_rows = (
            detector.delay_rows, detector.receptive_field_rows,
        )  # fmt: skip
        self.frames, self.width, self.first = self.hop // self.stride, shape.width, shape.first
        self.dilations, self.kernel = tuple(shape.dilations), shape.kernel
        self.past = tuple((shape.kernel - 1) * dilation for dilation in self.dilations)
        self.sizes = (self.first - self.stride, *(n * self.width for n in self.past))
        self.stem, self.lift = _product(detector.stem), _product(detector.lift)
        self.blocks = nn.ModuleList(_product(block) for block in detector.blocks)
        self.head = _product(detector.head)
        # The blocks hold nine tenths of the weights. What sees millivolts stays in float: a weak
        # lead would be a few levels of the strongest one's range, and four times as many beats
        # differ. So does the head, whose three numbers are the answer.
        self.quantized = tuple(self.blocks)
        rows = [t * self.stride + j for t in range(self.frames) for j in range(self.first)]
        self.register_buffer("stem_rows", torch.tensor(rows))
        for number, dilation in enumerate(self.dilations):
            taps = [t + k * dilation for t in range(self.frames) for k in range(self.kernel)]
            self.register_buffer(f"rows_{number}", torch.tensor(taps))
        self.tell(
            {"signal": (1, self.hop)}, ("frames", (self.frames, FRAME)), ((sum(self.sizes),),)
        )

    def forward(self, signal: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Frames and the new state; see the class."""
        caches = _cut(state, self.sizes) if self.slices else torch.split(state, list(self.sizes), 1)
        joined = torch.cat((caches[0], signal[:, 0]), dim=1)
        kept = [joined[:, self.hop :]]
        x = torch.relu(self.stem(self._rows_of_stem(joined)))
        x = torch.relu(self.lift(x))
        for number, block in enumerate(self.blocks):
            new = x.reshape(-1, self.frames * self.width)
            joined = torch.cat((caches[number + 1], new), dim=1)
            kept.append(joined[:, self.frames * self.width :])
            x = torch.relu(x + block(self._taps(number, joined)))
        frames = self.head(x).reshape(-1, self.frames, FRAME)
        # Not `kept` as a tuple of its own: one array is what a device keeps of a stream.
        return frames, torch.cat(kept, dim=1)

    def _rows_of_stem(self, joined: Tensor) -> Tensor:
        """(batch * frames, first)."""
        if not self.slices:
            return torch.index_select(joined, 1, self.get_buffer("stem_rows")).reshape(
                -1, self.first
            )
        starts = range(0, self.hop, self.stride)
        return torch.cat([joined[:, at : at + self.first] for at in starts], dim=1).reshape(
            -1, self.first
        )

    def _taps(self, number: int, joined: Tensor) -> Tensor:
        """(batch * frames, kernel * width)."""
        length = self.past[number] + self.frames
        rows = joined.reshape(-1, length, self.width)
        if not self.slices:
            found = torch.index_select(rows, 1, self.get_buffer(f"rows_{number}"))
        else:
            starts = range(0, self.past[number] + 1, self.dilations[number])
            found = torch.cat([rows[:, at : at + self.frames] for at in starts], dim=2)
        return found.reshape(-1, self.kernel * self.width)


class BeatStep(Step):
    """A beat of `export.networks.beats.BeatNetwork`, its scaling of features in the weights.

    `forward(window, features, state)`; gives `classes` (batch, labels) and the new state. The
    recurrent unit is torch's own, which the ONNX exporter keeps as one operator.
    """

    def __init__(self, network: Any, window: tuple[int, int], facts: int, labels: int) -> None:
        super().__init__()
        self.look, self.see, self.join, self.say = (
            network.look, network.see, network.join, network.say,
        )  # fmt: skip
        self.hear = _rescaled(network.hear, network.middle, network.spread)
        self.memory = _recurrent(network)
        # Features of unlike sizes share no scale; the recurrent unit and the answer stay in float.
        convolutions = [layer for layer in self.look if isinstance(layer, nn.Conv1d)]
        self.quantized = (*convolutions, self.see, self.join)
        self.tell({"window": window, "features": (facts,)}, ("classes", labels),
                  ((self.memory.hidden_size,),))  # fmt: skip

    def forward(self, window: Tensor, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the new state; see the class."""
        seen, told = torch.relu(self.see(self.look(window))), torch.relu(self.hear(features))
        x = torch.relu(self.join(torch.cat((seen, told), dim=1)))
        _, new = self.memory(x[None], state[None])
        return self.say(torch.cat((x, new[0]), dim=1)), new[0]


class RhythmStep(Step):
    """A beat of `export.networks.rhythm.RhythmNetwork`.

    `forward(features, state)`; gives `af` (batch, labels) and the new state. It is all recurrent
    unit, so its int8 files are float.
    """

    def __init__(self, network: Any, facts: int, labels: int) -> None:
        super().__init__()
        self.network = network
        self.tell({"features": (facts,)}, ("af", labels), ((network.memory.hidden_size,),))

    def forward(self, features: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and the new state; see the class."""
        logits, new = self.network(features, state)
        return logits, new


def _recurrent(network: Any) -> nn.GRU:
    """The recurrent unit; of a network that spells it as two products, the same as torch's own."""
    if not hasattr(network, "gate_in"):
        found: nn.GRU = network.memory
        return found
    made = nn.GRU(network.gate_in.in_features, network.gate_h.in_features)
    with torch.no_grad():
        for mine, theirs in (("ih", network.gate_in), ("hh", network.gate_h)):
            getattr(made, f"weight_{mine}_l0").copy_(theirs.weight)
            getattr(made, f"bias_{mine}_l0").copy_(theirs.bias)
    return made.eval().requires_grad_(False)


def _product(conv: nn.Conv1d) -> nn.Linear:
    """A convolution as a matrix product over its taps, the channels of a tap together."""
    out, channels, taps = conv.weight.shape
    made = nn.Linear(taps * channels, out)
    with torch.no_grad():
        made.weight.copy_(conv.weight.permute(0, 2, 1).reshape(out, -1))
        assert conv.bias is not None, "all our convolutions have one"
        made.bias.copy_(conv.bias)
    return made.eval().requires_grad_(False)


def _rescaled(linear: nn.Linear, middle: Tensor, spread: Tensor) -> nn.Linear:
    """`linear((x - middle) * spread)` as one product."""
    made = nn.Linear(linear.in_features, linear.out_features)
    weight = linear.weight.detach().double() * spread.double()
    bias = linear.bias.detach().double() - weight @ middle.double()
    with torch.no_grad():
        made.weight.copy_(weight)
        made.bias.copy_(bias)
    return made.eval().requires_grad_(False)


def _cut(state: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    found, at = [], 0
    for size in sizes:
        found.append(state[:, at : at + size])
        at += size
    return found
