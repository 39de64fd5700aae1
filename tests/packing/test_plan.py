"""The pack description: a closed vocabulary that may not contradict itself."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.packing import described
from tests.packing.described import TOML

pytest.importorskip(TOML, reason="Python 3.10 reads TOML with tomli")

from export.errors import PackError
from export.packing import plan as planning
from export.packing import read_plan

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "mlperf_tiny").glob("*.toml"))


def read(directory: Path, text: str | bytes) -> planning.Plan:
    path = directory / "m.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_plan(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_are_descriptions(path: Path) -> None:
    assert read_plan(path).told.models


def test_normalise_goes_into_the_graph(tmp_path: Path) -> None:
    text = described.TINY.replace(
        "high = 99 },", 'high = 99 },\n{ step = "normalise", mean = [0], std = [255] },'
    )
    (item,) = read(tmp_path, text).inputs
    assert [type(step).__name__ for step in item.prepare] == ["Colour", "Resize", "Intensity"]
    assert item.in_graph[0].std == (255,)


WRONG = {
    "unknown key": ('name = "tiny"', 'name = "tiny"\nsurprise = 1', "unknown field `surprise`"),
    "unknown key inside": ("seed = 3", "seeds = 3", "unknown field `seeds` - at `golden"),
    "missing key": ('title = "Tiny test model"\n', "", "missing required field `title`"),
    "wrong type": ("seed = 3", 'seed = "3"', "Expected `int`, got `str` - at `golden"),
    "date": ("seed = 3", "seed = 2024-01-01", "golden"),
    "bad name": ('name = "tiny"', 'name = "../x"', "name"),
    "no criterion": ('criterion = "made up"', 'criterion = ""', "criterion"),
    "scale typed by hand": ('precision = "fp32"', 'precision = "fp32"\ntensors.image.scale = 0.1',
                            "unknown field `scale`"),
    "pickle": ('kind = "features"', 'kind = "pickle"', "pickle"),
    "not TOML": ("[eligibility]", "[eligibility", "not TOML"),
    "normalise first": ('prepare = [', 'prepare = [{ step = "normalise", mean=[0], std=[1] },',
                        "normalise may stand once, as the last step"),
    "no intensity": ('  { step = "intensity", kind = "percentile", low = 1, high = 99 },\n', "",
                     "needs an 'intensity' step"),
    "channels last": ("shape = [1, 32, 32]", "shape = [32, 32, 3]", r"shape is \[channels, height"),
    "model twice": ("[[golden]]", '[[models]]\nfile = "tiny.onnx"\nvariant = "b"\n'
                    'precision = "fp32"\n[[golden]]', "file tiny.onnx is listed twice"),
    "variant twice": ("[[golden]]", '[[models]]\nfile = "b.onnx"\nvariant = "onnx-fp32"\n'
                      'precision = "fp32"\n[[golden]]', "variant onnx-fp32 is listed twice"),
    "file with a directory": ('file = "tiny.onnx"', 'file = "a/tiny.onnx"', "without its direct"),
    "engine": ('precision = "fp32"', 'precision = "fp32"\nengines = ["warp"]', "called warp"),
    "fake": ('precision = "fp32"', 'precision = "fp32"\nengines = ["pretend"]', "called pretend"),
    "tensor": ('precision = "fp32"', 'precision = "fp32"\ntensors.x.tensor = "y"',
               "tensors: x is no input or output"),
    "tolerance": ('precision = "fp32"', 'precision = "fp32"\ntolerance.image = 1',
                  "tolerance: image is no output"),
    "point twice": ("[[golden]]", '[[models.operating_points]]\nname = "triage"\n'
                    'label = "finding"\nthreshold = 0.4\ncriterion = "x"\n[[golden]]',
                    "triage is listed twice"),
    "golden twice": ('name = "blank"', 'name = "texture"', "golden: texture is listed twice"),
    "two pictures": ("seed = 3", 'file = "x.png"', "exactly one of pattern, file"),
    "no picture": ('pattern = "blank"\n', "", "exactly one of pattern, file"),
    "facts of nothing": ("seed = 3", "facts.x = { a = 1 }", "facts must be given for nothing"),
    "arrays of nothing": ("seed = 3", 'arrays.x = { file = "x.npy" }', "arrays must be given for"),
    "large picture": ("seed = 3", "side_px = 100000", "side_px"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_what_breaks_the_vocabulary_is_named_with_its_place(tmp_path: Path, what: str) -> None:
    before, after, told = WRONG[what]
    assert before in described.TINY
    with pytest.raises(PackError, match=told) as caught:
        read(tmp_path, described.TINY.replace(before, after, 1))
    assert str(caught.value).startswith(f"{tmp_path / 'm.toml'}: ")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('arrays.spectrum = { pattern = "noise", low = -3, high = 3 }', "", "arrays must be given"),
        ('facts.facts = { age = 63, sex = "M" }', "", "facts must be given for facts"),
        ('pattern = "noise", low', 'pattern = "noise", file = "x.npy", low', "exactly one of"),
        ("low = -3, high = 3 }", "low = 3, high = -3 }", "low must be below high"),
        ("low = -3, high = 3 }", "low = nan, high = 3 }", "low must be below high"),
        ("low = -3, high = 3 }", "low = -inf, high = 3 }", "low must be below high"),
    ],
)
def test_a_case_has_something_for_each_input(
    tmp_path: Path, before: str, after: str, told: str
) -> None:
    assert before in described.SEVERAL
    with pytest.raises(PackError, match=told):
        read(tmp_path, described.SEVERAL.replace(before, after, 1))


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"#" * (planning.MAX_BYTES + 1))
    for name, told in (("gone", "cannot be read"), ("pipe", "no regular file"), (".", "regular"),
                       ("large", "larger than"), ("nul\0", "cannot be read"),
                       ("x" * 3000, "cannot be read")):  # fmt: skip
        with pytest.raises(PackError, match=told):
            read_plan(tmp_path / name)
    for raw in (b"\xff\xfe", b"a = " + b"[" * 100_000, b"a = 1" + b"0" * 5000, b"\0", b""):
        with pytest.raises(PackError, match=r"m\.toml: "):
            read(tmp_path, raw)


_TOKENS = st.sampled_from(
    ['"', "[", "]", "{", "}", "=", "\n", "nan", "inf", "-1", "1e999", "[[golden]]", "true", ".",
     "2024-01-01", "'''", "\\u0000", "9" * 30, "kind", "file", "pattern", "{ }"]
)  # fmt: skip


@settings(max_examples=200, deadline=None, database=None)
@given(data=st.data())
def test_mutated_descriptions_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = data.draw(st.sampled_from([described.TINY, described.SEVERAL]))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        cut = data.draw(st.integers(0, 12))
        text = text[:at] + data.draw(_TOKENS | st.text(max_size=4)) + text[at + cut :]
    directory = tmp_path_factory.getbasetemp()
    try:
        found = read(directory, text.encode("utf-8", "surrogatepass"))
    except PackError as error:
        assert "m.toml" in str(error)  # noqa: PT017 (no error is right too)
        return
    assert found.inputs
