"""DICOM waveforms (PS3.3 C.10.9): the rhythm strip of a 12-lead ECG or an ambulatory one."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from edge_dx.errors import MissingExtra, UnreadableInput, UnsupportedInput
from edge_dx.signal import Samples
from edge_dx.signal.timing import exact_rate
from edge_dx.sources.dicom import structure
from edge_dx.sources.dicom.header import reading
from edge_dx.sources.limits import MAX_FILE_BYTES
from edge_dx.sources.samples.source import BLOCK, MAX_LEADS, checked_leads, opened, to_mv

_TYPES = {"SS": "i2", "US": "u2", "SB": "i1", "UB": "u1", "SL": "i4", "UL": "u4"}
_SEQUENCES = {
    0x54000100: True,  # Waveform Sequence
    0x003A0200: True,  # Channel Definition
    0x003A0208: True,  # Channel Source
    0x003A0211: True,  # Channel Sensitivity Units
}
_SCPECG = {
    "5.6.3-9-1": "I", "5.6.3-9-2": "II", "5.6.3-9-3": "V1", "5.6.3-9-4": "V2", "5.6.3-9-5": "V3",
    "5.6.3-9-6": "V4", "5.6.3-9-7": "V5", "5.6.3-9-8": "V6", "5.6.3-9-61": "III",
    "5.6.3-9-62": "aVR", "5.6.3-9-63": "aVL", "5.6.3-9-64": "aVF",
}  # fmt: skip
_MDC = {"1": "I", "2": "II", "3": "V1", "4": "V2", "5": "V3", "6": "V4", "7": "V5", "8": "V6",
        "61": "III", "62": "aVR", "63": "aVL", "64": "aVF"}  # fmt: skip
"""CID 3001: SCP-ECG's numbers, and MDC's, which are 2: and the same number."""


class DicomWaveform:
    """One multiplex group of a DICOM waveform object.

    Attributes:
        name: the path.
        rate_hz: of the group.
        leads: by their codes, else as the file calls them.
        full_scale_mv: where all channels have one sensitivity.
    """

    def __init__(self, path: str | Path, leads: Sequence[str] | None = None) -> None:
        """Reads the file.

        Args:
            path: of the file.
            leads: which ones, by name; None for all.

        Raises:
            NotFound: no such file.
            MissingExtra: pydicom is not installed.
            UnreadableInput: damaged.
            UnsupportedInput: no original waveform with a unit of voltage, or no such lead.
        """
        try:
            import pydicom
        except ImportError as error:
            raise MissingExtra("pydicom", "dicom", f"{path}: reading DICOM") from error
        self.name = str(path)
        file, size = opened(Path(path))
        with file:
            if size > MAX_FILE_BYTES:
                raise UnsupportedInput(f"{self.name}: larger than {MAX_FILE_BYTES}", "too_large")
            raw = file.read()
        with reading(self.name, "not readable as a DICOM waveform"):
            held = io.BytesIO(raw)
            syntax, start, _ = structure.syntax_of(held)
            if syntax == structure.DEFLATED:
                raise UnsupportedInput("a deflated waveform is not read", "format")
            structure.walk(held, size, syntax, start, _SEQUENCES)
            held.seek(0)
            dataset = pydicom.dcmread(held, force=True)
            self._group(_rhythm(dataset), leads, dataset.original_encoding[1] is not False)

    def close(self) -> None:
        """The file is closed already."""

    def blocks(self) -> Iterator[Samples]:
        """The samples from the group's first one on."""
        for begin in range(0, len(self._digital), BLOCK):
            part = self._digital[begin : begin + BLOCK]
            mv = part * self._gain + self._zero
            if self._padding is not None:
                mv[part == self._padding] = np.nan
            yield Samples(mv, begin)

    def _group(self, group: Any, leads: Sequence[str] | None, little: bool) -> None:
        self.rate_hz = exact_rate(Fraction(str(group.SamplingFrequency)))
        channels, count = list(group.ChannelDefinitionSequence), int(group.NumberOfWaveformChannels)
        rows, kind = int(group.NumberOfWaveformSamples), str(group.WaveformSampleInterpretation)
        if kind not in _TYPES:
            raise UnsupportedInput(f"samples of kind {kind!r} are not read", "format")
        if not 1 <= count == len(channels) <= MAX_LEADS or rows < 1:
            raise UnreadableInput(f"{count} channels of {rows} samples", "unreadable")
        dtype = np.dtype(_TYPES[kind]).newbyteorder("<" if little else ">")
        raw = bytes(group.WaveformData)
        if len(raw) < rows * count * dtype.itemsize:
            raise UnreadableInput("the waveform is cut short", "unreadable")
        names = [_lead(channel) for channel in channels]
        wanted = list(leads) if leads is not None else names
        missing = [lead for lead in wanted if lead not in names]
        if missing:
            raise UnsupportedInput(f"has no lead {missing[0]!r}; there are {names}", "format")
        self.leads = checked_leads(self.name, wanted)
        places = [names.index(lead) for lead in self.leads]
        whole = np.frombuffer(raw, dtype, rows * count).reshape(rows, count)
        self._digital = whole[:, places]
        scaled = [_scale(channels[place]) for place in places]
        self._gain = np.array([gain for gain, _ in scaled])
        self._zero = np.array([zero for _, zero in scaled])
        padding = group.get("WaveformPaddingValue")
        self._padding = _padding(padding, dtype)
        bits = {int(channels[place].get("WaveformBitsStored") or 0) for place in places}
        one = len(set(scaled)) == 1 and len(bits) == 1 and not any(self._zero)
        stored = bits.pop() or 8 * dtype.itemsize
        top = 2.0 ** (stored - 1) * abs(self._gain[0])
        self.full_scale_mv: float | None = float(top) if one and kind in ("SS", "SB") else None


def _rhythm(dataset: Any) -> Any:
    """The first group that was measured; a median beat is derived from it."""
    groups = list(dataset.get("WaveformSequence") or ())
    for group in groups:
        if str(group.get("WaveformOriginality", "ORIGINAL")) == "ORIGINAL":
            return group
    raise UnsupportedInput("holds no original waveform", "format")


def _lead(channel: Any) -> str:
    source = channel.ChannelSourceSequence[0]
    value, scheme = str(source.get("CodeValue", "")), str(source.get("CodingSchemeDesignator", ""))
    if scheme == "MDC" and value.startswith("2:"):
        coded = _MDC.get(value[2:])
    else:
        coded = _SCPECG.get(value) if scheme == "SCPECG" else None
    return coded or str(source.get("CodeMeaning", "")).strip()


def _scale(channel: Any) -> tuple[float, float]:
    """Millivolts per stored unit, and of stored zero.

    PS3.3 C.10.9: the channel's baseline is what a stored 0 means, in the unit of the sensitivity,
    so it is added after the product.
    """
    if "ChannelSensitivity" not in channel:
        raise UnsupportedInput("a channel does not say what its numbers are worth", "format")
    unit = str(channel.ChannelSensitivityUnitsSequence[0].CodeValue)
    factor = to_mv("a channel", unit)
    gain = float(channel.ChannelSensitivity) * float(
        channel.get("ChannelSensitivityCorrectionFactor", 1.0) or 1.0
    )
    zero = float(channel.get("ChannelBaseline", 0.0) or 0.0)
    if not (np.isfinite(gain) and np.isfinite(zero) and gain):
        raise UnreadableInput("a channel's sensitivity is no number", "unreadable")
    return gain * factor, zero * factor


def _padding(told: Any, dtype: np.dtype[Any]) -> int | None:
    if told is None:
        return None
    if isinstance(told, bytes):
        return int(np.frombuffer(told, dtype, 1)[0]) if len(told) >= dtype.itemsize else None
    return int(told)
