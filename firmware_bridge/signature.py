"""Whose firmware image it is: the signatures that MCUboot checks at boot, checked before sending.

An image's trailer holds entries of (type u16, length u16, value). Signed is what its digest is of:
header, body and protected entries. MCUboot 2.x, as its imgtool writes them:

    0x01  SHA-256 of the public key      RSA: PKCS#1 DER; others: SubjectPublicKeyInfo DER
    0x20  RSA-2048, PSS with SHA-256     0x23  the same with RSA-3072
    0x22  ECDSA on P-256 over SHA-256    DER, maybe with zeros behind it
    0x24  Ed25519 over the digest

Images without a SHA-256 digest (imgtool's `--pure`, `--sha 512`) are refused by `mcuboot.py`: a
device names its images by it.

The device's bootloader has the last word; what this saves is a transfer and a restart for nothing,
and an engineer who sends the wrong team's build.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firmware_bridge.errors import ImageRefused, MissingExtra
from firmware_bridge.mcuboot import Held, entries_of

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    Key = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey

_KEY_HASH, _RSA_2048, _ECDSA, _RSA_3072, _ED25519 = 0x01, 0x20, 0x22, 0x23, 0x24
_SIGNATURES = {_RSA_2048: "RSA-2048", _ECDSA: "ECDSA", _RSA_3072: "RSA-3072", _ED25519: "Ed25519"}
_MAX_KEY = 1 << 16


def read_key(path: str | Path) -> Key:
    """A public key from a PEM file; of a private one, its public half.

    Raises:
        ImageRefused: no such file, or no key that MCUboot knows.
        MissingExtra: the package cryptography is not installed.
    """
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
    except ImportError as error:
        raise MissingExtra("cryptography", "checking a firmware image's signature") from error
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MAX_KEY)
    except OSError as error:
        raise ImageRefused(f"{path}: cannot be read ({error.strerror})") from error
    key: Any
    try:
        if b"PRIVATE KEY" in data:
            key = serialization.load_pem_private_key(data, None).public_key()
        else:
            key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError) as error:  # TypeError: it wants a password
        raise ImageRefused(
            f"{path}: no key in PEM that can be read; give the public half "
            "(imgtool getpub -e pem -k KEY)"
        ) from error
    known = (
        isinstance(key, ed25519.Ed25519PublicKey)
        or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1))
        or (isinstance(key, rsa.RSAPublicKey) and key.key_size in (2048, 3072))
    )
    if not known:
        raise ImageRefused(
            f"{path}: a {type(key).__name__.strip('_')} of a kind that MCUboot does not take here: "
            "RSA of 2048 or 3072 bits, ECDSA on P-256, or Ed25519"
        )
    return key  # type: ignore[no-any-return]


def check(image: Held, key: Key) -> str:
    """Sees that the image was signed with this key; the name of the algorithm.

    Raises:
        ImageRefused: not signed, with another key, or changed since.
    """
    found = entries_of(image.data)
    signed = [(kind, value) for kind, value in found if kind in _SIGNATURES]
    if not signed:
        raise ImageRefused(
            "the image carries no signature; sign it (imgtool sign), or send it as it is with "
            "--unsigned where the device's bootloader takes that"
        )
    hashes = [value for kind, value in found if kind == _KEY_HASH]
    own = hashlib.sha256(_bytes_of(key)).digest()
    if hashes and own not in hashes:
        raise ImageRefused(
            f"the image was signed with another key (SHA-256 {hashes[0].hex()[:16]}…, yours is "
            f"{own.hex()[:16]}…); give the one that the device trusts"
        )
    for kind, value in signed:
        if _verified(image, kind, value, key):
            return _SIGNATURES[kind]
    names = " and ".join(sorted({_SIGNATURES[kind] for kind, _ in signed}))
    raise ImageRefused(f"the image's signature ({names}) is not this key's over these bytes")


def _verified(image: Held, kind: int, value: bytes, key: Key) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    signed = image.data[: image.signed_bytes]
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if kind != {2048: _RSA_2048, 3072: _RSA_3072}[key.key_size]:
                return False
            salted = padding.PSS(padding.MGF1(hashes.SHA256()), salt_length=32)
            key.verify(value, signed, salted, hashes.SHA256())
        elif isinstance(key, ed25519.Ed25519PublicKey):
            if kind != _ED25519:
                return False
            key.verify(value, image.digest)
        else:
            if kind != _ECDSA:
                return False
            key.verify(_der(value), signed, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def _der(value: bytes) -> bytes:
    """An ECDSA signature without the zeros that older imgtools put behind it."""
    if len(value) >= 2 and value[0] == 0x30 and value[1] < 0x80:
        length = 2 + value[1]
        if not any(value[length:]):
            return value[:length]
    return value


def _bytes_of(key: Key) -> bytes:
    """The key as imgtool takes its digest."""
    from cryptography.hazmat.primitives.asymmetric import rsa
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    form = PublicFormat.PKCS1 if isinstance(key, rsa.RSAPublicKey) else None
    return key.public_bytes(Encoding.DER, form or PublicFormat.SubjectPublicKeyInfo)
