"""Bundles on disk: open, verify, write.

An `.edx` file is an uncompressed zip archive with exactly one allowed byte sequence for given
members: `manifest.json`, `SIGNATURE` where there is one, then the rest sorted by name; no time
stamps, no extra fields, no comments. The reader rebuilds that sequence and compares, so a flipped
byte anywhere, also in the archive's own bookkeeping, is noticed. A directory with the same content
works too, while developing.

Order of checks: size caps → names → signature → manifest → digests → canonical bytes. Nothing of
the manifest is used before its signature was checked.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_dx import manifest as contract
from edge_dx import trust as trusting
from edge_dx.errors import (
    BundleFormatError,
    BundleTooLarge,
    DigestMismatch,
    MissingMember,
    NotFound,
    UnsafeMember,
    Unsigned,
)

MANIFEST = "manifest.json"
SIGNATURE = "SIGNATURE"
SUFFIX = ".edx"
MAX_BYTES = 256 * 2**20
"""Largest archive or directory that is read, in bytes."""
MAX_MEMBERS = 64

# A component never starts with a dot, so `..`, hidden files and absolute paths cannot be spelled.
_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*){0,3}")
_MAX_NAME = 200
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """An opened and verified bundle.

    Attributes:
        path: where it was read from.
        manifest: its contract.
        members: bytes of every member that the manifest lists.
        digest: SHA-256 of `manifest.json`, which fixes all the other bytes; names the bundle.
        signer: name of the trusted key that signed it, or None where it is unsigned.
    """

    path: Path
    manifest: contract.Manifest
    members: Mapping[str, bytes]
    digest: str
    signer: str | None


def open_bundle(
    path: str | Path,
    *,
    trust: trusting.TrustStore | None = None,
    allow_unsigned: bool = False,
    max_bytes: int = MAX_BYTES,
) -> Bundle:
    """Opens a bundle and verifies every byte of it.

    Args:
        path: an `.edx` archive or a directory with the same content.
        trust: accepted keys; the device's default store where None.
        allow_unsigned: accept a bundle without a signature. A signature that is there must
            still be good and trusted.
        max_bytes: refuse anything larger.

    Raises:
        NotFound: nothing there.
        BundleError: any of its kinds, naming the member.
        TrustError: unsigned, badly signed, or signed by a stranger.
    """
    path = Path(path)
    try:
        is_directory = path.is_dir()
    except OSError as error:  # a name too long, a parent that may not be entered
        raise NotFound(f"{path}: no bundle can be reached there ({error.strerror})") from error
    if is_directory:
        members = _read_directory(path, max_bytes)
    else:
        raw = _read_file(path, max_bytes)
        members = _split_archive(raw, path)
    manifest_bytes = members.pop(MANIFEST, None)
    if manifest_bytes is None:
        raise MissingMember(f"{path}: has no {MANIFEST}, so it is not a bundle", MANIFEST)
    signature = members.pop(SIGNATURE, None)
    signer = None
    if signature is not None:
        signer = trusting.check(manifest_bytes, signature, trust or trusting.TrustStore.default())
    elif not allow_unsigned:
        raise Unsigned(
            f"{path}: has no {SIGNATURE}; sign it with edge-dx-export sign, or say that an "
            "unsigned bundle may run (allow_unsigned=True, --allow-unsigned)"
        )
    manifest = contract.parse(manifest_bytes)
    _check_members(manifest, members, path)
    if not is_directory:
        _check_canonical(raw, archive_bytes(manifest_bytes, members, signature), path)
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    return Bundle(path, manifest, members, digest, signer)


def describe_members(members: Mapping[str, bytes]) -> dict[str, contract.Member]:
    """The manifest's `members` table for these bytes, sorted by name."""
    return {
        name: contract.Member(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))
        for name, data in sorted(members.items())
    }


def write_bundle(
    path: str | Path,
    manifest: contract.Manifest,
    members: Mapping[str, bytes],
    private_key_pem: bytes | None = None,
) -> str:
    """Writes a bundle, replacing the file at once or not at all; returns the bundle's digest.

    What is written is what `open_bundle` accepts: the manifest is parsed back, and its member
    table must describe the members given.

    Args:
        path: the file to write.
        manifest: the contract, `members` filled by `describe_members`.
        members: bytes by member name.
        private_key_pem: key to sign with; unsigned where None.

    Raises:
        BundleError: the manifest and the members do not fit together.
    """
    path = Path(path)
    for name in (MANIFEST, SIGNATURE):
        if name in members:
            raise UnsafeMember(f"{path}: member {name} is made by the writer; leave it out", name)
    if len(members) + 2 > MAX_MEMBERS:
        raise BundleTooLarge(f"{path}: {len(members) + 2} members, more than {MAX_MEMBERS}")
    manifest_bytes = contract.encode(manifest)
    _check_members(contract.parse(manifest_bytes), members, path)
    signature = trusting.sign(manifest_bytes, private_key_pem) if private_key_pem else None
    raw = archive_bytes(manifest_bytes, members, signature)
    if len(raw) > MAX_BYTES:
        raise BundleTooLarge(f"{path}: would be larger than the {MAX_BYTES} bytes that are read")
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return hashlib.sha256(manifest_bytes).hexdigest()


def archive_bytes(
    manifest: bytes, members: Mapping[str, bytes], signature: bytes | None = None
) -> bytes:
    """The one byte sequence of an archive with these members."""
    ordered = [(MANIFEST, manifest)]
    if signature is not None:
        ordered.append((SIGNATURE, signature))
    ordered += sorted(members.items())
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in ordered:
            info = zipfile.ZipInfo(name, _EPOCH)
            info.create_system = 3  # the default depends on the platform
            info.external_attr = 0o100644 << 16
            archive.writestr(info, data)
    return buffer.getvalue()


def _read_file(path: Path, max_bytes: int) -> bytes:
    try:
        with path.open("rb") as file:
            # Reading "at most so much" makes room for that much, so ask for what is there.
            raw = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
    except FileNotFoundError as error:
        raise NotFound(f"{path}: no such bundle") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        told = getattr(error, "strerror", None) or error
        raise BundleFormatError(f"{path}: cannot be read ({told})") from error
    if len(raw) > max_bytes:
        raise BundleTooLarge(
            f"{path}: larger than {max_bytes} bytes; raise max_bytes if that is right"
        )
    return raw


def _split_archive(raw: bytes, path: Path) -> dict[str, bytes]:
    """Members of an archive by name, sliced by hand so that the digests speak before the CRCs."""
    _check_directory_size(raw, path)
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            infos = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, struct.error) as error:
        raise BundleFormatError(
            f"{path}: not an .edx archive ({error}); it may be truncated, copy it again"
        ) from error
    if len(infos) > MAX_MEMBERS:
        raise BundleTooLarge(f"{path}: {len(infos)} members, more than {MAX_MEMBERS}")
    members: dict[str, bytes] = {}
    for info in infos:
        name = info.filename
        _check_name(name, path)
        if name in members:
            raise UnsafeMember(f"{path}: member {name} stands there twice", name)
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            raise UnsafeMember(
                f"{path}: member {name} is compressed or encrypted; a bundle stores its members "
                "as they are, write it with edge-dx-export",
                name,
            )
        if info.file_size != info.compress_size or info.file_size > len(raw):
            raise BundleTooLarge(f"{path}: member {name} claims more bytes than the file has", name)
        # Local header: 30 bytes, of which the last four give the lengths of name and extra field.
        start = info.header_offset
        header = raw[start : start + 30]
        if len(header) < 30:
            raise BundleFormatError(f"{path}: member {name} lies outside the file", name)
        name_bytes, extra_bytes = struct.unpack("<HH", header[26:30])
        start += 30 + name_bytes + extra_bytes
        data = raw[start : start + info.file_size]
        if len(data) != info.file_size:
            raise BundleFormatError(f"{path}: member {name} is cut short; copy it again", name)
        members[name] = data
    return members


def _check_directory_size(raw: bytes, path: Path) -> None:
    """Refuses a directory of millions of entries before zipfile makes an object of each."""
    # The canonical archive has no comment, so its end record is the last 22 bytes, and is small
    # enough never to have the zip64 records that a reader would look for in front of it.
    end = raw[-22:]
    if len(end) < 22 or not end.startswith(b"PK\x05\x06") or raw[-42:-38] == b"PK\x06\x07":
        raise BundleFormatError(
            f"{path}: does not end like an .edx archive; it may be truncated, copy it again"
        )
    (directory_bytes,) = struct.unpack("<I", end[12:16])
    if directory_bytes > MAX_MEMBERS * (46 + _MAX_NAME):
        raise BundleTooLarge(f"{path}: lists more than {MAX_MEMBERS} members")


def _read_directory(path: Path, max_bytes: int) -> dict[str, bytes]:
    members: dict[str, bytes] = {}
    left = max_bytes
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_symlink() or not (file.is_file() or file.is_dir()):
            raise UnsafeMember(f"{path}: {name} is a link or a special file", name)
        if file.is_dir():
            continue
        _check_name(name, path)
        if len(members) == MAX_MEMBERS:
            raise BundleTooLarge(f"{path}: more than {MAX_MEMBERS} members")
        members[name] = _read_file(file, left)
        left -= len(members[name])
    return members


def _check_name(name: str, path: Path) -> None:
    if len(name) > _MAX_NAME or not _SAFE_NAME.fullmatch(name):
        raise UnsafeMember(
            f"{path}: member name {name[:80]!r} could leave the bundle; names are plain relative "
            "paths of letters, digits, '_', '-' and '.'",
            name,
        )


def _check_members(manifest: contract.Manifest, members: Mapping[str, bytes], path: Path) -> None:
    for name, stated in manifest.members.items():
        _check_name(name, path)
        data = members.get(name)
        if data is None:
            raise MissingMember(f"{path}: member {name} is missing; copy the bundle again", name)
        found = hashlib.sha256(data).hexdigest()
        if found != stated.sha256 or len(data) != stated.bytes:
            raise DigestMismatch(
                f"{path}: member {name} has SHA-256 {found} ({len(data)} bytes), the manifest "
                f"says {stated.sha256} ({stated.bytes} bytes); copy the bundle again",
                name,
            )
    for name in members:
        if name not in manifest.members:
            raise BundleFormatError(f"{path}: member {name} is not in the manifest", name)


def _check_canonical(raw: bytes, canonical: bytes, path: Path) -> None:
    if raw == canonical:
        return
    shorter = min(len(raw), len(canonical))
    at = next((i for i in range(shorter) if raw[i] != canonical[i]), shorter)
    raise BundleFormatError(
        f"{path}: byte {at} is not what a bundle with these members holds there (archive "
        "bookkeeping was changed, or bytes were added); copy it again or write it with "
        "edge-dx-export"
    )
