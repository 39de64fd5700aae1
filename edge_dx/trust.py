"""Who may sign: Ed25519 signatures over the manifest, and the keys this device accepts.

`SIGNATURE` is one line of JSON with exactly three keys in this order,
`{"algorithm":"ed25519","key":"<64 hex>","signature":"<128 hex>"}`, and a newline. What is signed
is `CONTEXT` followed by the bytes of `manifest.json`, which carries the digest of every other
member. A trust store is a directory of public keys as PEM files (`*.pub`, what
`openssl pkey -pubout` writes); the file's stem is the signer's name.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge_dx.errors import BadSignature, TrustError, UntrustedKey

CONTEXT = b"edge-dx bundle manifest v1\0"
"""Set before the signed bytes, so that a signature made for anything else never fits."""

DEVELOPMENT = "development"
"""Name of the key whose private half lies in the repository: it proves nothing about who signed."""

# SubjectPublicKeyInfo of an Ed25519 key (RFC 8410): this prefix and 32 bytes. Reading it by hand
# keeps the PEM machinery of `cryptography` out of every start.
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True)
class TrustStore:
    """The public keys that this device accepts.

    Attributes:
        keys: signer's name → 32 raw bytes of the public key.
        origin: where they came from, for messages.
    """

    keys: Mapping[str, bytes]
    origin: str

    @classmethod
    def from_directory(cls, directory: str | Path) -> TrustStore:
        """Reads every `*.pub` file of a directory.

        Raises:
            TrustError: the directory cannot be read, or a file holds no Ed25519 public key.
        """
        directory = Path(directory)
        try:
            next(directory.iterdir(), None)
        except (OSError, ValueError) as error:
            raise TrustError(
                f"{directory}: no trust store can be read there ({error}); make the directory "
                "and put public keys (*.pub) into it"
            ) from error
        keys = {path.stem: read_public_key(path) for path in sorted(directory.glob("*.pub"))}
        return cls(keys, str(directory))

    @classmethod
    def default(cls) -> TrustStore:
        """The operator's store where there is one, else the development key alone.

        The first that exists of `$XDG_CONFIG_HOME/edge-dx/trust` (or `~/.config/edge-dx/trust`)
        and `/etc/edge-dx/trust` counts. As soon as one exists, even empty, the development key is
        no longer accepted.

        Raises:
            TrustError: a store is there and cannot be read.
        """
        for directory in operator_directories():
            # A store that is a file, a dead link or not ours to enter is an error to mend, not a
            # reason to accept the development key.
            try:
                directory.lstat()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                raise TrustError(
                    f"{directory}: cannot tell whether there is a trust store ({error.strerror}); "
                    "let this user read it"
                ) from error
            return cls.from_directory(directory)
        return cls.from_directory(Path(__file__).parent / "keys")

    def name_of(self, key: bytes) -> str | None:
        """The signer's name for a raw public key, or None where it is not accepted."""
        for name, known in self.keys.items():
            if known == key:
                return name
        return None


def operator_directories() -> tuple[Path, Path]:
    """Where an operator's trust store may lie, in the order of precedence."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "edge-dx" / "trust", Path("/etc/edge-dx/trust")


def read_public_key(path: Path) -> bytes:
    """The 32 raw bytes of an Ed25519 public key in PEM.

    Raises:
        TrustError: not readable, or not such a key.
    """
    try:
        lines = path.read_text("ascii").split("\n")
        body = "".join(line.strip() for line in lines if not line.startswith("-----"))
        der = base64.b64decode(body, validate=True)
    except (OSError, UnicodeDecodeError, binascii.Error) as error:
        raise TrustError(f"{path}: cannot read a public key ({error})") from error
    if not der.startswith(_SPKI_PREFIX) or len(der) != len(_SPKI_PREFIX) + 32:
        raise TrustError(
            f"{path}: not an Ed25519 public key in PEM; make one with: edge-dx-export keygen NAME"
        )
    return der[len(_SPKI_PREFIX) :]


def fingerprint(key: bytes) -> str:
    """Sixteen hex digits that a person can compare over the telephone."""
    import hashlib

    return hashlib.sha256(key).hexdigest()[:16]


def check(manifest: bytes, signature: bytes, store: TrustStore) -> str:
    """Checks a signature and returns the signer's name in the store.

    Raises:
        BadSignature: malformed, or made for other bytes.
        UntrustedKey: good, but by a key that the store does not hold.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if len(signature) != _SIGNATURE_BYTES:  # known beforehand, so nothing large is ever parsed
        raise BadSignature(
            f"SIGNATURE: malformed ({len(signature)} bytes, a signature has {_SIGNATURE_BYTES}); "
            "sign the bundle again"
        )
    try:
        parsed = json.loads(signature)
        key, value = bytes.fromhex(parsed["key"]), bytes.fromhex(parsed["signature"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadSignature(f"SIGNATURE: malformed ({error}); sign the bundle again") from error
    # One byte sequence per signature: a flipped blank or letter case is a flipped byte too.
    if signature != encode_signature(key, value) or len(key) != 32 or len(value) != 64:
        raise BadSignature("SIGNATURE: not in its canonical form; sign the bundle again")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(value, CONTEXT + manifest)
    except InvalidSignature as error:
        raise BadSignature(
            "SIGNATURE: does not fit manifest.json; the bundle was changed after signing, "
            "get it again from its maker"
        ) from error
    name = store.name_of(key)
    if name is None:
        raise UntrustedKey(
            f"SIGNATURE: made by the key {fingerprint(key)}, which is not among the trusted keys "
            f"in {store.origin} ({', '.join(store.keys) or 'none'}); if you know who that is, put "
            "their .pub file into the trust store"
        )
    return name


def encode_signature(key: bytes, value: bytes) -> bytes:
    """The canonical bytes of `SIGNATURE`."""
    fields = {"algorithm": "ed25519", "key": key.hex(), "signature": value.hex()}
    return json.dumps(fields, separators=(",", ":")).encode() + b"\n"


_SIGNATURE_BYTES = len(encode_signature(bytes(32), bytes(64)))


def sign(manifest: bytes, private_key_pem: bytes) -> bytes:
    """Signs a manifest with a private key in PEM (PKCS 8, not encrypted); returns `SIGNATURE`.

    Raises:
        TrustError: not an Ed25519 private key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(private_key_pem, password=None)
    except (ValueError, TypeError) as error:
        raise TrustError(f"cannot read the private key: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise TrustError("the private key is not an Ed25519 key; make one: edge-dx-export keygen")
    return encode_signature(key.public_key().public_bytes_raw(), key.sign(CONTEXT + manifest))


def generate_key_pair() -> tuple[bytes, bytes]:
    """A new key pair as PEM: (private, PKCS 8; public, SubjectPublicKeyInfo)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private, public
