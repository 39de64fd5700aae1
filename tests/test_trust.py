"""Signatures and trust stores."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge_dx import trust as trusting
from edge_dx.errors import BadSignature, TrustError, UntrustedKey
from edge_dx.trust import CONTEXT, TrustStore, check, generate_key_pair, sign
from tests import tiny

MANIFEST = b'{"name": "toy"}\n'


@pytest.fixture
def signature() -> bytes:
    return sign(MANIFEST, tiny.PRIVATE_KEY)


def test_a_good_signature_gives_the_signers_name(trust: TrustStore, signature: bytes) -> None:
    assert check(MANIFEST, signature, trust) == "tester"


def test_signing_is_deterministic_and_one_line(signature: bytes) -> None:
    assert sign(MANIFEST, tiny.PRIVATE_KEY) == signature
    assert len(signature) == 240  # as docs/bundle-format.md says
    assert signature.count(b"\n") == 1
    assert signature.endswith(b"\n")
    assert list(json.loads(signature)) == ["algorithm", "key", "signature"]


def test_the_signature_is_over_the_context_and_the_manifest(signature: bytes) -> None:
    parsed = json.loads(signature)
    public = serialization.load_pem_public_key(tiny.PUBLIC_KEY)
    public.verify(bytes.fromhex(parsed["signature"]), CONTEXT + MANIFEST)  # type: ignore[union-attr,call-arg]


def test_other_bytes_do_not_fit(trust: TrustStore, signature: bytes) -> None:
    with pytest.raises(BadSignature, match=r"does not fit manifest\.json.*get it again") as caught:
        check(MANIFEST + b" ", signature, trust)
    assert caught.value.__cause__ is not None


def test_a_strangers_key_is_named_by_its_fingerprint(trust: TrustStore) -> None:
    private, public = generate_key_pair()
    with pytest.raises(UntrustedKey) as caught:
        check(MANIFEST, sign(MANIFEST, private), trust)
    told = str(caught.value)
    key = serialization.load_pem_public_key(public).public_bytes_raw()  # type: ignore[union-attr]
    for part in ("SIGNATURE", trusting.fingerprint(key), "tester", trust.origin, ".pub file"):
        assert part in told


def test_a_bad_signature_by_a_stranger_is_bad_before_it_is_strange(trust: TrustStore) -> None:
    private, _ = generate_key_pair()
    with pytest.raises(BadSignature):
        check(MANIFEST + b" ", sign(MANIFEST, private), trust)


def _respelled(signature: bytes, how: str) -> bytes:
    parsed = json.loads(signature)
    compact = {"separators": (",", ":")}
    return {
        "upper-case hex": signature.replace(parsed["key"].encode(), parsed["key"].upper().encode()),
        "blank": signature.replace(b":", b": ", 1),
        "no newline": signature.rstrip(),
        "two newlines": signature + b"\n",
        "carriage return": signature.rstrip() + b"\r\n",
        "byte order mark": b"\xef\xbb\xbf" + signature,
        "other order": json.dumps(dict(reversed(parsed.items())), **compact).encode() + b"\n",
        "extra key": json.dumps({**parsed, "x": 1}, **compact).encode() + b"\n",
        "missing key": json.dumps({"algorithm": "ed25519", "key": parsed["key"]}).encode(),
        "other algorithm": signature.replace(b"ed25519", b"none512"),
        "short signature": signature.replace(parsed["signature"][-2:].encode() + b'"', b'"'),
        "not hex": signature.replace(parsed["key"].encode(), b"z" * 64),
        "blanks in hex": signature.replace(
            parsed["key"].encode(), b" " + parsed["key"].encode()[:-1]
        ),
        "a number": signature.replace(f'"{parsed["key"]}"'.encode(), b"1" * 66),
        "a list": b"[]",
        "a string": b'"ed25519"',
        "null": b"null",
        "empty": b"",
        "not UTF-8": b"\xff" * len(signature),
        "depth": b"[" * len(signature),
        "depth bomb": b"[" * 100_000,
        "large": b" " * 10_000_000 + signature,
    }[how]


@pytest.mark.parametrize(
    "how",
    ["upper-case hex", "blank", "no newline", "two newlines", "carriage return",
     "byte order mark", "other order", "extra key", "missing key", "other algorithm",
     "short signature", "not hex", "blanks in hex", "a number", "a list", "a string", "null",
     "empty", "not UTF-8", "depth", "depth bomb", "large"],
)  # fmt: skip
def test_a_signature_has_one_spelling(trust: TrustStore, signature: bytes, how: str) -> None:
    spoilt = _respelled(signature, how)
    assert spoilt != signature
    with pytest.raises(BadSignature, match=r"^SIGNATURE: .*sign the bundle again$"):
        check(MANIFEST, spoilt, trust)


# --- keys ---


def _pem(label: str, body: str) -> bytes:
    return f"-----BEGIN {label}-----\n{body}\n-----END {label}-----\n".encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        b"\xff\xfe",
        _pem("PUBLIC KEY", ""),
        _pem("PUBLIC KEY", "AAAA"),
        _pem("PUBLIC KEY", "not base64 !"),
        tiny.PRIVATE_KEY,
        tiny.PUBLIC_KEY.replace(b"MCow", b"MCox"),
        generate_private_key(SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "text", "binary", "nothing", "short", "junk", "private", "wrong prefix", "p256"],
)
def test_a_file_that_holds_no_ed25519_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "someone.pub").write_bytes(content)
    with pytest.raises(TrustError, match=r"someone\.pub: .*public key"):
        TrustStore.from_directory(tmp_path)


def test_the_hand_made_reader_agrees_with_the_library(tmp_path: Path) -> None:
    for number in range(5):
        key = Ed25519PrivateKey.generate().public_key()
        pem = key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        path = tmp_path / f"{number}.pub"
        path.write_bytes(pem.replace(b"\n", b"\r\n") if number % 2 else pem)
        assert trusting.read_public_key(path) == key.public_bytes_raw()


def test_only_an_ed25519_private_key_signs() -> None:
    other = generate_private_key(SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    with pytest.raises(TrustError, match="not an Ed25519 key; make one: edge-dx-export keygen"):
        sign(MANIFEST, other)
    locked = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    for bad in (b"", b"junk", tiny.PUBLIC_KEY, locked):
        with pytest.raises(TrustError, match="cannot read the private key"):
            sign(MANIFEST, bad)


# --- stores ---


def _operators(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    own, system = tmp_path / "own", tmp_path / "etc"
    monkeypatch.setattr(trusting, "operator_directories", lambda: (own, system))
    return own, system


def _with_key(directory: Path, name: str) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"{name}.pub").write_bytes(generate_key_pair()[1])
    return directory


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package's own store, with a development key of the test's own."""
    _with_key(tmp_path / "package" / "keys", "development")
    monkeypatch.setattr(trusting, "__file__", str(tmp_path / "package" / "trust.py"))
    return tmp_path / "package" / "keys"


def test_without_an_operators_store_the_development_key_alone_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Path
) -> None:
    _operators(tmp_path, monkeypatch)
    assert list(TrustStore.default().keys) == [trusting.DEVELOPMENT]


@pytest.mark.parametrize("which", [0, 1])
def test_an_operators_store_hides_the_development_key_even_when_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Path, which: int
) -> None:
    directory = _operators(tmp_path, monkeypatch)[which]
    directory.mkdir()
    assert not TrustStore.default().keys
    _with_key(directory, "clinic")
    assert list(TrustStore.default().keys) == ["clinic"]


def test_the_persons_store_hides_the_machines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Path
) -> None:
    own, system = _operators(tmp_path, monkeypatch)
    _with_key(system, "machine")
    _with_key(own, "person")
    assert list(TrustStore.default().keys) == ["person"]


def test_a_store_that_cannot_be_read_is_an_error_and_never_the_development_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Path
) -> None:
    own, _ = _operators(tmp_path, monkeypatch)
    own.symlink_to(tmp_path / "gone")
    with pytest.raises(TrustError, match="no trust store can be read there"):
        TrustStore.default()
    own.unlink()
    own.write_text("a file")
    with pytest.raises(TrustError, match="put public keys"):
        TrustStore.default()


def test_a_store_that_nobody_may_look_for_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shipped: Path
) -> None:
    _operators(tmp_path, monkeypatch)

    def locked(path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", locked)
    with pytest.raises(TrustError, match="cannot tell whether"):
        TrustStore.default()


def test_where_the_operators_stores_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/somewhere")
    own, system = trusting.operator_directories()
    assert own == Path("/somewhere/edge-dx/trust")
    assert system == Path("/etc/edge-dx/trust")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert trusting.operator_directories()[0] == Path("/home/somebody/.config/edge-dx/trust")


def test_a_store_that_is_not_there_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(TrustError, match=r"make the directory and put public keys \(\*\.pub\)"):
        TrustStore.from_directory(tmp_path / "nowhere")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_store_that_may_not_be_entered_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0)
    with pytest.raises(TrustError):
        TrustStore.from_directory(tmp_path / "locked")


def test_other_files_in_a_store_are_left_alone(tmp_path: Path) -> None:
    _with_key(tmp_path, "clinic")
    (tmp_path / "README").write_text("notes")
    assert list(TrustStore.from_directory(tmp_path).keys) == ["clinic"]
