"""Headers and signal files, and what in them is hostile or damaged."""

from __future__ import annotations

import contextlib
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.errors import InputError, UnreadableInput, UnsupportedInput
from edge_dx.wfdb import Header, parse_header, physical, read_blocks, read_header, read_record

LINE = "100 2 360 650000\r\n100.dat 212 200 11 1024 995 -22131 0 MLII\n"


def header(text: str, path: Path = Path("x.hea")) -> Header:
    return parse_header(text, path)


def test_a_header_of_mit_bih() -> None:
    found = header("# first\n" + LINE + "100.dat 212 200 11 1024 1011 20052 0 V5\n# 69 M 1085\n")
    assert (found.name, found.rate_hz, found.samples) == ("100", 360.0, 650_000)
    assert found.leads == ("MLII", "V5")
    first = found.signals[0]
    assert (first.gain, first.baseline, first.units, first.calibrated) == (200.0, 1024, "mV", True)
    assert (first.resolution_bits, first.first, first.checksum) == (11, 995, 43_405)
    assert found.comments == ("first", "69 M 1085")
    assert found.index("V5") == 1


def test_gain_baseline_and_unit() -> None:
    found = header("a 1 200/360(0.5) 5 12:00:00 1/2/2000\n"
                   "a.dat 16+24 9151.77(-39219)/mV 16 0 7363 9757 0 lead I of two\n")  # fmt: skip
    signal = found.signals[0]
    assert (signal.gain, signal.baseline, signal.offset) == (9151.77, -39219, 24)
    assert signal.name == "lead I of two"
    assert found.rate_hz == 200


def test_what_is_left_out_has_its_default() -> None:
    found = header("a 1\na.dat 16\n")
    assert (found.rate_hz, found.samples) == (250.0, None)
    signal = found.signals[0]
    assert (signal.gain, signal.calibrated, signal.baseline, signal.units) == (200, False, 0, "mV")
    assert header("a 1 360 0\na.dat 16 0\n").signals[0].calibrated is False


@pytest.mark.parametrize("name", [
    "../../etc/passwd", "/etc/passwd", "a/b.dat", "..", ".hidden", "-", "~", "-rf", "a\\b.dat",
    "C:x.dat", "a.dat\x00", "http://x",
])  # fmt: skip
def test_a_header_does_not_choose_files_elsewhere(name: str) -> None:
    with pytest.raises(UnreadableInput, match=r"x\.hea: names the signal file"):
        header(f"x 1 360 10\n{name} 16 200\n")


@pytest.mark.parametrize(("text", "words"), [
    ("", "no record line"), ("\n# only words\n", "no record line"), ("a b c\n", "no record line"),
    ("a 2 360\na.dat 16\n", "2 signals are stated and 1 described"),
    ("a 999999999\n", "signals are stated"),
    ("a 1 -5\na.dat 16\n", "samples per second"), ("a 1 x\na.dat 16\n", "samples per second"),
    ("a 1 360 999999999999999\na.dat 16\n", "cannot be"),
    ("a 1 360\na.dat\n", "no signal line"), ("a 1 360\na.dat 16 x/y/z(\n", "a gain of"),
    ("a 1 360\na.dat 16 200 11 q\n", "no whole number"),
])  # fmt: skip
def test_damaged_headers(text: str, words: str) -> None:
    with pytest.raises(UnreadableInput, match=r"x\.hea: .*" + words):
        header(text)


@pytest.mark.parametrize(("text", "words"), [
    ("a/3 2 360 100\n", "3 segments"), ("a 1 360\na.dat 16x4\n", "several samples per frame"),
    ("a 1 360\na.dat 16:7\n", "skewed"),
])  # fmt: skip
def test_what_is_not_read_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(UnsupportedInput, match=words):
        header(text)


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(InputError):
        header(text)


def test_leads_are_chosen_by_name() -> None:
    found = header("a 3 360 1\na.dat 16 200 0 0 0 0 0 V5\na.dat 16 200 0 0 0 0 0 MLII\na.dat 16\n")
    assert found.index("MLII") == 1
    with pytest.raises(UnsupportedInput, match="no signals are called 'V1'; there are V5, MLII"):
        found.index("V1")


# --- signals ---


def packed(values: np.ndarray, form: int) -> bytes:
    """Samples as the format has them; written from its description, not from the reader."""
    flat = [int(value) for value in values.ravel()]
    if form == 212:
        flat += [0] * (len(flat) % 2)
        out = bytearray()
        for one, two in zip(flat[::2], flat[1::2], strict=True):
            one, two = one & 0xFFF, two & 0xFFF
            out += bytes([one & 0xFF, one >> 8 | (two >> 8) << 4, two & 0xFF])
        return bytes(out)[: (values.size * 3 + 1) // 2]
    if form == 80:
        return bytes(value + 128 for value in flat)
    if form == 160:
        return b"".join((value + 2**15).to_bytes(2, "little") for value in flat)
    size, order = {16: (2, "little"), 61: (2, "big"), 24: (3, "little"), 32: (4, "little")}[form]
    return b"".join(v.to_bytes(size, order, signed=True) for v in flat)  # type: ignore[arg-type]


LIMITS = {16: 2**15, 61: 2**15, 24: 2**23, 32: 2**31, 80: 2**7, 160: 2**15, 212: 2**11}


def record(directory: Path, values: np.ndarray, form: int, *, stated: int | None = None,
           checksum: bool = True, extra: str = "") -> Header:  # fmt: skip
    sums = (values.astype(np.int64).sum(axis=0) & 0xFFFF) if checksum else values[0] * 0
    count = len(values) if stated is None else stated
    lines = [f"r {values.shape[1]} 360 {count}"]
    lines += [f"r.dat {form}{extra} 100(7)/mV 12 0 0 {sums[k]} 0 lead{k}"
              for k in range(values.shape[1])]  # fmt: skip
    (directory / "r.hea").write_text("\n".join(lines) + "\n")
    (directory / "r.dat").write_bytes(packed(values, form))
    return read_header(directory / "r")


@pytest.mark.parametrize("form", LIMITS)
@pytest.mark.parametrize("leads", [1, 2, 3])
@pytest.mark.parametrize("samples", [1, 2, 7, 1000])
def test_each_format_in_blocks(tmp_path: Path, form: int, leads: int, samples: int) -> None:
    limit = LIMITS[form]
    dice = np.random.default_rng(form + leads + samples)
    values = dice.integers(-limit, limit, (samples, leads))
    values.flat[0], values.flat[-1] = -limit, limit - 1
    found = record(tmp_path, values, form)
    assert np.array_equal(read_record(found), values)
    for size in (2, 64, 998):
        blocks = list(read_blocks(found, samples=size))
        assert all(len(block) == size for block in blocks[:-1])
        assert np.array_equal(np.concatenate(blocks), values)
    wanted = [f"lead{k}" for k in reversed(range(leads))]
    assert np.array_equal(read_record(found, wanted), values[:, ::-1])
    units = physical(found, read_record(found))
    assert np.isnan(units.flat[0]) or values.size == 1
    assert units.flat[-1] == pytest.approx((values.flat[-1] - 7) / 100)


def test_a_length_that_is_not_stated_is_that_of_the_file(tmp_path: Path) -> None:
    values = np.arange(30).reshape(15, 2)
    assert np.array_equal(read_record(record(tmp_path, values, 16, stated=0)), values)


def test_bytes_before_the_samples_are_skipped(tmp_path: Path) -> None:
    values = np.arange(30).reshape(15, 2)
    found = record(tmp_path, values, 16, extra="+5")
    (tmp_path / "r.dat").write_bytes(b"12345" + packed(values, 16))
    assert np.array_equal(read_record(found), values)


def test_two_files_of_different_formats(tmp_path: Path) -> None:
    values = np.arange(20).reshape(10, 2)
    (tmp_path / "r.hea").write_text("r 2 100 10\na.dat 16 200 0 0 0 45 0 A\nb.dat 212 200\n")
    (tmp_path / "a.dat").write_bytes(packed(values[:, :1] // 2, 16))
    (tmp_path / "b.dat").write_bytes(packed(values[:, 1:], 212))
    found = read_record(read_header(tmp_path / "r.hea"))
    assert np.array_equal(found, np.stack([values[:, 0] // 2, values[:, 1]], axis=1))


def test_a_file_cut_short(tmp_path: Path) -> None:
    found = record(tmp_path, np.zeros((100, 2), int), 212)
    (tmp_path / "r.dat").write_bytes(b"\0" * 299)
    with pytest.raises(UnreadableInput, match=r"r\.dat: 299 bytes .* 300: it was cut short"):
        next(iter(read_blocks(found)))
    (tmp_path / "r.dat").unlink()
    with pytest.raises(UnreadableInput, match=r"r\.dat: No such file"):
        read_record(found)


def test_a_flipped_bit_breaks_the_checksum(tmp_path: Path) -> None:
    found = record(tmp_path, np.arange(200).reshape(100, 2), 16)
    data = bytearray((tmp_path / "r.dat").read_bytes())
    data[101] ^= 4
    (tmp_path / "r.dat").write_bytes(data)
    with pytest.raises(UnreadableInput, match="checksum"):
        read_record(found)


def test_other_formats_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "r.hea").write_text("r 1 360 10\nr.dat 310 200\n")
    (tmp_path / "r.dat").write_bytes(b"\0" * 100)
    with pytest.raises(UnsupportedInput, match="format 310 is not read"):
        read_record(read_header(tmp_path / "r"))


def test_a_header_without_signals(tmp_path: Path) -> None:
    (tmp_path / "r.hea").write_text("r 0 360 10\n")
    assert read_record(read_header(tmp_path / "r")).shape == (0, 0)


def test_long_records_take_no_more_memory(tmp_path: Path) -> None:
    peaks = []
    for samples in (20_000, 2_000_000):
        found = record(tmp_path, np.zeros((1, 2), int), 16, stated=samples, checksum=False)
        with (tmp_path / "r.dat").open("wb") as stream:
            stream.truncate(samples * 4)
        tracemalloc.start()
        assert sum(len(block) for block in read_blocks(found)) == samples
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 20_000


@pytest.mark.parametrize("text", [
    "a" * 10**6, "a/" + "1/" * 400_000, "a 1 " + "1" * 10**6, "a 1 " + "1." * 400_000,
    "a 1 360\na.dat 16 " + "1" * 10**6 + "x", "a 1 360\na.dat " + "1" * 10**6,
    "a 1 360\na.dat 16 200(" + "1" * 10**6, "a 1 360\n" + "a" * 10**6 + "! 16",
    "a 1 360\na.dat 16 1" + " 1" * 300_000 + " x",
])  # fmt: skip
def test_long_words_take_no_long_time(text: str) -> None:
    start = time.monotonic()
    with contextlib.suppress(InputError):
        header(text)
    assert time.monotonic() - start < 2
