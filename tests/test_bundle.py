"""The bundle's bytes: one golden sequence, and every way to spoil it is noticed.

The golden file is made again with `python -m tests.test_bundle`; a change of it is a change of the
format and needs a new schema version.
"""

from __future__ import annotations

import hashlib
import io
import os
import struct
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx import bundle as bundles
from edge_dx import manifest as contract
from edge_dx.bundle import archive_bytes, describe_members, open_bundle, write_bundle
from edge_dx.errors import (
    BadSignature,
    BundleError,
    BundleFormatError,
    BundleTooLarge,
    DigestMismatch,
    EdgeDxError,
    ManifestError,
    MissingMember,
    NotFound,
    UnsafeMember,
    Unsigned,
)
from edge_dx.trust import TrustStore, sign
from tests import tiny

GOLDEN = Path(__file__).parent / "data" / "golden.edx"
GOLDEN_SHA256 = "bd461fbd7c88b829cd0e75c5639f9a21766cbc2b307c8af4cd899f7d9756d01e"

# A key from a public seed: it signs nothing but this file.
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PRIVATE_PEM = _KEY.private_bytes(
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)
STORE = TrustStore({"golden": _KEY.public_key().public_bytes_raw()}, "the tests")
PAYLOAD = "variants/onnx-fp32.onnx"


def golden_parts() -> tiny.Parts:
    """A toy contract whose model file is a few bytes that no engine would read."""
    estimate = {"value": 0.9, "low": 0.85, "high": 0.95, "n": 20}
    manifest: dict[str, Any] = {
        "schema_version": 1,
        "name": "toy",
        "version": "1.2.3",
        "task": "classification",
        "title": "Toy",
        "intended_use": "tests",
        "licence": "Apache-2.0",
        "inputs": [
            {
                "kind": "image",
                "name": "image",
                "shape": [1, 8, 8],
                "dtype": "uint8",
                "unit": "grey",
                "prepare": [
                    {"step": "resize", "height": 8, "width": 8, "interpolation": "area"},
                    {"step": "intensity", "kind": "percentile", "low": 1, "high": 99},
                ],
            }
        ],
        "outputs": [
            {"kind": "scores", "name": "logits", "labels": ["finding"], "activation": "sigmoid"}
        ],
        "eligibility": {"modalities": ["DX"]},
        "variants": [
            {
                "name": "onnx-fp32",
                "file": PAYLOAD,
                "format": "onnx",
                "precision": "fp32",
                "engines": ["onnx"],
                "batch": "any",
                "tolerance": {"logits": 0.001},
                "operating_points": [
                    {
                        "name": "triage",
                        "output": "logits",
                        "label": "finding",
                        "threshold": 0.5,
                        "band": [0.49, 0.51],
                        "criterion": "tests",
                        "sensitivity": estimate,
                        "specificity": estimate,
                    }
                ],
                "fidelity": {
                    "reference": "none",
                    "compared_on": "none",
                    "n": 0,
                    "max_score_error": 0.0,
                    "decision_flips": 0,
                    "auc": None,
                },
            }
        ],
        "golden": [],
        "provenance": {
            "factory": "tests",
            "weights_sha256": "0" * 64,
            "recipe_sha256": "0" * 64,
            "tools": {},
            "calibration": None,
            "validation": None,
            "training": None,
        },
        "budget": {},
    }
    return tiny.Parts(manifest, {PAYLOAD: bytes(range(64)), "card.md": b"# Toy\n"})


def pieces(signed: bool = True) -> tuple[bytes, dict[str, bytes], bytes | None]:
    """Manifest bytes, other members and signature of the golden bundle."""
    parts = golden_parts()
    manifest = contract.encode(parts.built())
    return manifest, parts.members, sign(manifest, PRIVATE_PEM) if signed else None


def archive(
    members: list[tuple[str, bytes]], change: Callable[[zipfile.ZipInfo], None] | None = None
) -> bytes:
    """A zip archive as any other tool could write it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as out:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            if change:
                change(info)
            out.writestr(info, data)
    return buffer.getvalue()


def rearchived(extra: list[tuple[str, bytes]], **how: Any) -> bytes:
    manifest, members, signature = pieces()
    assert signature is not None
    wanted = [("manifest.json", manifest), ("SIGNATURE", signature), *sorted(members.items())]
    return archive([*wanted, *extra], **how)


def unsigned_with(tmp_path: Path, manifest: dict[str, Any], members: dict[str, bytes]) -> Path:
    path = tmp_path / "own.edx"
    path.write_bytes(archive_bytes(msgspec.json.encode(manifest), members))
    return path


@pytest.fixture
def put(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(raw: bytes) -> Path:
        path = tmp_path / "spoilt.edx"
        path.write_bytes(raw)
        return path

    return write


# --- the golden sequence ---


def test_the_same_parts_give_the_same_bytes(tmp_path: Path) -> None:
    parts = golden_parts()
    path = tmp_path / "again.edx"
    digest = write_bundle(path, parts.built(), parts.members, PRIVATE_PEM)
    raw = path.read_bytes()
    assert raw == GOLDEN.read_bytes()
    assert hashlib.sha256(raw).hexdigest() == GOLDEN_SHA256
    shuffled = dict(reversed(parts.members.items()))
    write_bundle(path, parts.built(), shuffled, PRIVATE_PEM)
    assert path.read_bytes() == raw
    opened = open_bundle(GOLDEN, trust=STORE)
    assert (opened.digest, opened.signer) == (digest, "golden")
    assert opened.members == parts.members


def test_the_archive_is_laid_out_as_the_document_says() -> None:
    raw = GOLDEN.read_bytes()
    at, names = 0, []
    while raw[at : at + 4] == b"PK\x03\x04":
        needed, flags, method, clock, date, _, packed, size, name, extra = struct.unpack(
            "<5H3I2H", raw[at + 4 : at + 30]
        )
        assert (needed, flags, method, clock, date, extra) == (20, 0, 0, 0, 33, 0)
        assert packed == size
        names.append(raw[at + 30 : at + 30 + name].decode("ascii"))
        at += 30 + name + size
    assert names == ["manifest.json", "SIGNATURE", "card.md", PAYLOAD]
    start = at
    while raw[at : at + 4] == b"PK\x01\x02":
        fields = struct.unpack("<6H3I5H2I", raw[at + 4 : at + 46])
        assert fields[0] == 0x0314  # Unix, version 2.0
        assert fields[14] == 0o100644 << 16
        assert fields[10:14] == (0, 0, 0, 0)  # extra, comment, disk, internal attributes
        at += 46 + fields[9]
    end = struct.unpack("<4s4H2IH", raw[at:])
    assert end == (b"PK\x05\x06", 0, 0, len(names), len(names), at - start, start, 0)


def test_a_directory_with_the_same_content_opens_alike(tmp_path: Path) -> None:
    with zipfile.ZipFile(GOLDEN) as out:
        out.extractall(tmp_path / "toy")
    opened = open_bundle(tmp_path / "toy", trust=STORE)
    assert opened.digest == open_bundle(GOLDEN, trust=STORE).digest


# --- every flipped byte ---


@pytest.mark.parametrize("mask", [0x01, 0x20, 0x80, 0xFF])
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_every_flipped_byte_is_noticed(
    monkeypatch: pytest.MonkeyPatch, signed: bool, mask: int
) -> None:
    manifest, members, signature = pieces(signed)
    raw = bytearray(archive_bytes(manifest, members, signature))
    monkeypatch.setattr(bundles, "_read_file", lambda path, most: bytes(raw))
    path = Path("flipped.edx")
    open_bundle(path, trust=STORE, allow_unsigned=not signed)  # whole, it opens
    missed = []
    for at in range(len(raw)):
        raw[at] ^= mask
        try:
            open_bundle(path, trust=STORE, allow_unsigned=True)
        except EdgeDxError as error:
            assert str(error)  # noqa: PT017 (no error is right too)
        else:
            missed.append(at)
        raw[at] ^= mask
    assert not missed


def test_a_changed_payload_names_the_member_and_both_digests(
    put: Callable[[bytes], Path],
) -> None:
    raw = bytearray(GOLDEN.read_bytes())
    at = raw.index(bytes(range(64)))
    raw[at] ^= 0xFF
    with pytest.raises(DigestMismatch) as caught:
        open_bundle(put(bytes(raw)), trust=STORE)
    told = str(caught.value)
    assert caught.value.member == PAYLOAD
    changed = bytes([0xFF, *range(1, 64)])
    for part in (PAYLOAD, hashlib.sha256(bytes(range(64))).hexdigest(),
                 hashlib.sha256(changed).hexdigest(), "copy the bundle again"):  # fmt: skip
        assert part in told


# --- archives that could harm ---


@pytest.mark.parametrize(
    "name",
    ["../escape", "/etc/passwd", "a/../b", "..", "a\\..\\b", "C:\\x", "C:/x", "a//b", "a/", ".hid",
     "a/.hid", "ünï", "a b", "a\nb", "x" * 201, "a/b/c/d/e", "~root", "-rf", "con:"],
)  # fmt: skip
def test_names_that_could_leave_the_bundle_are_refused(
    put: Callable[[bytes], Path], name: str
) -> None:
    with pytest.raises(UnsafeMember, match="could leave the bundle; names are plain") as caught:
        open_bundle(put(rearchived([(name, b"x")])), trust=STORE)
    assert caught.value.member == name


def test_a_name_cut_by_a_null_byte_is_refused(put: Callable[[bytes], Path]) -> None:
    raw = rearchived([("extra_x", b"x")]).replace(b"extra_x", b"extra\0x")
    with pytest.raises(EdgeDxError):
        open_bundle(put(raw), trust=STORE)


def test_a_member_that_stands_there_twice_is_refused(put: Callable[[bytes], Path]) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        raw = rearchived([(PAYLOAD, b"another")])
    with pytest.raises(UnsafeMember, match=r"stands there twice") as caught:
        open_bundle(put(raw), trust=STORE)
    assert caught.value.member == PAYLOAD


def _deflate(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_DEFLATED


def test_compressed_members_and_zip_bombs_are_refused_without_inflating(
    put: Callable[[bytes], Path],
) -> None:
    with pytest.raises(UnsafeMember, match=r"manifest.json is compressed.*edge-dx-export"):
        open_bundle(put(rearchived([], change=_deflate)), trust=STORE)
    bomb = archive([("manifest.json", bytes(50 * 2**20))], change=_deflate)
    started = time.monotonic()
    with pytest.raises(UnsafeMember, match="is compressed"):
        open_bundle(put(bomb), trust=STORE)
    assert time.monotonic() - started < 1


def test_the_encrypted_flag_is_refused(put: Callable[[bytes], Path]) -> None:
    raw = bytearray(GOLDEN.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 8] |= 1
    with pytest.raises(UnsafeMember, match=r"manifest.json is compressed or encrypted"):
        open_bundle(put(bytes(raw)), trust=STORE)


def test_a_size_that_lies_is_refused(put: Callable[[bytes], Path]) -> None:
    raw = bytearray(GOLDEN.read_bytes())
    at = raw.index(b"PK\x01\x02")
    raw[at + 20 : at + 28] = struct.pack("<II", 2**31, 2**31)
    with pytest.raises(BundleTooLarge, match=r"manifest.json claims more bytes than the file has"):
        open_bundle(put(bytes(raw)), trust=STORE)


def test_too_many_members_are_refused_before_they_are_listed(
    put: Callable[[bytes], Path],
) -> None:
    with pytest.raises(BundleTooLarge, match="more than 64"):
        open_bundle(put(archive([(f"m{i}", b"") for i in range(65)])), trust=STORE)
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", 0x0314, 20, 0, 0, 0, 33, 0, 0, 0,
                        1, 0, 0, 0, 0, 0, 0) + b"m"  # fmt: skip
    count = 400_000
    directory = entry * count
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 1, 1, len(directory), 0, 0)
    started = time.monotonic()
    with pytest.raises(BundleTooLarge, match="more than 64"):
        open_bundle(put(directory + end), trust=STORE)
    assert time.monotonic() - started < 0.5


def test_a_file_above_the_cap_is_refused(put: Callable[[bytes], Path]) -> None:
    with pytest.raises(BundleTooLarge, match="larger than 100 bytes; raise max_bytes"):
        open_bundle(put(GOLDEN.read_bytes()), trust=STORE, max_bytes=100)


# --- bytes added, taken away, moved ---


@pytest.mark.parametrize(
    "spoil",
    [lambda raw: raw + b"\0", lambda raw: b"\0" + raw, lambda raw: raw + raw, lambda raw: raw * 2,
     lambda raw: raw[:-2] + b"\x05\x00hello", lambda raw: b"#!/bin/sh\n" + raw],
    ids=["appended", "prepended", "twice", "again", "comment", "script"],
)  # fmt: skip
def test_bytes_outside_the_members_are_refused(
    put: Callable[[bytes], Path], spoil: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(BundleFormatError, match="again"):
        open_bundle(put(spoil(GOLDEN.read_bytes())), trust=STORE)


def test_truncation_at_every_length_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = GOLDEN.read_bytes()
    for length in range(len(raw)):
        monkeypatch.setattr(bundles, "_read_file", lambda path, most, n=length: raw[:n])
        with pytest.raises(BundleFormatError, match=r"may be truncated, copy it again"):
            open_bundle(Path("cut.edx"), trust=STORE)


def test_the_right_members_from_another_tool_are_not_canonical(
    put: Callable[[bytes], Path],
) -> None:
    def now(info: zipfile.ZipInfo) -> None:
        info.date_time = (2024, 2, 3, 4, 5, 6)

    with pytest.raises(BundleFormatError, match=r"byte \d+ is not what a bundle .* edge-dx-export"):
        open_bundle(put(rearchived([], change=now)), trust=STORE)
    manifest, members, signature = pieces()
    assert signature is not None
    late = archive([*sorted(members.items()), ("manifest.json", manifest),
                    ("SIGNATURE", signature)])  # fmt: skip
    with pytest.raises(BundleFormatError):
        open_bundle(put(late), trust=STORE)


def test_an_extra_member_is_refused(put: Callable[[bytes], Path]) -> None:
    with pytest.raises(BundleFormatError, match=r"zz.py is not in the manifest") as caught:
        open_bundle(put(rearchived([("zz.py", b"print()")])), trust=STORE)
    assert caught.value.member == "zz.py"


@pytest.mark.parametrize("name", ["manifest.json", "card.md", PAYLOAD])
def test_a_missing_member_is_named(put: Callable[[bytes], Path], name: str) -> None:
    manifest, members, signature = pieces()
    everything = {"manifest.json": manifest, "SIGNATURE": signature or b"", **members}
    del everything[name]
    with pytest.raises(MissingMember, match=name) as caught:
        open_bundle(put(archive(list(everything.items()))), trust=STORE)
    assert caught.value.member == name


def test_what_is_not_there_or_no_archive(tmp_path: Path, put: Callable[[bytes], Path]) -> None:
    with pytest.raises(NotFound, match="no such bundle"):
        open_bundle(tmp_path / "nothing.edx", trust=STORE)
    for name in ("with\0null.edx", "x" * 5000):
        with pytest.raises(EdgeDxError):
            open_bundle(name, trust=STORE)
    for raw in (b"", b"PK", b"hello", b"PK\x05\x06" + bytes(18)):
        with pytest.raises(EdgeDxError, match=r"spoilt\.edx"):
            open_bundle(put(raw), trust=STORE)


# --- signature and manifest reach the caller ---


def test_unsigned_is_refused_unless_the_caller_says_so(put: Callable[[bytes], Path]) -> None:
    manifest, members, _ = pieces()
    path = put(archive_bytes(manifest, members))
    with pytest.raises(Unsigned, match=r"edge-dx-export sign.*--allow-unsigned"):
        open_bundle(path, trust=STORE)
    assert open_bundle(path, trust=STORE, allow_unsigned=True).signer is None


def test_a_signature_that_is_there_must_be_good_even_where_unsigned_is_allowed(
    put: Callable[[bytes], Path],
) -> None:
    manifest, members, signature = pieces()
    assert signature is not None
    other = manifest.replace(b'"Toy"', b'"Boy"')
    for broken in (archive_bytes(manifest, members, b"{}"),
                   archive_bytes(other, members, signature)):  # fmt: skip
        with pytest.raises(BadSignature, match="SIGNATURE"):
            open_bundle(put(broken), trust=STORE, allow_unsigned=True)


def test_the_result_says_that_nobody_signed(tmp_path: Path) -> None:
    import json

    import edge_dx

    parts = tiny.parts()
    path = tmp_path / "unsigned.edx"
    write_bundle(path, parts.built(), parts.members)
    result = edge_dx.load(path, allow_unsigned=True)(tiny.film(1))
    assert result.signer is None
    assert "UNSIGNED" in repr(result)
    assert json.loads(result.to_json())["signature"] == "unsigned"


def test_nothing_of_the_manifest_is_read_before_its_signature(
    put: Callable[[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(raw: bytes) -> contract.Manifest:
        raise AssertionError("parsed before its signature was checked")

    manifest, members, signature = pieces()
    raw = archive_bytes(manifest.replace(b'"Toy"', b'"Boy"'), members, signature)
    monkeypatch.setattr(contract, "parse", never)
    with pytest.raises(BadSignature):
        open_bundle(put(raw), trust=STORE)


def test_a_manifest_that_breaks_its_vocabulary_names_the_member(tmp_path: Path) -> None:
    parts = golden_parts()
    manifest = msgspec.to_builtins(parts.built())
    manifest["surprise"] = 1
    with pytest.raises(ManifestError, match=r"manifest\.json: .*surprise.*docs/bundle-format"):
        open_bundle(unsigned_with(tmp_path, manifest, parts.members), allow_unsigned=True)


# --- directories ---


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    with zipfile.ZipFile(GOLDEN) as out:
        out.extractall(tmp_path / "toy")
    return tmp_path / "toy"


def test_links_and_special_files_in_a_directory_are_refused(directory: Path) -> None:
    (directory / "link.md").symlink_to("/etc/hostname")
    with pytest.raises(UnsafeMember, match=r"link\.md is a link") as caught:
        open_bundle(directory, trust=STORE)
    assert caught.value.member == "link.md"
    (directory / "link.md").unlink()
    (directory / "sub").symlink_to("/etc")
    with pytest.raises(UnsafeMember, match="sub is a link"):
        open_bundle(directory, trust=STORE)
    (directory / "sub").unlink()
    os.mkfifo(directory / "pipe")
    with pytest.raises(UnsafeMember, match="pipe is a link or a special file"):
        open_bundle(directory, trust=STORE)


def test_a_directory_is_held_to_the_same_rules(directory: Path) -> None:
    (directory / "extra.md").write_text("x")
    with pytest.raises(BundleFormatError, match=r"extra\.md is not in the manifest"):
        open_bundle(directory, trust=STORE)
    (directory / "extra.md").unlink()
    with pytest.raises(BundleTooLarge):
        open_bundle(directory, trust=STORE, max_bytes=1000)
    (directory / "card.md").write_bytes(b"# Boy\n")
    with pytest.raises(DigestMismatch, match=r"card\.md"):
        open_bundle(directory, trust=STORE)
    (directory / "card.md").unlink()
    with pytest.raises(MissingMember, match=r"card\.md"):
        open_bundle(directory, trust=STORE)
    (directory / ".hidden").write_text("x")
    with pytest.raises(UnsafeMember, match=r"\.hidden"):
        open_bundle(directory, trust=STORE)


# --- writing ---


@pytest.mark.parametrize("place", ["fsync", "chmod", "replace"])
def test_a_failure_while_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    path = tmp_path / "kept.edx"
    path.write_bytes(GOLDEN.read_bytes())
    parts = golden_parts()
    parts.members["card.md"] = b"# Another\n"

    def broken(*arguments: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(os if place == "fsync" else Path, place, broken)
    with pytest.raises(OSError, match="the disk is full"):
        write_bundle(path, parts.built(), parts.members, PRIVATE_PEM)
    monkeypatch.undo()
    assert path.read_bytes() == GOLDEN.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["kept.edx"]


def test_what_a_reader_would_refuse_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "never.edx"
    parts = golden_parts()
    built = parts.built()
    with pytest.raises(DigestMismatch):
        write_bundle(path, built, {**parts.members, "card.md": b"other"})
    with pytest.raises(MissingMember):
        write_bundle(path, built, {PAYLOAD: parts.members[PAYLOAD]})
    with pytest.raises(BundleFormatError, match="is not in the manifest"):
        write_bundle(path, built, {**parts.members, "more.md": b""})
    for name in ("../up", "manifest.json", "SIGNATURE"):
        spoilt = golden_parts()
        spoilt.members[name] = b"x"
        with pytest.raises(BundleError, match=name.replace(".", r"\.")):
            write_bundle(path, spoilt.built(), spoilt.members)
    many = golden_parts()
    many.members.update({f"m{i}": b"" for i in range(70)})
    with pytest.raises(BundleTooLarge, match="more than 64"):
        write_bundle(path, many.built(), many.members)
    assert not path.exists()


def test_members_are_described_in_order() -> None:
    table = describe_members({"b": b"2", "a": b"1"})
    assert list(table) == ["a", "b"]
    assert table["a"].sha256 == hashlib.sha256(b"1").hexdigest()


# --- whatever else ---


def _opens_or_says_why(raw: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_read_file", lambda path, most: raw)
    started = time.monotonic()
    try:
        open_bundle(Path("any.edx"), trust=STORE, allow_unsigned=True)
    except EdgeDxError as error:
        assert str(error)  # noqa: PT017 (no error is right too)
    else:
        manifest, members, signature = pieces()
        assert raw in (archive_bytes(manifest, members, signature),
                       archive_bytes(manifest, members))  # fmt: skip
    assert time.monotonic() - started < 2


@settings(max_examples=150, deadline=None, database=None)
@given(raw=st.binary(max_size=600), head=st.booleans(), tail=st.booleans())
def test_random_bytes_give_typed_errors(raw: bytes, head: bool, tail: bool) -> None:
    if head:
        raw = b"PK\x03\x04" + raw
    if tail:
        raw += b"PK\x05\x06" + bytes(18)
    with pytest.MonkeyPatch.context() as monkeypatch:
        _opens_or_says_why(raw, monkeypatch)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    raw = bytearray(GOLDEN.read_bytes())
    for _ in range(draw(st.integers(1, 6))):
        # The end holds the archive's bookkeeping, where most of a reader's trouble lies.
        near = max(0, len(raw) - 400)
        at = draw(st.one_of(st.integers(0, len(raw)), st.integers(near, len(raw))))
        size = draw(st.integers(0, 8))
        raw[at : at + size] = draw(
            st.one_of(
                st.binary(min_size=size, max_size=size),
                st.binary(max_size=12),
                st.just(b"\xff" * size),
            )
        )
    return bytes(raw)


@settings(max_examples=400, deadline=None, database=None)
@given(raw=_mutated())
def test_mutated_bundles_give_typed_errors(raw: bytes) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        _opens_or_says_why(raw, monkeypatch)


if __name__ == "__main__":
    _parts = golden_parts()
    write_bundle(GOLDEN, _parts.built(), _parts.members, PRIVATE_PEM)
    print(GOLDEN, hashlib.sha256(GOLDEN.read_bytes()).hexdigest())
