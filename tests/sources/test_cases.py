"""Case files: hostile until proved otherwise, and relative to themselves."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_dx.errors import InputError, NotFound, UnreadableInput, UnsupportedInput
from edge_dx.sources import cases
from tests import several

INPUTS = several.parts().built().inputs
GOOD = {"picture": "film.png", "facts": {"age": 63, "sex": "F"}, "spectrum": "sub/x.npy"}


@pytest.fixture
def put(tmp_path: Path) -> Any:
    def write(told: Any) -> Path:
        path = tmp_path / "case.json"
        path.write_bytes(told if isinstance(told, bytes) else json.dumps(told).encode())
        return path

    return write


def test_paths_are_relative_to_the_file(put: Any, tmp_path: Path) -> None:
    assert cases.read(put(GOOD), INPUTS) == {
        "picture": tmp_path / "film.png",
        "facts": {"age": 63, "sex": "F"},
        "spectrum": tmp_path / "sub" / "x.npy",
    }


@pytest.mark.parametrize(
    ("told", "error", "reason", "match"),
    [
        (b"", UnreadableInput, "unreadable", r"case\.json: not JSON"),
        (b"{", UnreadableInput, "unreadable", "not JSON"),
        (b"\xff\xfe{", UnreadableInput, "unreadable", "not JSON"),
        (b"[" * 200_000, UnreadableInput, "unreadable", "not JSON"),
        (b'{"facts": {"age": ' + b"9" * 5000 + b"}}", UnreadableInput, "unreadable", "not JSON"),
        (b'{"picture": "a.png", "picture": "b.png"}', UnreadableInput, "unreadable",
         "'picture' stands there twice"),
        (b'{"facts": {"age": 1, "age": 2}}', UnreadableInput, "unreadable",
         "'age' stands there twice"),
        ([], UnreadableInput, "unreadable", "not a JSON object with picture, facts, spectrum"),
        ({"film": "film.png"}, UnsupportedInput, "unknown_input", "'film' is no input; the model"),
        ({"facts": "facts.json"}, UnsupportedInput, "out_of_range", "facts is no JSON object"),
        ({"picture": 3}, UnsupportedInput, "out_of_range", "given by the path of its file"),
        ({"spectrum": [1, 2]}, UnsupportedInput, "out_of_range", "given by the path of its file"),
        ({"picture": "/etc/passwd"}, UnreadableInput, "unreadable", "below the file's own"),
        ({"picture": "../film.png"}, UnreadableInput, "unreadable", "below the file's own"),
        ({"picture": "a/../../film.png"}, UnreadableInput, "unreadable", "below the file's own"),
        ({"picture": ""}, UnreadableInput, "unreadable", "below the file's own"),
    ],
)  # fmt: skip
def test_what_is_no_case_is_refused(
    put: Any, told: Any, error: type[InputError], reason: str, match: str
) -> None:
    with pytest.raises(error, match=match) as caught:
        cases.read(put(told), INPUTS)
    assert caught.value.reason == reason


def test_files_that_cannot_be_read_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound, match="no such file"):
        cases.read(tmp_path / "none.json", INPUTS)
    os.mkfifo(tmp_path / "pipe.json")
    for name in ("pipe.json", ".", "nul\0.json", "x" * 3000):
        with pytest.raises(UnreadableInput, match="cannot be read"):
            cases.read(tmp_path / name, INPUTS)
    (tmp_path / "large.json").write_text(" " * 200)
    monkeypatch.setattr(cases, "MAX_BYTES", 100)
    with pytest.raises(UnreadableInput, match="larger than 100 bytes"):
        cases.read(tmp_path / "large.json", INPUTS)


def test_many_keys_twice_take_no_time(put: Any) -> None:
    pairs = ",".join(f'"k{i % 150_000}": 1' for i in range(300_000))
    started = time.monotonic()
    with pytest.raises(UnreadableInput, match="stands there twice"):
        cases.read(put(f"{{{pairs}}}".encode()), INPUTS)
    assert time.monotonic() - started < 5


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, database=None)
@given(
    told=st.binary(max_size=60)
    | st.dictionaries(st.sampled_from([*GOOD, "other"]) | st.text(), _VALUES, max_size=4).map(
        lambda found: json.dumps(found).encode()
    )
)
def test_whatever_stands_there_gives_sources_or_a_typed_error(
    told: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(told)
    try:
        found = cases.read(path, INPUTS)
    except InputError as error:
        assert str(path) in str(error)  # noqa: PT017 (no error is right too)
        return
    for name, source in found.items():
        assert isinstance(source, dict) if name == "facts" else path.parent in source.parents
