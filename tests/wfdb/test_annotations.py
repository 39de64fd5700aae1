"""Annotation files: byte by byte, round trips, and what is damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_dx.errors import InputError, UnreadableInput, UnsupportedInput
from edge_dx.wfdb import (
    BEATS,
    CODES,
    SYMBOLS,
    Annotation,
    Annotations,
    annotations,
    decode_annotations,
    encode_annotations,
    read_annotations,
    write_annotations,
)


def words(*told: int) -> bytes:
    return struct.pack(f"<{len(told)}H", *told)


def test_a_file_byte_by_byte() -> None:
    # The beginning of an MIT-BIH record: `+` at 18 with the rhythm (N, a beat at 77, one at 370.
    data = words(28 << 10 | 18, 63 << 10 | 3) + b"(N\0\0" + words(1 << 10 | 59, 1 << 10 | 293, 0)
    found = decode_annotations(data)
    assert found.items == (Annotation(18, "+", note="(N"), Annotation(77, "N"),
                           Annotation(370, "N"))  # fmt: skip
    assert encode_annotations(found) == data.replace(
        words(63 << 10 | 3) + b"(N\0\0", words(63 << 10 | 2) + b"(N"
    )


def test_long_and_negative_intervals() -> None:
    items = (Annotation(70_000, "N"), Annotation(69_990, "V"), Annotation(2**33, "N"))
    data = encode_annotations(items)
    assert data[:8] == words(59 << 10, 1, 4464, 1 << 10)  # upper half first
    assert decode_annotations(data).items == items


def test_fields_that_stay_and_fields_that_do_not() -> None:
    items = (Annotation(1, "N", subtype=-1, channel=200, number=-3),
             Annotation(2, "N", channel=200, number=-3), Annotation(3, "N"))  # fmt: skip
    data = encode_annotations(items)
    assert decode_annotations(data).items == items
    assert len(data) == 2 * (1 + 3 + 1 + 1 + 2 + 1)  # told once, and once again to put them back


def test_the_rate_stands_in_a_note_and_is_believed() -> None:
    told = Annotations((Annotation(500, "N"),), rate_hz=250.0)
    found = decode_annotations(encode_annotations(told))
    assert found == told
    assert found.at(360).items[0].sample == 720
    assert found.at(250) == found
    assert Annotations(told.items).at(360).items == told.items


def test_an_interval_alone_is_no_annotation() -> None:
    assert decode_annotations(words(7, 1 << 10 | 5, 3, 0)).items == (Annotation(12, "N"),)


def test_symbols_that_the_writer_made_up() -> None:
    told = ("## annotation type definitions", "42 W my own kind", "## end of definitions")
    note = [Annotation(0, '"', 1, note=text) for text in told]
    found = decode_annotations(encode_annotations([*note, Annotation(9, "[42]"),
                                                   Annotation(10, "[43]")]))  # fmt: skip
    assert [item.symbol for item in found] == ["W", "[43]"]


def test_a_note_of_a_person_at_sample_0_stays() -> None:
    items = (Annotation(0, '"', note="electrode loose"), Annotation(5, "N"))
    assert decode_annotations(encode_annotations(items)).items == items


@pytest.mark.parametrize("data", [
    b"", b"\0", words(1 << 10 | 5), words(1 << 10 | 5)[:1],
    words(59 << 10, 1), words(59 << 10, 1, 2),
    words(61 << 10 | 1, 0),  # a subtype of nothing
    words(55 << 10 | 5, 0),  # no such code
    words(59 << 10, 0xFFFF, 0, 1 << 10, 0),  # before the beginning
    words(1 << 10 | 5, 63 << 10 | 200) + b"short",
    words(1 << 10 | 5, 63 << 10 | 900) + b"x" * 902,
])  # fmt: skip
def test_what_is_damaged_is_said_so(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "100.atr"
    path.write_bytes(data)
    with pytest.raises(UnreadableInput, match=r"100\.atr"):
        read_annotations(path)


def test_a_missing_and_a_huge_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnreadableInput, match="No such file"):
        read_annotations(tmp_path / "none.atr")
    monkeypatch.setattr(annotations, "MAX_BYTES", 10)
    (tmp_path / "huge.atr").write_bytes(b"\0" * 11)
    with pytest.raises(UnsupportedInput, match=r"huge\.atr"):
        read_annotations(tmp_path / "huge.atr")


@pytest.mark.parametrize("rate", ["0", "-1", "e", "1e99"])
def test_a_rate_that_is_none(rate: str) -> None:
    with pytest.raises(UnreadableInput, match="time resolution"):
        decode_annotations(
            encode_annotations([Annotation(0, '"', note=f"## time resolution: {rate}")])
        )


@pytest.mark.parametrize("item", [
    Annotation(5, "Z"), Annotation(-1, "N"), Annotation(5, "N", subtype=128),
    Annotation(5, "N", channel=256), Annotation(5, "N", number=-129),
    Annotation(5, "+", note="x" * 256), Annotation(5, "[1]"), Annotation(5, "[50]"),
])  # fmt: skip
def test_what_does_not_fit_is_not_written(item: Annotation) -> None:
    with pytest.raises(ValueError, match="Annotation"):
        encode_annotations([item])


def test_the_symbols_are_one_to_one() -> None:
    assert len(CODES) == len(SYMBOLS)
    assert set(SYMBOLS.values()) >= BEATS


items = st.builds(
    Annotation,
    sample=st.integers(0, 2**40),
    symbol=st.sampled_from([*SYMBOLS.values(), "[42]", "[49]"]),
    subtype=st.integers(-128, 127),
    channel=st.integers(0, 255),
    number=st.integers(-128, 127),
    note=st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",)), max_size=60),
)


@given(st.lists(items, max_size=30), st.one_of(st.none(), st.floats(1e-3, 1e9)))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory,
                                 told: list[Annotation], rate: float | None) -> None:  # fmt: skip
    told = [item for item in told if not (item.symbol == '"' and item.note.startswith("## "))]
    rate = float(f"{rate:.12g}") if rate is not None else None
    path = tmp_path_factory.mktemp("a") / "r.atr"
    write_annotations(path, Annotations(tuple(told), rate))
    assert read_annotations(path) == Annotations(tuple(told), rate)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        found = decode_annotations(data)
    except InputError:
        return
    assert len(found) <= len(data) // 2
