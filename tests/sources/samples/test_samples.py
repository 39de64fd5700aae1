"""Text, pipes, DICOM waveforms, playback and the made-up heart."""

from __future__ import annotations

import contextlib
import io
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.errors import InputError, MissingExtra, NotFound, UnreadableInput, UnsupportedInput
from edge_dx.signal import Gap, SignalPath
from edge_dx.sources.samples import Delimited, Pipe, Playback, Synthetic, open_samples
from edge_dx.sources.samples.pipe import from_path


def joined(source: Any) -> np.ndarray:
    return np.concatenate([block.mv for block in source.blocks()])


# --- text ---


def text(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "x.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_text_says_its_rate_and_units(tmp_path: Path) -> None:
    source = open_samples(text(tmp_path, "# rate_hz: 500\nI (mV),II [uV]\n0.5,250\n-1,\nnan,3\n"))
    assert (source.rate_hz, source.leads) == (500, ("I", "II"))
    np.testing.assert_array_equal(joined(source), [[0.5, 0.25], [-1, np.nan], [np.nan, 0.003]])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_an_index_that_jumps_is_a_gap(tmp_path: Path, delimiter: str) -> None:
    lines = ["index,II", *(f"{n},{n / 100}" for n in (*range(7, 40), *range(90, 100)))]
    path = text(tmp_path, "\n".join(lines).replace(",", delimiter))
    source = Delimited(path, rate_hz=250, unit="mV")
    blocks = list(source.blocks())
    assert [(b.start, len(b.mv)) for b in blocks] == [(7, 33), (90, 10)]
    signal_path, events = SignalPath([], rate_hz=source.rate_hz, leads=source.leads), []
    state = signal_path.start()
    for block in blocks:
        state, out = signal_path.step(state, block)
        events += out.events
    assert [e for e in events if isinstance(e, Gap)] == [Gap(40, 90, 50, False)]


def test_times_with_few_digits_are_no_gaps(tmp_path: Path) -> None:
    lines = ["time_s,II", *(f"{n / 360:.3f},{n}" for n in (*range(400), *range(500, 900)))]
    source = Delimited(text(tmp_path, "\n".join(lines)), rate_hz=360, unit="uV")
    assert [(b.start, len(b.mv)) for b in source.blocks()] == [(0, 400), (500, 400)]


def test_a_column_of_numbers_needs_no_name(tmp_path: Path) -> None:
    for content in ("1\n2\n\n-3.5\n", "# rate_hz: 250\n1\n2\n-3.5\n"):
        source = Delimited(text(tmp_path, content), rate_hz=250, unit="mV")
        assert source.leads == ("ECG",)
        (block,) = source.blocks()
        assert block.mv[:, 0].tolist() == [1, 2, -3.5]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("1,2\n3,4\n", "names its 2 columns"),
        ("time,II\n0,1\n", "'time' is no lead.*time_s"),
        ("II,Timestamp\n0,1\n", "'Timestamp' is no lead"),
    ],
)
def test_columns_that_could_mean_anything_are_refused(
    tmp_path: Path, content: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        Delimited(text(tmp_path, content), rate_hz=250, unit="mV")


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    source = Delimited(text(tmp_path, "V1 (mV),II (mV)\n1,2\n"), rate_hz=250, leads=["II"])
    assert joined(source).tolist() == [[2.0]]
    with pytest.raises(UnsupportedInput, match="no lead 'X'"):
        Delimited(text(tmp_path, "V1 (mV),II (mV)\n"), rate_hz=250, leads=["X"])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "names its columns"),
        ("# only\n# comments\n", "names its columns"),
        ("II (mV)\n1\n", "no rate"),
        ("# rate_hz: x\nII (mV)\n1\n", "no number"),
        ("# rate_hz: 1/0\nII (mV)\n1\n", "no number"),
        ("# rate_hz: 250\nII\n1\n", "says no unit"),
        ("# rate_hz: 250\nII (mmHg)\n1\n", "no voltage"),
        ("# rate_hz: 250\nII (mV),II (mV)\n1,2\n", "two columns"),
        ("# rate_hz: 250\nindex\n1\n", "1 to 64 leads"),
        ("# rate_hz: 250\nII (mV)\n1\n2\nx\n", "line 5: a field is no number"),
        ("# rate_hz: 250\nII (mV)\n1,2\n", "2 fields, not 1"),
        ("# rate_hz: 250\nindex,II (mV)\n5,1\n4,2\n", "comes after"),
        ("# rate_hz: 250\ntime_s,II (mV)\n-5,1\n", "no number"),
        ("# rate_hz: 250\ntime_s,II (mV)\ninf,1\n", "no number"),
        (b"# rate_hz: 250\nII (mV)\n\xff\xfe\n", "no text"),
        ("# rate_hz: 250\nII (mV)\n" + "1" * 20_000, "without an end"),
    ],
)
def test_text_that_is_no_signal(tmp_path: Path, content: str | bytes, told: str) -> None:
    with pytest.raises(InputError, match=told):
        list(Delimited(text(tmp_path, content)).blocks())


def test_lines_in_front_of_a_bad_one_are_given(tmp_path: Path) -> None:
    blocks = Delimited(text(tmp_path, "II (mV)\n1\n2\nx\n"), rate_hz=250).blocks()
    assert next(blocks).mv.tolist() == [[1.0], [2.0]]
    with pytest.raises(UnreadableInput):
        next(blocks)


def test_what_is_no_recording_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="no recording"):
        open_samples(text(tmp_path, bytes(range(256))))
    with pytest.raises(NotFound):
        open_samples(tmp_path / "none")


# --- pipes ---

HEADER = b'{"rate_hz": 250, "leads": ["I", "II"], "unit": "uV", "dtype": "int16", "start": 9}\n'


def test_a_pipe_gives_samples_as_they_come() -> None:
    reader, writer = os.pipe()
    numbers = np.arange(40, dtype="<i2")
    raw, got = numbers.tobytes(), []
    os.write(writer, HEADER + raw[:10])
    pipe = Pipe(os.fdopen(reader, "rb"), "test")

    def write() -> None:
        os.write(writer, raw[10:])
        os.close(writer)

    blocks = pipe.blocks()
    got.append(next(blocks))
    assert (got[0].start, got[0].mv.shape) == (9, (2, 2))
    thread = threading.Thread(target=write)
    thread.start()
    got += blocks
    thread.join()
    assert got[1].start == 11
    np.testing.assert_array_equal(np.concatenate([b.mv for b in got]),
                                  numbers.reshape(-1, 2) * 0.001)  # fmt: skip
    pipe.close()


def test_a_pipe_cut_off_within_a_sample() -> None:
    blocks = Pipe(io.BytesIO(HEADER + bytes(11))).blocks()
    assert len(next(blocks).mv) == 2
    with pytest.raises(UnreadableInput, match="in the middle of sample 11"):
        next(blocks)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"hello\n", b"[]\n", b'{"rate_hz": 250}\n', HEADER.replace(b"uV", b"mmHg"),
        HEADER.replace(b"250", b"NaN"), HEADER.replace(b"250", b"0"),
        HEADER.replace(b"250", b'"1/0"'), HEADER.replace(b"int16", b"object"),
        HEADER.replace(b'"I", ', b'"II", '), HEADER.replace(b'"start"', b'"begin"'),
        HEADER.replace(b": 9", b": -1"), b"[" * 65_536,
    ],
)  # fmt: skip
def test_first_lines_that_are_no_header(line: bytes) -> None:
    with pytest.raises(InputError):
        Pipe(io.BytesIO(line))


def test_a_pipe_kept_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    header = HEADER.replace(b"250", b'"1000/3"').replace(b"}", b', "full_scale": 5000}')
    path.write_bytes(header.replace(b"int16", b"float32") + np.array([[1, 2]], "<f4").tobytes())
    pipe = from_path(path)
    assert pipe.rate_hz * 3 == 1000
    assert pipe.full_scale_mv == 5.0
    assert joined(pipe).tolist() == [[0.001, 0.002]]
    pipe.close()


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_behind_a_header_are_samples(raw: bytes) -> None:
    pipe = Pipe(io.BytesIO(HEADER.replace(b"int16", b"float64") + raw))
    n = 0
    try:
        for block in pipe.blocks():
            n += len(block.mv)
    except UnreadableInput:
        assert len(raw) % 16
    assert n == len(raw) // 16


# --- DICOM ---


def test_a_dicom_rhythm_strip_is_as_pydicom_reads_it() -> None:
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    path = pydicom.data.get_testdata_file("waveform_ecg.dcm", download=False)
    source = open_samples(path)
    assert source.rate_hz == 1000
    assert source.leads == ("I", "II", "III", "aVR", "aVL", "aVF",
                            "V1", "V2", "V3", "V4", "V5", "V6")  # fmt: skip
    oracle = pydicom.dcmread(path).waveform_array(0) / 1000
    np.testing.assert_allclose(joined(source), oracle, atol=1e-12)
    chosen = open_samples(path, leads=["V5", "II"])
    np.testing.assert_allclose(joined(chosen), oracle[:, [10, 1]], atol=1e-12)
    with pytest.raises(UnsupportedInput, match="no lead 'V9'"):
        open_samples(path, leads=["V9"])


def test_damaged_dicom_waveforms_are_typed_errors(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    path = Path(pydicom.data.get_testdata_file("waveform_ecg.dcm", download=False))
    raw, damaged = path.read_bytes(), tmp_path / "x.dcm"
    rng = np.random.default_rng(0)
    for turn in range(120):
        spoilt = bytearray(raw)
        for at in rng.integers(128, 6000, 3):
            spoilt[int(at)] = int(rng.integers(0, 256))
        damaged.write_bytes(spoilt if turn % 3 else spoilt[: int(rng.integers(132, len(raw)))])
        with contextlib.suppress(InputError):
            list(open_samples(damaged).blocks())
    picture = pydicom.data.get_testdata_file("CT_small.dcm", download=False)
    with pytest.raises(UnsupportedInput, match="no original waveform"):
        open_samples(picture)


def test_without_pydicom_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    pydicom = pytest.importorskip("pydicom", reason="the extra dicom is not installed")
    path = pydicom.data.get_testdata_file("waveform_ecg.dcm", download=False)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"edge-dx\[dicom\]"):
        open_samples(path)


# --- playback ---


class Told:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


@pytest.mark.parametrize("speed", [1.0, 4.0])
def test_playback_is_as_fast_as_the_recording(speed: float) -> None:
    told, seen = Told(), []
    source = Synthetic(seconds=10, rate_hz=360)
    playback = Playback(source, speed=speed, clock_s=lambda: told.now_s, sleep=told.sleep)
    for block in playback.blocks():
        assert block.start is not None
        due = (block.start + len(block.mv)) / 360 / speed
        assert told.now_s - 100.0 == pytest.approx(due, abs=1e-9)
        seen.append(block.mv)
    assert (playback.rate_hz, playback.leads) == (source.rate_hz, source.leads)
    np.testing.assert_array_equal(np.concatenate(seen), joined(Synthetic(seconds=10, rate_hz=360)))


def test_a_slow_listener_is_not_waited_for() -> None:
    told = Told()
    blocks: Iterator[Any] = Playback(
        Synthetic(seconds=3), clock_s=lambda: told.now_s, sleep=told.sleep
    ).blocks()
    next(blocks)
    told.now_s += 2.0
    late_s = told.now_s
    for _ in range(10):
        next(blocks)
    assert told.now_s == late_s
    with pytest.raises(ValueError, match="speed"):
        Playback(Synthetic(), speed=0)


# --- the made-up heart ---


@pytest.mark.parametrize("rate", [125, 250, 360, 1000])
def test_its_beats_are_where_it_says(rate: int) -> None:
    source = Synthetic(rate_hz=rate, seconds=120, bpm=80, premature_every=9, noise_mv=0.0)
    mv, beats = joined(source), list(source.beats())
    assert 120 / 60 * 80 * 0.9 < len(beats) < 120 / 60 * 80 * 1.1
    assert 10 < sum(beat.ventricular for beat in beats) < 25
    for beat in beats[1:-1]:
        around = slice(beat.index - rate // 10, beat.index + rate // 10)
        found = int(np.abs(mv[around, 0] - np.median(mv[:, 0])).argmax()) + around.start
        assert abs(found - beat.index) <= max(1, round(0.012 * rate))


def test_it_is_the_same_every_time_and_another_by_another_seed() -> None:
    one, again = joined(Synthetic(seconds=9, seed=3)), joined(Synthetic(seconds=9, seed=3))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, joined(Synthetic(seconds=9, seed=4)))
    with pytest.raises(ValueError, match="bpm"):
        Synthetic(bpm=1)


# --- records ---


def test_a_record_of_physionet(tmp_path: Path) -> None:
    digital = np.arange(-600, 600, dtype="<i2").reshape(-1, 2)
    digital[7, 1] = -32768  # no sample
    (tmp_path / "r.dat").write_bytes(digital.tobytes())
    sums = [int(column.sum()) & 0xFFFF for column in digital.T.astype(int)]
    header = f"r 2 360 600\nr.dat 16 200/mV 11 0 -600 {sums[0]} 0 MLII\n"
    header += f"r.dat 16 0.2/uV 11 0 -599 {sums[1]} 0 V5\n"
    (tmp_path / "r.hea").write_text(header)
    source = open_samples(tmp_path / "r.hea", leads=["V5"])
    assert (source.rate_hz, source.leads) == (360, ("V5",))
    assert source.full_scale_mv == pytest.approx(5.12)
    mv = joined(source)
    assert np.flatnonzero(np.isnan(mv)).tolist() == [7]
    np.testing.assert_allclose(np.delete(mv[:, 0], 7), np.delete(digital[:, 1], 7) / 200)
    with pytest.raises(UnsupportedInput, match="'I'"):
        open_samples(tmp_path / "r.hea", leads=["I"])
