"""Messages of the stream and event channels, and CBOR from outside."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import cbor2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firmware_bridge import cbor
from firmware_bridge.errors import BadMessage, DeviceRefused
from firmware_bridge.messages import (
    Event,
    Flags,
    Format,
    Header,
    Piece,
    SampleBlock,
    decode_event,
    decode_stream,
    encode_event,
    encode_picture,
    encode_samples,
)
from firmware_bridge.smp import Group, Message, Op, Rc, check, decode
from tests.bridge.test_frames import vectors


def header(case: dict[str, Any], n: int) -> Header:
    return Header(
        case["stream"], Format(case.get("format", 16)), case["boot_id"], n, case["first_index"],
        case["t_dev_us"], case["dropped_total"], Flags(case.get("flags", 0)),
    )  # fmt: skip


@pytest.mark.parametrize("case", vectors("samples"), ids=lambda case: str(case["name"]))
def test_golden_samples(case: dict[str, Any]) -> None:
    payload = bytes.fromhex(case["payload"])
    found = decode_stream(payload)
    assert isinstance(found, SampleBlock)
    assert found.header == header(case, len(case["counts"]))
    assert found.counts.tolist() == case["counts"]
    assert found.counts.dtype == np.int32
    assert found.leads_off == case["leads_off"]
    if case["counts"]:
        again = encode_samples(found.header, np.array(case["counts"]), case["leads_off"])
        assert again == payload


@pytest.mark.parametrize("case", vectors("pictures"), ids=lambda case: str(case["name"]))
def test_golden_pieces_of_a_picture(case: dict[str, Any]) -> None:
    found = decode_stream(bytes.fromhex(case["payload"]))
    data = bytes.fromhex(case["data"])
    assert found == Piece(header(case, len(data)), 6, 4, (0.25, 0.5), case["offset"], data)


def test_a_picture_goes_out_in_the_golden_pieces() -> None:
    cases = vectors("pictures")
    pixels = np.arange(0, 240, 10, dtype=np.uint8).reshape(4, 6)
    found = encode_picture(header(cases[0], 0), pixels, (0.25, 0.5), 16)
    assert found == [bytes.fromhex(case["payload"]) for case in cases]


@pytest.mark.parametrize("case", vectors("events"), ids=lambda case: str(case["name"]))
def test_golden_events(case: dict[str, Any]) -> None:
    event = Event(case["kind"], case["boot_id"], case["number"], case["t_dev_us"], case["told"])
    payload = bytes.fromhex(case["payload"])
    assert decode_event(payload) == event
    assert encode_event(event) == payload


formats = st.sampled_from([(Format.I16, 15), (Format.I24, 23), (Format.I32, 31)])


@settings(deadline=None)
@given(formats, st.integers(1, 40), st.integers(1, 32), st.integers(0, 2**32 - 1), st.data())
def test_samples_go_both_ways(
    form: tuple[Format, int], n: int, leads: int, off: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    counts = rng.integers(-(2 ** form[1]), 2 ** form[1], (n, leads))
    flags = Flags.LEAD_OFF if off else Flags.NONE
    told = Header(1, form[0], 5, n, 2**32 - 1, 2**63, 9, flags)
    found = decode_stream(encode_samples(told, counts, off))
    assert isinstance(found, SampleBlock)
    assert (found.header, found.leads_off) == (told, off)
    np.testing.assert_array_equal(found.counts, counts)


def spoilt(**rest: Any) -> bytes:
    told = {"told": 0x11, "flags": 0, "form": 2, "n": 2, "body": bytes(6), **rest}
    raw = bytes([told["told"], told["flags"], 0, told["form"]]) + bytes(2)
    body: bytes = told["body"]
    return raw + int(told["n"]).to_bytes(2, "little") + bytes(16) + body


def test_the_unspoilt_one_is_read() -> None:
    assert isinstance(decode_stream(spoilt()), SampleBlock)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"", "24 bytes"),
        (spoilt()[:23], "24 bytes"),
        (spoilt(told=0x21), "version 2"),
        (spoilt(told=0x14), "unknown type 4"),
        (spoilt(told=0x12), "unknown type 2, format 2"),
        (spoilt(form=16), "unknown type 1, format 16"),
        (spoilt(form=7), "unknown format 7"),
        (spoilt(flags=0x04), "must know"),
        (spoilt(flags=0x01, body=b"\1\0"), "mask of leads"),
        (spoilt(body=bytes(7)), "no 2 samples"),
        (spoilt(body=b""), "no 2 samples"),
        (spoilt(n=0), "no 0 samples"),
        (spoilt(n=1, body=bytes(99)), "no 1 samples"),
        (spoilt(told=0x12, form=16), "a piece of 2 bytes"),
        (spoilt(told=0x12, form=16, n=0, body=bytes(16)), "a piece of 0 bytes"),
        (spoilt(told=0x12, form=16, n=1, body=bytes(17)), "lie outside"),
        (spoilt(told=0x12, form=16, n=1, body=b"\xff" * 4 + bytes(13)), "lie outside"),
    ],
)
def test_messages_that_break_the_specification(payload: bytes, why: str) -> None:
    with pytest.raises(BadMessage, match=why):
        decode_stream(payload)


def test_flags_that_may_be_ignored_are() -> None:
    found = decode_stream(spoilt(flags=0xF0))
    assert found.header.flags & Flags.OVERFLOW


@settings(deadline=None)
@given(st.binary(max_size=120))
def test_random_messages_raise_nothing_else(data: bytes) -> None:
    for read in (decode_stream, decode_event, decode):
        with contextlib.suppress(BadMessage):
            read(data)


def test_what_does_not_fit_is_not_sent() -> None:
    told = Header(0, Format.I16, 0, 1, 0, 0)
    for counts, off, why in (
        ([[40_000]], 0, "do not fit I16"),
        ([1], 0, "leads"),
        ([[1], [2]], 0, "as in the header"),
        ([[1]], 2, "belong together"),
    ):
        with pytest.raises(BadMessage, match=why):
            encode_samples(told, np.array(counts), off)
    with pytest.raises(BadMessage, match="an event tells"):
        encode_event(Event(1, 0, 0, 0, {"why": "x" * 600}))


# --- SMP ---


@pytest.mark.parametrize("case", vectors("smp"), ids=lambda case: str(case["name"]))
def test_golden_smp(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["message"])
    found = decode(raw)
    assert found == Message(
        Op(case["op"]), case["group"], case["command"], case["sequence"], case["body"]
    )
    if raw[8] != 0xBF:  # ours are of definite length, Zephyr's are not
        assert found.to_bytes() == raw


@settings(deadline=None)
@given(st.integers(0, 255), st.text(max_size=100))
def test_the_same_messages_as_the_package_smp(sequence: int, text: str) -> None:
    os_management = pytest.importorskip("smp.os_management", reason="an oracle: pip install smp")
    smp_header = pytest.importorskip("smp.header")
    theirs = os_management.EchoWriteRequest(d=text, sequence=sequence)
    ours = Message(Op.WRITE, Group.OS, 0, sequence, {"d": text})
    assert decode(bytes(theirs)) == ours
    assert os_management.EchoWriteRequest.loads(ours.to_bytes()).d == text
    answer = ours.answer({"r": text})
    assert os_management.EchoWriteResponse.loads(answer.to_bytes()).r == text
    assert smp_header.Header.loads(answer.to_bytes()[:8]).sequence == sequence


def test_an_answer_is_known_by_all_its_numbers() -> None:
    asked = Message(Op.WRITE, 0, 0, 7, {"d": "x"})
    answer = asked.answer({"r": "x"})
    assert answer.answers(asked)
    for other in (Message(Op.WRITE, 0, 0, 8), Message(Op.READ, 0, 0, 7), Message(Op.WRITE, 1, 0, 7),
                  Message(Op.WRITE, 0, 1, 7)):  # fmt: skip
        assert not answer.answers(other)


def test_errors_of_both_versions_are_told() -> None:
    for version in (0, 1):
        asked = Message(Op.WRITE, 1, 1, 7, version=version)
        with pytest.raises(DeviceRefused, match="the upload: no entry") as told:
            check(asked.refusal(Rc.NO_ENTRY), "the upload")
        assert (told.value.group, told.value.code) == (1, 5)
    own = Message(Op.WRITE_ANSWER, 1, 1, 7, {"err": {"group": 1, "rc": 77}, "rsn": "full"})
    with pytest.raises(DeviceRefused, match=r"a code of its own \(group 1, code 77\), 'full'"):
        check(own, "the upload")
    assert check(asked.answer({"rc": 0, "off": 3}), "x") == {"rc": 0, "off": 3}
    with pytest.raises(DeviceRefused):
        check(asked.answer({"err": {"rc": "x"}}), "x")


# --- CBOR ---

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=9)
    | st.binary(max_size=9) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner,
                                                                max_size=4),
    max_leaves=5,  # fewer than may lie in each other
)  # fmt: skip
maps = st.dictionaries(st.text(max_size=6), values, max_size=5)


@settings(deadline=None)
@given(maps)
def test_maps_go_both_ways(told: dict[str, Any]) -> None:
    assert cbor.loads(cbor.dumps(told), max_bytes=10_000) == told


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_random_cbor_gives_a_plain_map_or_an_error(data: bytes) -> None:
    for head in (b"", b"\xbf", b"\xa2\x61a"):
        try:
            found = cbor.loads(head + data, max_bytes=100)
        except BadMessage:
            continue
        assert all(isinstance(key, str) for key in found)
        # What was accepted is exactly what a plain decoder makes of it.
        again = cbor2.loads(head + data)
        assert found == again or "nan" in repr(found)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "cut off"),
        ("a161", "cut off"),
        ("a16161", "cut off"),
        ("bf6161", "cut off"),
        ("bf6161ff", "break where none"),
        ("a1ff", "break where none"),
        ("a0a0", "behind"),
        ("83010203", "no map"),
        ("a1016161", "text keys"),
        ("a16161616100", "behind"),
        ("a2616101616102", "no CBOR map"),
        ("a16161c0617a", "tag"),
        ("a16161d8236461", "tag"),
        ("a16161f7", "no map here has"),
        ("a16161f820", "no map here has"),
        ("a161611c", "reserved"),
        ("a16161" + "81" * 9 + "01", "deeper"),
        ("a16161" + "9f" * 400, "deeper"),
        ("a161619affffffff", "cut off"),
        ("a161615bffffffffffffffff", "cut off"),
        ("bbffffffffffffffff", "cut off"),
        ("a180616101", "container as a key"),
        ("bf80f6ff", "container as a key"),
        ("a161617f4161ff", "something else"),
        ("a1616162c328", "no CBOR map"),
        ("a16161" + "98ff" + "00" * 255, None),
        ("a16161991388" + "00" * 5000, "more than 4096"),
    ],
)
def test_cbor_that_is_refused(data: str, why: str | None) -> None:
    raw = bytes.fromhex(data)
    if why is None:
        assert len(cbor.loads(raw, max_bytes=6000)["a"]) == 255
        return
    with pytest.raises(BadMessage, match=why):
        cbor.loads(raw, max_bytes=6000)


def test_the_cap_holds_before_anything_is_looked_at() -> None:
    with pytest.raises(BadMessage, match="up to 10 are read"):
        cbor.loads(bytes(11), max_bytes=10)


def test_what_a_map_of_indefinite_length_may_hold() -> None:
    told = cbor.loads(bytes.fromhex("bf61617f61626163ff61629f0102ff6163fb7ff0000000000000ff"),
                      max_bytes=99)  # fmt: skip
    assert told == {"a": "bc", "b": [1, 2], "c": math.inf}
