"""EDF against pyEDFlib, which writes and reads it; and headers that contradict themselves."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.errors import InputError, NotFound, UnreadableInput, UnsupportedInput
from edge_dx.sources.samples import Edf, open_samples


def field(value: Any, width: int) -> bytes:
    return str(value).encode("latin-1").ljust(width)[:width]


def edf(
    records: list[list[np.ndarray]],
    labels: tuple[str, ...] = ("ECG II",),
    *,
    unit: str = "mV",
    physical: tuple[Any, Any] = (-3.2768, 3.2767),
    digital: tuple[Any, Any] = (-32768, 32767),
    duration: Any = 1,
    kind: str = "",
    count: Any = None,
    onsets: list[str] | None = None,
) -> bytes:
    """An EDF file of records, each of one int16 array per signal."""
    signals = list(labels) + (["EDF Annotations"] if onsets else [])
    sizes = [len(part) for part in records[0]] + ([16] if onsets else [])
    n = len(signals)
    told = b"".join([
        field("0", 8), field("X", 80), field("X", 80), field("01.01.26", 8), field("10.00.00", 8),
        field(256 * (n + 1), 8), field(kind, 44),
        field(len(records) if count is None else count, 8), field(duration, 8), field(n, 4),
    ])  # fmt: skip
    columns: list[list[bytes]] = []
    for signal, size in zip(signals, sizes, strict=True):
        notes = signal == "EDF Annotations"
        low, high = (-1, 1) if notes else physical
        d_low, d_high = (-32768, 32767) if notes else digital
        columns.append([
            field(signal, 16), field("", 80), field("" if notes else unit, 8), field(low, 8),
            field(high, 8), field(d_low, 8), field(d_high, 8), field("", 80), field(size, 8),
            field("", 32),
        ])  # fmt: skip
    body = b"".join(columns[s][f] for f in range(10) for s in range(n))
    data = b""
    for number, record in enumerate(records):
        data += b"".join(part.astype("<i2").tobytes() for part in record)
        if onsets:
            data += onsets[number].encode("ascii").ljust(32, b"\0")
    return told + body + data


def ramp(begin: int, n: int = 250) -> np.ndarray:
    return np.arange(begin, begin + n, dtype=np.int16)


def written(tmp_path: Path, raw: bytes) -> Path:
    path = tmp_path / "x.edf"
    path.write_bytes(raw)
    return path


def joined(source: Any) -> tuple[np.ndarray, list[int]]:
    blocks = list(source.blocks())
    return np.concatenate([b.mv for b in blocks]), [b.start for b in blocks]


def test_it_reads_what_pyedflib_writes_and_as_pyedflib_reads(tmp_path: Path) -> None:
    pyedflib = pytest.importorskip("pyedflib", reason="pyEDFlib, the oracle, is not installed")
    path, rng = tmp_path / "oracle.edf", np.random.default_rng(0)
    leads = ["ECG I", "ECG II", "Resp", "ECG V1"]
    written_mv = [rng.normal(0, 0.5, n) for n in (2560, 2560, 320, 2560)]
    with pyedflib.EdfWriter(str(path), 4, file_type=pyedflib.FILETYPE_EDFPLUS) as writer:
        writer.setSignalHeaders([
            {"label": label, "dimension": unit, "sample_frequency": rate, "physical_min": low,
             "physical_max": -low, "digital_min": -32768, "digital_max": 32767,
             "transducer": "", "prefilter": ""}
            for label, unit, rate, low in zip(
                leads, ("mV", "uV", "mV", "mV"), (256, 256, 32, 256),
                (-5.0, -5000.0, -5.0, -2.5), strict=True)
        ])  # fmt: skip
        writer.writeSamples([written_mv[0], written_mv[1] * 1000, written_mv[2], written_mv[3]])
    source = open_samples(path)
    assert source.leads == ("I", "II", "V1")
    assert source.rate_hz == 256
    assert source.full_scale_mv is None  # they differ
    mv, _ = joined(source)
    source.close()
    with pyedflib.EdfReader(str(path)) as reader:
        oracle = [reader.readSignal(n) for n in (0, 1, 3)]
    np.testing.assert_allclose(mv[:, 0], oracle[0], atol=1e-9)
    np.testing.assert_allclose(mv[:, 1], oracle[1] / 1000, atol=1e-9)
    np.testing.assert_allclose(mv[:, 2], oracle[2], atol=1e-9)
    np.testing.assert_allclose(mv[:, 0], written_mv[0], rtol=0, atol=1.6e-4)  # a step of 16 bits


def test_leads_are_chosen_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, edf([[ramp(0), ramp(500)]], ("ECG II", "ECG V5")))
    for name in ("V5", "ECG V5"):
        source = Edf(path, [name])
        assert source.leads == ("V5",)
        assert joined(source)[0][0, 0] == pytest.approx(0.05)
    with pytest.raises(UnsupportedInput, match="no lead 'I'; there are ECG II, ECG V5"):
        Edf(path, ["I"])


def test_records_that_do_not_follow_each_other_are_jumps(tmp_path: Path) -> None:
    raw = edf(
        [[ramp(0)], [ramp(250)], [ramp(500)]], kind="EDF+D",
        onsets=["+10\x14\x14", "+11\x14\x14", "+15.5\x14\x14"],
    )  # fmt: skip
    mv, starts = joined(Edf(written(tmp_path, raw)))
    assert starts == [0, 250, 1375]
    assert mv[-1, 0] == pytest.approx(0.0749)


def test_full_scale_is_that_of_the_converter(tmp_path: Path) -> None:
    with closing(
        Edf(written(tmp_path, edf([[ramp(0)]], unit="uV", physical=(-5000, 5000))))
    ) as source:
        assert source.full_scale_mv == pytest.approx(5.0)


def test_an_unknown_number_of_records_is_counted(tmp_path: Path) -> None:
    mv, _ = joined(Edf(written(tmp_path, edf([[ramp(0)], [ramp(250)]], count=-1))))
    assert len(mv) == 500


def test_rates_need_not_be_whole(tmp_path: Path) -> None:
    with closing(Edf(written(tmp_path, edf([[ramp(0, 125)]], duration="0.4")))) as source:
        assert source.rate_hz == 312.5


def test_a_file_cut_short_gives_what_was_whole(tmp_path: Path) -> None:
    raw = edf([[ramp(0)], [ramp(250)], [ramp(500)]])
    blocks = Edf(written(tmp_path, raw[:-100])).blocks()
    assert [next(blocks).start, next(blocks).start] == [0, 250]
    with pytest.raises(UnreadableInput, match="cut short in record 3 of 3"):
        next(blocks)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        ({"digital": (5, 5)}, "empty range"),
        ({"digital": (-32768, 40000)}, "empty range"),
        ({"physical": (1, 1)}, "empty range"),
        ({"physical": ("nan", 1)}, "no number"),
        ({"physical": ("x", 1)}, "no number"),
        ({"unit": "mmHg"}, "no signal with a unit of voltage"),
        ({"duration": 0}, "data records"),
        ({"duration": "x"}, "no number"),
        ({"duration": "1/0"}, "no number"),
        ({"count": 0}, "data records"),
        ({"kind": "EDF+D"}, "EDF\\+D"),
        ({"duration": 1000}, "samples per second"),
        ({"kind": "EDF+D", "onsets": ["+x\x14\x14"]}, "begins"),
        ({"kind": "EDF+D", "onsets": ["+1e99\x14\x14"]}, "begins"),
    ],
)
def test_headers_that_cannot_be(tmp_path: Path, spoil: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        list(Edf(written(tmp_path, edf([[ramp(0)]], **spoil))).blocks())


def test_other_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedInput, match="BDF"):
        Edf(written(tmp_path, b"\xffBIOSEMI" + bytes(300)))
    with pytest.raises(UnreadableInput, match="not an EDF file"):
        Edf(written(tmp_path, b"hello"))
    with pytest.raises(NotFound):
        Edf(tmp_path / "none.edf")
    with pytest.raises(UnreadableInput, match="regular"):
        Edf(tmp_path)
    two = edf([[ramp(0), ramp(0, 100)]], ("ECG I", "ECG II"))
    with pytest.raises(UnsupportedInput, match="several rates"):
        Edf(written(tmp_path, two))
    same = edf([[ramp(0), ramp(0)]], ("ECG I", "ECG I"))
    with pytest.raises(UnsupportedInput, match="different names"):
        Edf(written(tmp_path, same))


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 768 + 532), st.binary(min_size=1, max_size=8), st.integers(0, 1400))
def test_damage_is_a_typed_error_or_a_signal(
    tmp_path_factory: pytest.TempPathFactory, at: int, what: bytes, end: int
) -> None:
    raw = bytearray(edf([[ramp(0)]], kind="EDF+D", onsets=["+0\x14\x14"]))
    raw[at : at + len(what)] = what
    path = tmp_path_factory.getbasetemp() / "damaged.edf"
    path.write_bytes(raw if end > 1300 else raw[:end])
    try:
        source = Edf(path)
    except InputError:
        return
    try:
        assert all(np.isfinite(block.mv).all() for block in source.blocks())
    except InputError:
        pass
    finally:
        source.close()
