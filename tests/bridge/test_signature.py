"""Signatures of firmware images, as MCUboot's own imgtool makes them."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware_bridge import Simulator
from firmware_bridge.__main__ import main
from firmware_bridge.errors import ImageRefused
from firmware_bridge.mcuboot import Held, firmware_image, read_image
from firmware_bridge.signature import check, read_key
from firmware_bridge.simulator import SimulatedDevice

pytest.importorskip("imgtool", reason="the oracle imgtool is not installed: make peers")
KINDS = {
    "rsa-2048": "RSA-2048",
    "rsa-3072": "RSA-3072",
    "ecdsa-p256": "ECDSA",
    "ed25519": "Ed25519",
}


def imgtool(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "imgtool.main", *words], check=True, capture_output=True, timeout=120
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each kind a key, its public half, another key, and a signed image."""
    folder = tmp_path_factory.mktemp("signed")
    (folder / "body.bin").write_bytes(random.Random(1).randbytes(3000))
    for kind in KINDS:
        for name in (kind, f"other-{kind}"):
            imgtool("keygen", "-k", str(folder / f"{name}.key"), "-t", kind)
            imgtool("getpub", "-e", "pem", "-k", str(folder / f"{name}.key"),
                    "-o", str(folder / f"{name}.pem"))  # fmt: skip
        sign(folder, kind, f"{kind}.bin")
    return folder


def sign(folder: Path, kind: str | None, out: str, *more: str) -> Path:
    key = ["-k", str(folder / f"{kind}.key")] if kind else []
    imgtool("sign", *key, "--version", "1.2.3+4", "--header-size", "0x200", "--pad-header",
            "--slot-size", "0x20000", "--align", "4", *more, str(folder / "body.bin"),
            str(folder / out))  # fmt: skip
    return folder / out


def image(path: Path) -> Held:
    return read_image(path.read_bytes())


@pytest.mark.parametrize("kind", KINDS)
def test_what_imgtool_signed_is_found_signed(made: Path, kind: str) -> None:
    held = image(made / f"{kind}.bin")
    assert held.version == "1.2.3.4"
    assert check(held, read_key(made / f"{kind}.pem")) == KINDS[kind]
    assert check(held, read_key(made / f"{kind}.key")) == KINDS[kind]  # its public half


@pytest.mark.parametrize("kind", KINDS)
def test_with_protected_entries_too(made: Path, kind: str) -> None:
    path = sign(made, kind, f"protected-{kind}.bin", "--security-counter", "7")
    assert check(image(path), read_key(made / f"{kind}.pem")) == KINDS[kind]


def test_an_image_with_the_whole_key_in_it(made: Path) -> None:
    whole = sign(made, "ecdsa-p256", "whole.bin", "--public-key-format", "full")
    assert check(image(whole), read_key(made / "ecdsa-p256.pem")) == "ECDSA"


def test_an_image_without_the_digest_that_names_it_is_refused(made: Path) -> None:
    for more in (["--pure"], ["--sha", "512"]):
        path = sign(made, "ed25519", "other.bin", *more)
        with pytest.raises(ImageRefused, match="no SHA-256 digest"):
            image(path)


@pytest.mark.parametrize("kind", KINDS)
def test_another_key_is_told_from_its_digest(made: Path, kind: str) -> None:
    with pytest.raises(ImageRefused, match="another key"):
        check(image(made / f"{kind}.bin"), read_key(made / f"other-{kind}.pem"))
    for other in KINDS:
        if other != kind:
            with pytest.raises(ImageRefused):
                check(image(made / f"{kind}.bin"), read_key(made / f"{other}.pem"))


def test_an_unsigned_image_says_so(made: Path) -> None:
    for path in (sign(made, None, "unsigned.bin"), made / "plain.bin"):
        if path.name == "plain.bin":
            path.write_bytes(firmware_image(b"x" * 50, (1, 0, 0, 0)))
        with pytest.raises(ImageRefused, match=r"carries no signature.*--unsigned"):
            check(image(path), read_key(made / "ed25519.pem"))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(kind=st.sampled_from(sorted(KINDS)), data=st.data())
def test_every_changed_byte_is_found(made: Path, kind: str, data: st.DataObject) -> None:
    good = (made / f"{kind}.bin").read_bytes()
    end = read_image(good).signed_bytes
    at = data.draw(st.integers(0, end - 1) | st.integers(end, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    key = read_key(made / f"{kind}.pem")
    try:
        held = read_image(bytes(bad))
        check(held, key)
    except ImageRefused:
        return
    # What is signed is as it was; behind it, only what means nothing may differ.
    assert at >= end
    assert bytes(bad[:end]) == good[:end]
    assert held.digest == read_image(good).digest


def test_a_new_digest_does_not_make_a_changed_image_good(made: Path) -> None:
    """Who changes the body and writes the right digest beside it has no signature for it."""
    for kind in KINDS:
        good = (made / f"{kind}.bin").read_bytes()
        held = read_image(good)
        body = bytearray(good[: held.signed_bytes])
        body[600] ^= 1
        bad = bytes(body) + good[held.signed_bytes :].replace(
            held.digest, hashlib.sha256(body).digest()
        )
        with pytest.raises(ImageRefused, match="is not this key's"):
            check(read_image(bad), read_key(made / f"{kind}.pem"))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10_000))
def test_a_truncated_image_is_refused(made: Path, length: int) -> None:
    good = (made / "ecdsa-p256.bin").read_bytes()
    if length < len(good):
        with pytest.raises(ImageRefused):
            check(read_image(good[:length]), read_key(made / "ecdsa-p256.pem"))


@pytest.mark.parametrize(
    ("text", "why"),
    [(b"", "no key in PEM"), (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
     "no key in PEM"), (b"\xff" * 100, "no key in PEM")],
)  # fmt: skip
def test_what_is_no_key_is_refused(tmp_path: Path, text: bytes, why: str) -> None:
    (tmp_path / "key.pem").write_bytes(text)
    with pytest.raises(ImageRefused, match=why):
        read_key(tmp_path / "key.pem")
    with pytest.raises(ImageRefused, match="cannot be read"):
        read_key(tmp_path / "none.pem")


def test_a_curve_that_mcuboot_does_not_take_is_refused(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    (tmp_path / "key.pem").write_bytes(key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ))  # fmt: skip
    with pytest.raises(ImageRefused, match="does not take"):
        read_key(tmp_path / "key.pem")


def test_the_command_sends_what_was_signed_and_nothing_else(
    made: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Simulator(SimulatedDevice()) as simulator:
        url, key = simulator.tcp(), str(made / "ecdsa-p256.pem")
        wrong, right = str(made / "rsa-2048.bin"), str(made / "ecdsa-p256.bin")
        assert main(["update", url, wrong, "--key", key]) == 1
        assert f"{wrong}: the image was signed with another key" in capsys.readouterr().err
        assert main(["update", url, right, "--key", key]) == 0
        assert "1.2.3.4 runs and is confirmed" in capsys.readouterr().out
        with pytest.raises(SystemExit):  # one of --key and --unsigned must be given
            main(["update", url, right])
