"""Arrays that the caller prepares, in memory and as `.npy` files, hostile ones too."""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.errors import EdgeDxError, InputError, NotFound, TensorMismatch, UnreadableInput
from edge_dx.manifest import ArrayInput
from edge_dx.sources import arrays
from tests.test_proof import HEADER, npy

ITEM = ArrayInput(name="spectrum", shape=(2, 3), unit="dB")
GOOD = np.arange(6, dtype=np.float32).reshape(2, 3)


def saved(array: Any, **how: Any) -> bytes:
    out = io.BytesIO()
    np.save(out, array, **how)
    return out.getvalue()


@pytest.fixture
def put(tmp_path: Path) -> Any:
    def write(raw: bytes) -> Path:
        path = tmp_path / "x.npy"
        path.write_bytes(raw)
        return path

    return write


@pytest.mark.parametrize(
    "array", [GOOD, GOOD.astype(np.float64), np.asfortranarray(GOOD), GOOD.astype(">f4"),
              np.repeat(GOOD, 2, axis=1)[:, ::2]],
    ids=["plain", "float64", "fortran", "swapped", "strided"],
)  # fmt: skip
def test_an_array_becomes_a_tensor_with_a_batch_dimension(array: Any) -> None:
    tensor = arrays.read(ITEM, array)
    assert tensor.shape == (1, 2, 3)
    assert tensor.dtype == np.float32
    assert tensor.dtype.isnative
    assert tensor.flags.c_contiguous
    assert np.array_equal(tensor[0], GOOD)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_file_gives_the_same(put: Any, dtype: str) -> None:
    path = put(saved(GOOD.astype(dtype)))
    for source in (path, str(path)):
        assert np.array_equal(arrays.read(ITEM, source)[0], GOOD)


def test_a_transposed_array_is_read_as_it_was_saved(put: Any) -> None:
    raw = saved(np.ascontiguousarray(GOOD.T).T)
    assert b"'fortran_order': True" in raw
    assert np.array_equal(arrays.read(ITEM, put(raw))[0], GOOD)
    assert arrays.read(ITEM, put(raw)).flags.c_contiguous
    with pytest.raises(ValueError, match="Fortran order"):
        arrays.parse(raw)


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_integers_are_taken_as_they_are(dtype: Any) -> None:
    item = ArrayInput(name="codes", shape=(3,), dtype=dtype, unit="code")
    assert arrays.read(item, np.array([1, 2, 3], dtype)).dtype == dtype
    with pytest.raises(TensorMismatch, match=f"codes is int64 .*takes {dtype}"):
        arrays.read(item, np.array([1, 2, 3]))


@pytest.mark.parametrize(
    "source",
    [GOOD[0], GOOD.T, GOOD[None], GOOD.astype(np.float16), GOOD.astype(np.int32),
     GOOD.astype(complex), GOOD.astype(object), GOOD.astype("U4"), np.zeros(0), np.float32(1),
     [[0, 1, 2], [3, 4, 5]], [[1], [2, 3]], None, 3, b"bytes", {"a": 1}, object()],
)  # fmt: skip
def test_another_shape_or_type_is_an_error_that_says_both(source: Any) -> None:
    with pytest.raises(TensorMismatch, match="spectrum"):
        arrays.read(ITEM, source)


def test_a_file_of_another_shape_is_named(put: Any) -> None:
    path = put(saved(np.zeros((3, 2))))
    with pytest.raises(TensorMismatch, match=r"x\.npy: spectrum is float32 of shape \(3, 2\), the"):
        arrays.read(ITEM, path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_numbers_that_are_none_are_refused(put: Any, value: float) -> None:
    spoilt = GOOD.astype(np.float64)
    spoilt[1, 2] = value
    for source in (spoilt, put(saved(spoilt))):
        with pytest.raises(UnreadableInput, match="spectrum holds NaN or infinity"):
            arrays.read(ITEM, source)


HOSTILE = {
    "nothing": b"",
    "text": b"hello",
    "magic alone": b"\x93NUMPY",
    "objects": npy(HEADER % ("|O", "False", "(2, 3)"), pickle.dumps([1])),
    "saved objects": saved(np.array([{}], object), allow_pickle=True),
    "later version": npy(HEADER % ("<f4", "False", "(2, 3)"), bytes(24), b"\x02\x00"),
    "too few bytes": npy(HEADER % ("<f4", "False", "(2, 3)"), bytes(23)),
    "too many bytes": npy(HEADER % ("<f4", "False", "(2, 3)"), bytes(25)),
    "huge": npy(HEADER % ("<f4", "False", "(4000000000, 4000000000)"), bytes(24)),
    "negative": npy(HEADER % ("<f4", "False", "(-2, -3)"), bytes(24)),
    "swapped": saved(GOOD.astype(">f4")),
    "strings": npy(HEADER % ("<U1", "False", "(6,)"), bytes(24)),
    "structure": saved(np.zeros(6, [("a", "f4")])),
    "code": npy("{'descr': __import__('os').system('true')}"),
    "deep": npy("(" * 5000),
    "pickle": pickle.dumps(GOOD),
    "archive": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_plain_array_is_refused(put: Any, what: str) -> None:
    with pytest.raises(
        UnreadableInput, match=r"x\.npy: no plain \.npy file .*numpy\.save"
    ) as caught:
        arrays.read(ITEM, put(HOSTILE[what]))
    assert caught.value.reason == "unreadable"


def test_files_that_cannot_be_read_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no such file"):
        arrays.read(ITEM, tmp_path / "none.npy")
    os.mkfifo(tmp_path / "pipe.npy")
    for name in ("pipe.npy", ".", "nul\0.npy", "x" * 3000):
        with pytest.raises(UnreadableInput, match="cannot be read"):
            arrays.read(ITEM, tmp_path / name)
    (tmp_path / "large.npy").write_bytes(saved(GOOD))
    monkeypatch.setattr(arrays, "MAX_BYTES", 100)
    with pytest.raises(UnreadableInput, match="larger than 100 bytes") as caught:
        arrays.read(ITEM, tmp_path / "large.npy")
    assert caught.value.reason == "too_large"


@settings(max_examples=300, deadline=None, database=None)
@given(data=st.data())
def test_mutated_files_give_the_array_s_form_or_a_typed_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    raw = bytearray(saved(GOOD))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw)))
        size = data.draw(st.integers(0, 6))
        raw[at : at + size] = data.draw(st.binary(max_size=8))
    path = tmp_path_factory.getbasetemp() / "mutated.npy"
    path.write_bytes(raw)
    try:
        tensor = arrays.read(ITEM, path)
    except EdgeDxError as error:
        assert isinstance(error, (InputError, TensorMismatch))  # noqa: PT017 (no error is right too)
        return
    assert tensor.shape == (1, 2, 3)
    assert tensor.dtype == np.float32
    assert np.isfinite(tensor).all()
