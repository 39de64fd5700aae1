"""Contenders of `streams.py`: who turns 100 ms of signal into beats, and at what price.

Each contender is made for a number of streams and has `hop()`, which takes the next 100 ms of all
of them. The networks and the sizes of the calls are the same for all; what differs is everything
around the networks. `Floor` and `Torch` are given for nothing what they do not do: they filter,
find and remember nothing, and ask the beat network as often and with as many beats at once as
`Edge` did.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
import torch
from scipy import signal as scipy_signal

from edge_dx.ecg.stream import SignalStream
from edge_dx.manifest import Stream
from edge_dx.signal_model import SignalModel
from export.networks.beats import BeatNetwork
from export.networks.ecg import HOP_ROWS, Detector

Array = Any
Calls = list[list[tuple[str, int]]]
"""Of each hop: which networks were asked beside the detector, and for how many beats."""


class Contender(Protocol):
    """Takes 100 ms of all its streams."""

    def hop(self) -> None:
        """The next 100 ms."""


class Edge:
    """edge_dx, whole: filters, gaps, detector, decoder, beats, alarms, events, state.

    Attributes:
        calls: what it asked of the networks.
        events: how many it told.
    """

    def __init__(self, stream: SignalStream, signals: Sequence[Array], how: str) -> None:
        """Prepares.

        Args:
            stream: of one lead.
            signals: of each stream, (hops, samples, 1); they come round again.
            how: `step`, `step_many` or `step_joined`.
        """
        self._stream, self._signals, self._how, self._at = stream, signals, how, 0
        self._states = [stream.start() for _ in signals]
        if how == "step_joined":
            self._joined = stream.join(self._states)
        self.events = 0

    def hop(self) -> None:
        chunks = [signal[self._at % len(signal)] for signal in self._signals]
        self._at += 1
        if self._how == "step_joined":
            self._joined, told = self._stream.step_joined(self._joined, chunks)
        elif self._how == "step_many":
            self._states, told = self._stream.step_many(self._states, chunks)
        else:
            told = []
            for which, (state, chunk) in enumerate(zip(self._states, chunks, strict=True)):
                self._states[which], own = self._stream.step(state, chunk)
                told.append(own)
        self.events += sum(map(len, told))


def asked(model: SignalModel, edge: Edge, hops: int) -> Calls:
    """What `edge` asks of the networks over so many hops, hop by hop."""
    now: list[tuple[str, int]] = []
    for network in model.networks.values():
        network.tap = lambda name, answer: now.append((name, len(answer)))
    found: Calls = []
    for _ in range(hops):
        edge.hop()
        found.append([call for call in now if call[0] != "detector"])
        now.clear()
    for network in model.networks.values():
        network.tap = None
    return found


class Floor:
    """Bare onnxruntime sessions, asked as often and for as many; the detector's memory fed back."""

    def __init__(self, model: SignalModel, streams: int, calls: Calls) -> None:
        self._calls, self._at = calls, 0
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        files = {"detector": model.variant.file}
        files |= {name: network.file for name, network in (model.variant.networks or {}).items()}
        self._sessions = {
            name: ort.InferenceSession(
                model.bundle.members[file], options, providers=["CPUExecutionProvider"]
            )
            for name, file in files.items()
        }
        self._one = model.variant.batch == "one"
        self._feeds: dict[tuple[str, int], dict[str, Array]] = {}
        self._streams = streams
        stream = model.bundle.manifest.stream
        assert isinstance(stream, Stream), "a bundle of streams"
        self._pairs = [(pair.input, pair.output) for pair in stream.detector.states]

    def _run(self, name: str, rows: int) -> tuple[dict[str, Array], list[Array], list[str]]:
        session = self._sessions[name]
        feeds = self._feeds.get((name, rows))
        if feeds is None:
            feeds = self._feeds[name, rows] = {
                value.name: np.zeros(
                    [rows, *value.shape[1:]], np.int8 if "int8" in value.type else np.float32
                )
                for value in session.get_inputs()
            }
        return feeds, session.run(None, feeds), [value.name for value in session.get_outputs()]

    def hop(self) -> None:
        feeds, found, names = self._run("detector", self._streams)
        for given, taken in self._pairs:
            feeds[given] = found[names.index(taken)]
        for name, rows in self._calls[self._at % len(self._calls)]:
            self._run(name, rows)
        self._at += 1


class Torch:
    """The same networks in torch, eager, one thread, no gradients."""

    def __init__(self, streams: int, calls: Calls) -> None:
        torch.set_num_threads(1)
        self._detector, self._beats = Detector().eval(), BeatNetwork().eval()
        self._calls, self._at = calls, 0
        self._signal = torch.zeros(streams, 1, HOP_ROWS)
        self._states = self._detector.start(streams)

    @torch.inference_mode()
    def hop(self) -> None:
        _, *states = self._detector(self._signal, *self._states)
        self._states = tuple(states)
        for name, rows in self._calls[self._at % len(self._calls)]:
            if name != "rhythm":
                window = torch.zeros(rows, 2, 64)
                features = torch.zeros(rows, len(self._beats.middle))
                self._beats(window, features, self._beats.start(rows))
        self._at += 1


class Window:
    """As it is mostly written: every 100 ms the last seconds once more, each window by itself.

    Resampled, filtered forward and backward, the whole window through the detector in torch, peaks
    by `find_peaks`. Beats are not told apart, so it does less than the others; nor does it know of
    gaps, and what it says of a moment changes from window to window.
    """

    def __init__(self, signals: Sequence[Array], rate_hz: int, seconds: float) -> None:
        torch.set_num_threads(1)
        self._signals, self._rate_hz, self._at = signals, rate_hz, 0
        hops = round(seconds * 10)
        self._kept = [deque((signal[n % len(signal)] for n in range(hops)), hops)
                      for signal in signals]  # fmt: skip
        self._detector = Detector().eval()
        self._start = self._detector.start(1)
        self._sos = scipy_signal.butter(2, (0.5, 40.0), "bandpass", fs=250, output="sos")

    @torch.inference_mode()
    def hop(self) -> None:
        for kept, signal in zip(self._kept, self._signals, strict=True):
            kept.append(signal[self._at % len(signal)])
            raw = np.concatenate(kept)[:, 0]
            rows = scipy_signal.resample_poly(raw, 250, self._rate_hz)
            rows = scipy_signal.sosfiltfilt(self._sos, rows).astype(np.float32)
            rows = rows[len(rows) % HOP_ROWS :]
            frames = self._detector(torch.from_numpy(rows.copy())[None, None], *self._start)[0]
            scipy_signal.find_peaks(torch.sigmoid(frames[0, :, 0]).numpy(), 0.5, distance=10)
        self._at += 1
