"""The same classes for what is no picture: arrays, case files, manifests and bundles."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edge_dx import bundle, load, sources
from edge_dx.errors import (
    BundleError,
    BundleFormatError,
    BundleTooLarge,
    EdgeDxError,
    ManifestError,
    UnreadableInput,
    UnsafeMember,
)
from edge_dx.manifest import parse
from edge_dx.sources import arrays, cases
from tests import several, tiny

INPUTS = several.parts().built().inputs


def array(tmp_path: Path, header: str, data: bytes = b"", version: bytes = b"\1\0") -> Path:
    """A `.npy` with any header."""
    raw = header.encode("latin-1")
    form = "<H" if version == b"\1\0" else "<I"
    path = tmp_path / "hostile.npy"
    path.write_bytes(b"\x93NUMPY" + version + struct.pack(form, len(raw)) + raw + data)
    return path


SHAPE = "{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"


@pytest.mark.parametrize(
    "header",
    [
        SHAPE % "(4294967296, 4294967296)",
        SHAPE % "(9223372036854775807,)",
        SHAPE % "(1000000000,)",
        SHAPE % "(-1,)",
        SHAPE % f"({'1, ' * 3000})",
        SHAPE % f"{'(' * 4000}1{')' * 4000}",
        SHAPE % f"({'-' * 9000}1,)",
        SHAPE % "__import__('os').system('true')",
        SHAPE.replace("<f4", "|O") % "(1,)",
        SHAPE.replace("<f4", "V2147483647") % "(1,)",
        SHAPE.replace("'<f4'", "[('a', '<f4')]") % "(1,)",
        "{" * 9000,
        "",
    ],
    ids=["2^64", "2^63", "4 GB", "negative", "3000 axes", "brackets", "signs", "a call", "objects",
         "a void", "a record", "dicts", "nothing"],
)  # fmt: skip
def test_an_array_that_lies_in_its_header_is_damage(tmp_path: Path, header: str) -> None:
    with pytest.raises(UnreadableInput, match=r"hostile\.npy: "):
        arrays.load(array(tmp_path, header, bytes(4)))


def test_an_array_header_longer_than_the_file_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "hostile.npy"
    path.write_bytes(b"\x93NUMPY\2\0" + struct.pack("<I", 2**32 - 1))
    with pytest.raises(UnreadableInput):
        arrays.load(path)


def test_an_array_of_pickles_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "hostile.npy"
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(UnreadableInput):
        arrays.load(path)


# --- case files ---


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 1_000_000,
        b'{"facts":' * 200_000,
        b'{"facts": {"age": ' + b"9" * 4_000_000 + b"}}",
        b'{"facts": {"age": 1e99999}}'[:-2],
        b'"' + b"\\ud800" * 1000,
        b"\xff\xfe" * 100,
        b"",
        b"null",
    ],
    ids=["lists", "objects", "digits", "cut", "text", "not UTF-8", "nothing", "null"],
)
def test_a_case_file_that_is_an_attack_is_damage(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "hostile.json"
    path.write_bytes(raw)
    with pytest.raises(UnreadableInput, match=r"hostile\.json: "):
        cases.read(path, INPUTS)


def test_a_case_file_of_many_megabytes_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "hostile.json"
    path.write_bytes(b" " * (cases.MAX_BYTES + 1))
    with pytest.raises(UnreadableInput) as caught:
        cases.read(path, INPUTS)
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../secret.png", "a/../../secret.png", "", "..", "a\0b"]
)
def test_a_case_file_names_no_file_outside_of_its_directory(tmp_path: Path, name: str) -> None:
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps({"picture": name}), "utf-8")
    with pytest.raises(EdgeDxError):  # a null byte is caught where the file is opened
        sources.read(cases.read(path, INPUTS)["picture"])


# --- manifests ---


@pytest.mark.parametrize(
    "raw",
    [
        b"[" * 1_000_000,
        b'{"schema_version":' * 100_000,
        b'{"schema_version": 1, "inputs": ' + b"[" * 500_000,
        b'{"schema_version": 1' + b"0" * 100_000 + b"}",
        b'{"schema_version": -1}',
        b'{"schema_version": 1, "name": "\xff"}',
        b"",
    ],
)
def test_a_manifest_that_is_an_attack_is_refused(raw: bytes) -> None:
    with pytest.raises(ManifestError):
        parse(raw)


# --- bundles ---


def archive(path: Path, members: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", how) as made:
        for name, data in members.items():
            made.writestr(zipfile.ZipInfo(name), data, how)
    return path


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = archive(
        tmp_path / "bomb.edx", {"manifest.json": bytes(300 * 2**20)}, zipfile.ZIP_DEFLATED
    )
    assert path.stat().st_size < 400_000
    with pytest.raises(UnsafeMember, match="compressed"):
        bundle.open_bundle(path, allow_unsigned=True)


@pytest.mark.parametrize(
    "name",
    ["../manifest.json", "/etc/passwd", "a/../../b", "..\\b", "C:\\b", ".hidden", "a/./b", "a//b",
     "a\nb", "a\0b", "ü", "a" * 300],
)  # fmt: skip
def test_a_member_that_could_leave_the_bundle_is_refused(tmp_path: Path, name: str) -> None:
    path = archive(tmp_path / "climbing.edx", {"manifest.json": b"{}", name: b"x"})
    raw = path.read_bytes()
    if "\0" in name:  # zipfile would cut it here
        path.write_bytes(raw.replace(b"a", b"a\0b", 1) if b"a\0b" not in raw else raw)
    with pytest.raises(BundleError):
        bundle.open_bundle(path, allow_unsigned=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["climbing.edx"]


def test_a_directory_with_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeMember):
        bundle.open_bundle(tmp_path, allow_unsigned=True)


def test_more_members_than_are_read_are_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / "many.edx", {f"m{i}": b"" for i in range(20_000)})
    with pytest.raises(BundleTooLarge):
        bundle.open_bundle(path, allow_unsigned=True)


@pytest.mark.parametrize("field", ["sizes", "offset"])
def test_a_member_that_lies_about_where_it_is_is_refused(tmp_path: Path, field: str) -> None:
    path = archive(tmp_path / "lying.edx", {"manifest.json": b"{}"})
    raw = bytearray(path.read_bytes())
    entry = raw.index(b"PK\x01\x02")
    if field == "sizes":
        struct.pack_into("<II", raw, entry + 20, 2**32 - 2, 2**32 - 2)
    else:
        struct.pack_into("<I", raw, entry + 42, 2**31)
    path.write_bytes(bytes(raw))
    with pytest.raises((BundleFormatError, BundleTooLarge)):
        bundle.open_bundle(path, allow_unsigned=True)


def test_a_bomb_within_a_bundle_is_refused(tmp_path: Path) -> None:
    """The golden arrays are a zip within the zip."""
    inner = archive(tmp_path / "golden", {"a.npy": bytes(100 * 2**20)}, zipfile.ZIP_DEFLATED)
    parts = tiny.parts()
    parts.members["golden.npz"] = inner.read_bytes()
    path = tmp_path / "nested.edx"
    bundle.write_bundle(path, parts.built(), parts.members)
    with pytest.raises(BundleFormatError, match="compressed or too large"):
        load(path, allow_unsigned=True)
