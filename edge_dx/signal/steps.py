"""The vocabulary of signal preparation: what may stand in the list of steps of a waveform.

All steps are causal: a row of the output rests on samples that have arrived, never on later ones.
Nothing here looks at a window as a whole (no z-score, no zero-phase filter), because then the
answer would depend on how the link cut the recording. `edge_dx.signal.path` is the one
implementation.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Hertz = Annotated[float, Meta(gt=0.0, le=5000.0)]
Order = Annotated[int, Meta(ge=1, le=8)]
Mains = Literal[50, 60]
"""Frequency of the power line where the device stands; it belongs to the place, not to a model."""


class SignalStep(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True,
                 tag_field="step"):  # fmt: skip
    """Base of all steps; the JSON key `step` names which one it is."""


class Resample(SignalStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="resample"):
    """To `to_hz` rows per second by a polyphase filter, from whatever rate the device has."""

    to_hz: Annotated[int, Meta(ge=20, le=2000)]


class Highpass(SignalStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="highpass"):
    """Butterworth high-pass against baseline wander.

    0.5 Hz moves the ST segment; what measures it needs 0.05 Hz (IEC 60601-2-27, AHA 2007).
    """

    cutoff_hz: Hertz
    order: Order = 2


class Bandpass(SignalStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="bandpass"):
    """Butterworth band-pass, `order` on either side."""

    low_hz: Hertz
    high_hz: Hertz
    order: Order = 2

    def __post_init__(self) -> None:
        """Refuse an empty band."""
        if not self.low_hz < self.high_hz:
            raise ValueError(f"bandpass: {self.low_hz} Hz must be below {self.high_hz} Hz")


class Notch(SignalStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="notch"):
    """Takes out the power line and its first harmonics, as far as the rate carries them.

    The frequency is not in the manifest: it is that of the region, and given when the steps are
    compiled. `quality` is centre frequency / width at -3 dB.
    """

    quality: Annotated[float, Meta(ge=1.0, le=100.0)] = 30.0
    harmonics: Annotated[int, Meta(ge=1, le=3)] = 1


class Scale(SignalStep, frozen=True, forbid_unknown_fields=True, kw_only=True, tag="scale"):
    """`x * factor`, fixed, then cut to ±`limit`. In front of it stand millivolts."""

    factor: Annotated[float, Meta(ge=-1e6, le=1e6)]
    limit: Annotated[float, Meta(gt=0.0, le=1e6)] | None = None


AnySignalStep = Resample | Highpass | Bandpass | Notch | Scale
