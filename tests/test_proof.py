"""Self-proof: a tampered golden file is noticed, and it can hold nothing but plain numbers."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edge_dx
from edge_dx import device, proof
from edge_dx.bundle import Bundle, open_bundle, write_bundle
from edge_dx.errors import BundleFormatError, ProofFailed
from edge_dx.trust import TrustStore
from tests import tiny

Arrays = dict[str, Any]
Make = Callable[..., Path]


def golden(parts: tiny.Parts) -> Arrays:
    return dict(np.load(io.BytesIO(parts.members["golden.npz"])))


def packed(arrays: Arrays, *, compressed: bool = False) -> bytes:
    out = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(out, **arrays)
    return out.getvalue()


@pytest.fixture
def make(tmp_path: Path, parts: tiny.Parts) -> Make:
    """Writes a signed bundle with another golden file."""

    def write(npz: bytes) -> Path:
        parts.members["golden.npz"] = npz
        path = tmp_path / "made.edx"
        write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
        return path

    return write


def proved(path: Path, trust: TrustStore) -> proof.Proof:
    return proof.verify(edge_dx.load(path, engine="pretend", trust=trust))


def test_the_golden_case_passes_within_its_tolerance(tiny_path: Path, trust: TrustStore) -> None:
    found = proof.verify(edge_dx.load(tiny_path, trust=trust))
    assert found.passed
    assert found.problem == ""
    (case,) = found.cases
    assert set(case.differences) == {"logits", "cam", "features"}
    assert max(case.differences.values()) <= 1e-4


@pytest.mark.parametrize("name", ["logits", "cam", "features"])
@pytest.mark.parametrize("value", [0.01, np.nan, np.inf])
def test_a_changed_expectation_is_noticed(
    parts: tiny.Parts, make: Make, trust: TrustStore, name: str, value: float
) -> None:
    arrays = golden(parts)
    arrays[f"onnx-fp32/waves/{name}"].reshape(-1)[-1] += value
    with pytest.raises(ProofFailed, match=rf"{name} differs by .*, allowed 0\.0001") as caught:
        edge_dx.load(make(packed(arrays)), trust=trust)
    told = str(caught.value)
    assert "variant onnx-fp32 on engine onnx" in told
    assert "export it again" in told


def test_a_changed_input_is_noticed(parts: tiny.Parts, make: Make, trust: TrustStore) -> None:
    arrays = golden(parts)
    arrays["raw/waves"] = arrays["raw/waves"][::-1].copy()
    with pytest.raises(ProofFailed, match="differs by"):
        edge_dx.load(make(packed(arrays)), trust=trust)


def test_a_wrong_status_is_noticed(parts: tiny.Parts, tmp_path: Path, trust: TrustStore) -> None:
    status = parts.manifest["golden"][0]["status"]
    status["onnx-fp32"] = "negative" if status["onnx-fp32"] == "positive" else "positive"
    path = tmp_path / "wrong.edx"
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    with pytest.raises(ProofFailed, match=r"status is .*, golden is"):
        edge_dx.load(path, trust=trust)


@pytest.mark.parametrize("missing", ["raw/waves", "onnx-fp32/waves/logits", "onnx-fp32/waves/cam"])
def test_a_missing_array_is_named(
    parts: tiny.Parts, make: Make, trust: TrustStore, missing: str
) -> None:
    arrays = golden(parts)
    del arrays[missing]
    with pytest.raises(ProofFailed, match=missing.split("/")[-1]):
        edge_dx.load(make(packed(arrays)), trust=trust)


def test_an_array_of_another_shape_is_no_expectation(
    parts: tiny.Parts, make: Make, trust: TrustStore
) -> None:
    arrays = golden(parts)
    arrays["onnx-fp32/waves/logits"] = np.zeros((2, 1), np.float32)
    with pytest.raises(ProofFailed, match="logits has no golden output of its shape"):
        edge_dx.load(make(packed(arrays)), trust=trust)


def test_a_bundle_without_golden_cases_is_not_proved(
    parts: tiny.Parts, tmp_path: Path, trust: TrustStore
) -> None:
    parts.manifest["golden"] = []
    path = tmp_path / "none.edx"
    write_bundle(path, parts.built(), parts.members, tiny.PRIVATE_KEY)
    with pytest.raises(ProofFailed, match="no golden cases, so nothing can be proved"):
        edge_dx.load(path, trust=trust)


def test_a_case_that_the_gate_refuses_must_be_refused_for_its_reasons(
    parts: tiny.Parts, tmp_path: Path, trust: TrustStore
) -> None:
    arrays = golden(parts)
    arrays["raw/blank"] = np.full((64, 64), 90, np.uint8)
    parts.members["golden.npz"] = packed(arrays)
    case = {"name": "blank", "what": "nothing", "modality": "DX", "photometric": "MONOCHROME2",
            "status": {"onnx-fp32": "not_analysed"}, "reasons": ["blank"]}  # fmt: skip
    for reasons, passes in ((["blank"], True), (["clipped"], False), ([], False)):
        changed = {**parts.manifest, "golden": [*parts.manifest["golden"],
                                                {**case, "reasons": reasons}]}  # fmt: skip
        path = tmp_path / "blank.edx"
        write_bundle(path, tiny.Parts(changed, parts.members).built(), parts.members,
                     tiny.PRIVATE_KEY)  # fmt: skip
        found = proof.verify(edge_dx.load(path, trust=trust))
        assert found.passed is passes
        assert passes or "reasons are blank, golden are" in found.problem


# --- the file itself ---


def hostile(**named: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in named.items():
            archive.writestr(f"{name}.npy", data)
    return out.getvalue()


def npy(header: str, data: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode("latin-1")
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + version + struct.pack("<H", len(text)) + text + data


class _Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        raise AssertionError("pickled data was loaded")


HEADER = "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"
HOSTILE = {
    "nothing": b"",
    "no archive": b"hello",
    "half an archive": packed({"a": np.zeros(9)})[:150],
    "compressed": packed({"a": np.zeros(9)}, compressed=True),
    "objects": hostile(a=npy(HEADER % ("|O", "False", "(1,)"), pickle.dumps([1]))),
    "no array": hostile(a=b"hello"),
    "empty array file": hostile(a=b""),
    "later version": hostile(a=npy(HEADER % ("<f4", "False", "(1,)"), bytes(4), b"\x03\x00")),
    "too few bytes": hostile(a=npy(HEADER % ("<f4", "False", "(9,)"), bytes(4))),
    "too many bytes": hostile(a=npy(HEADER % ("<f4", "False", "(1,)"), bytes(8))),
    "huge": hostile(a=npy(HEADER % ("<f4", "False", "(4000000000, 4000000000)"), bytes(4))),
    "negative": hostile(a=npy(HEADER % ("<f4", "False", "(-1, -1)"), bytes(4))),
    "fortran": hostile(a=npy(HEADER % ("<f4", "True", "(1,)"), bytes(4))),
    "strings": hostile(a=npy(HEADER % ("<U1", "False", "(1,)"), bytes(4))),
    "dates": hostile(a=npy(HEADER % ("<M8[s]", "False", "(1,)"), bytes(8))),
    "void": hostile(a=npy(HEADER % ("|V0", "False", "(1,)"))),
    "swapped": hostile(a=npy(HEADER % (">f4", "False", "(1,)"), bytes(4))),
    "code": hostile(a=npy("{'descr': __import__('os').system('true')}")),
    "deep": hostile(a=npy("(" * 5000)),
    "not a dictionary": hostile(a=npy("[1]")),
    "another name": hostile(**{"a.py": b""}).replace(b"a.py.npy", b"a.npy.py"),
}


def _spoilt(tiny_path: Path, trust: TrustStore, npz: bytes) -> Bundle:
    whole = open_bundle(tiny_path, trust=trust)
    return replace(whole, members={**whole.members, "golden.npz": npz})


@pytest.mark.parametrize("what", HOSTILE)
def test_a_golden_file_that_is_not_plain_numbers_is_refused(
    tiny_path: Path, trust: TrustStore, what: str
) -> None:
    with pytest.raises(BundleFormatError, match=r"golden\.npz cannot be read .*export") as caught:
        proof.golden_arrays(_spoilt(tiny_path, trust, HOSTILE[what]))
    assert caught.value.member == "golden.npz"


def test_pickled_objects_are_never_loaded(tiny_path: Path, trust: TrustStore) -> None:
    out = io.BytesIO()
    try:
        np.savez(out, a=np.array([_Bomb()], dtype=object))
    except AssertionError:
        out = io.BytesIO(hostile(a=npy(HEADER % ("|O", "False", "(1,)"), b"cposix\nsystem\n")))
    with pytest.raises(BundleFormatError):
        proof.golden_arrays(_spoilt(tiny_path, trust, out.getvalue()))


def test_too_much_is_refused_before_it_is_read(
    tiny_path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proof, "_MAX_ARRAYS_BYTES", 1000)
    with pytest.raises(BundleFormatError, match="compressed or too large"):
        proof.golden_arrays(open_bundle(tiny_path, trust=trust))


def test_flipped_bytes_of_the_golden_file_give_arrays_or_a_typed_error(
    tiny_path: Path, trust: TrustStore, parts: tiny.Parts
) -> None:
    raw = bytearray(parts.members["golden.npz"])
    generator = np.random.default_rng(0)
    for at in generator.integers(0, len(raw), 400).tolist():
        before = raw[at]
        raw[at] ^= int(generator.integers(1, 256))
        try:
            arrays = proof.golden_arrays(_spoilt(tiny_path, trust, bytes(raw)))
        except BundleFormatError:
            pass
        else:
            assert all(value.dtype.kind in "uif" for value in arrays.values())
        raw[at] = before


# --- remembering ---


def _proofs() -> list[Path]:
    return sorted((device.state_directory() / "proofs").glob("*"))


def test_one_proof_is_remembered_and_a_failed_one_is_not(
    tiny_path: Path, parts: tiny.Parts, make: Make, trust: TrustStore
) -> None:
    arrays = golden(parts)
    arrays["onnx-fp32/waves/logits"] += 1
    with pytest.raises(ProofFailed):
        edge_dx.load(make(packed(arrays)), trust=trust)
    assert not _proofs()
    for _ in range(2):
        edge_dx.load(tiny_path, trust=trust)
        assert [p.suffix for p in _proofs()] == [".json"]


def test_the_fake_is_not_proved_and_leaves_nothing(tiny_path: Path, trust: TrustStore) -> None:
    edge_dx.load(tiny_path, engine="pretend", trust=trust)
    assert not _proofs()
    assert not proved(tiny_path, trust).passed


def test_a_device_that_cannot_remember_proves_again(
    tiny_path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    for _ in range(2):
        assert edge_dx.load(tiny_path, trust=trust)(tiny.film(1)).status.analysed


def test_what_a_proof_depends_on_makes_a_new_one(
    tiny_path: Path, trust: TrustStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import cv2

    edge_dx.load(tiny_path, trust=trust)
    for number, (where, name, value) in enumerate(
        ((device, "fingerprint", lambda: "other"), (cv2, "__version__", "0"),
         (np, "__version__", "0"), (edge_dx, "__version__", "9.9.9")), start=2
    ):  # fmt: skip
        monkeypatch.setattr(where, name, value)
        edge_dx.load(tiny_path, trust=trust)
        assert len(_proofs()) == number
