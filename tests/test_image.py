"""Preparation steps against independent computation, and where their pixels came from."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_dx import steps as v
from edge_dx.errors import TensorMismatch
from edge_dx.image import compile_steps, normalise_constants, to_tensor
from tests import tiny

Array = np.ndarray[Any, Any]

ALL: list[Any] = [
    v.Colour(to="grey"),
    v.Colour(to="rgb"),
    v.Orientation(rotate_deg=90, mirror="horizontal"),
    v.Crop(kind="fraction", top=0.1, bottom=0.2, left=0.05, right=0.3),
    v.Crop(kind="dark_border"),
    v.Resize(height=20, width=30, interpolation="area"),
    v.Resize(height=20, width=30, interpolation="linear", fit="pad", pad_value=7),
    v.Resize(height=20, width=30, interpolation="cubic"),
    v.Resize(height=20, width=30, interpolation="nearest"),
    v.Denoise(kind="median", size_px=3),
    v.Denoise(kind="gaussian", size_px=5, sigma=1.5),
    v.Denoise(kind="bilateral", size_px=5, sigma=20.0),
    v.Clahe(clip_limit=2.0, tiles=4),
    v.Intensity(kind="percentile", low=1, high=99),
    v.Intensity(kind="fixed", low=10, high=200),
    v.Normalise(mean=(100.0,), std=(50.0,)),
]


def prepare(image: Array, *steps: Any) -> Array:
    return compile_steps(steps)(image)


def grey(seed: int = 0, shape: tuple[int, ...] = (37, 53), dtype: Any = np.uint8) -> Array:
    generator = np.random.default_rng(seed)
    if dtype == np.float32:
        return generator.normal(0, 300, shape).astype(np.float32)
    return generator.integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)


images = st.one_of(
    hnp.arrays(dtype, st.one_of(
        st.tuples(st.integers(1, 24), st.integers(1, 24)),
        st.tuples(st.integers(1, 12), st.integers(1, 12), st.just(3)),
    ), elements=elements)
    for dtype, elements in (
        (np.uint8, None), (np.uint16, None),
        (np.float32, st.floats(-3000, 3000, width=32)),
    )
)  # fmt: skip


# --- each step ---


def test_colour_is_rec_601_luma_and_repetition() -> None:
    rgb = grey(shape=(9, 7, 3))
    luma = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(prepare(rgb, v.Colour(to="grey")) - luma).max() <= 0.51
    one = grey()
    assert np.array_equal(prepare(one, v.Colour(to="rgb")), np.repeat(one[..., None], 3, 2))
    assert np.array_equal(prepare(one, v.Colour(to="grey")), one)
    assert np.array_equal(prepare(rgb, v.Colour(to="rgb")), rgb)


@pytest.mark.parametrize("turns", range(4))
def test_orientation_turns_clockwise_and_then_mirrors(turns: int) -> None:
    picture = np.arange(6, dtype=np.uint8).reshape(2, 3)
    turned = picture
    for _ in range(turns):  # clockwise: the first column, read upwards, becomes the first row
        turned = np.array(list(zip(*turned[::-1], strict=True)), np.uint8)
    angle: Any = 90 * turns
    assert np.array_equal(prepare(picture, v.Orientation(rotate_deg=angle)), turned)
    for mirror, wanted in (("horizontal", turned[:, ::-1]), ("vertical", turned[::-1])):
        step = v.Orientation(rotate_deg=angle, mirror=mirror)  # type: ignore[arg-type]
        assert np.array_equal(prepare(picture, step), wanted)


def test_crop_by_fraction_cuts_whole_pixels_off_each_side() -> None:
    picture = grey(shape=(40, 50))
    step = v.Crop(kind="fraction", top=0.1, bottom=0.26, left=0.03, right=0.499)
    assert np.array_equal(prepare(picture, step), picture[4:30, 1:26])


def test_crop_of_a_dark_border_finds_it_and_never_takes_more_than_its_limit() -> None:
    picture = np.full((100, 80), 2, np.uint8)
    picture[10:93, 5:60] = 200
    assert prepare(picture, v.Crop(kind="dark_border")).shape == (83, 55)
    lonely = np.zeros((100, 80), np.uint8)
    lonely[50, 40] = 255
    assert prepare(lonely, v.Crop(kind="dark_border", limit=0.2)).shape == (60, 48)
    for level in (0, 90, 255):
        flat = np.full((10, 10), level, np.uint8)
        assert prepare(flat, v.Crop(kind="dark_border")).shape == (10, 10)


def test_crop_of_a_dark_border_where_nothing_is_positive_crops_nothing() -> None:
    cold = np.full((10, 12), -1000, np.float32)  # air in Hounsfield units
    assert prepare(cold, v.Crop(kind="dark_border")).shape == (10, 12)


def test_resize_by_area_is_the_mean_of_the_covered_pixels() -> None:
    picture = grey(shape=(40, 60), dtype=np.float32)
    step = v.Resize(height=10, width=20, interpolation="area")
    wanted = picture.reshape(10, 4, 20, 3).mean(axis=(1, 3))
    assert prepare(picture, step) == pytest.approx(wanted, abs=1e-2)


def test_resize_by_linear_interpolation_keeps_a_ramp() -> None:
    ramp = np.tile(np.arange(20, dtype=np.float32), (5, 1))
    out = prepare(ramp, v.Resize(height=5, width=40, interpolation="linear"))
    wanted = np.clip((np.arange(40) + 0.5) / 2 - 0.5, 0, 19)
    assert np.abs(out - wanted).max() < 1e-4


def test_resize_to_the_nearest_makes_no_new_grey_levels() -> None:
    picture = grey(1)
    out = prepare(picture, v.Resize(height=11, width=71, interpolation="nearest"))
    assert set(np.unique(out)) <= set(np.unique(picture))


@pytest.mark.parametrize(
    ("shape", "inner"),
    [
        ((40, 20), (30, 15)),
        ((20, 40), (15, 30)),
        ((400, 3), (30, 1)),
        ((30, 30), (30, 30)),
    ],
)
def test_resize_with_padding_keeps_the_aspect_and_centres(
    shape: tuple[int, int], inner: tuple[int, int]
) -> None:
    step = v.Resize(height=30, width=30, interpolation="area", fit="pad", pad_value=9)
    out = prepare(np.full(shape, 200, np.uint8), step)
    assert out.shape == (30, 30)
    inside = out == 200
    assert inside.sum() == inner[0] * inner[1]
    assert (out[~inside] == 9).all()
    top, left = (30 - inner[0]) // 2, (30 - inner[1]) // 2
    assert inside[top : top + inner[0], left : left + inner[1]].all()


@pytest.mark.parametrize(("value", "dtype", "wanted"), [
    (300, np.uint8, 255), (-5, np.uint8, 0), (65535, np.uint8, 255), (65535, np.uint16, 65535),
    (-1000, np.float32, -1000), (7.6, np.uint8, 8),
])  # fmt: skip
def test_padding_outside_the_types_range_is_clipped_and_never_wraps(
    value: float, dtype: Any, wanted: float
) -> None:
    step = v.Resize(height=8, width=8, interpolation="area", fit="pad", pad_value=value)
    out = prepare(np.ones((4, 8), dtype), step)
    assert out[0, 0] == wanted


def test_denoise_by_median() -> None:
    picture = grey(2, (15, 17), np.uint16)
    out = prepare(picture, v.Denoise(kind="median", size_px=3))
    framed = np.pad(picture, 1, mode="edge")
    wanted = np.median(np.lib.stride_tricks.sliding_window_view(framed, (3, 3)), axis=(2, 3))
    assert np.array_equal(out, wanted)


def test_denoise_by_gaussian() -> None:
    dot = np.zeros((11, 11), np.float32)
    dot[5, 5] = 1000
    out = prepare(dot, v.Denoise(kind="gaussian", size_px=5, sigma=1.2))
    bell = np.exp(-(np.arange(-2, 3) ** 2) / (2 * 1.2**2))
    bell /= bell.sum()
    assert out[3:8, 3:8] == pytest.approx(1000 * np.outer(bell, bell), abs=1e-3)


def test_denoise_by_bilateral_keeps_an_edge_and_agrees_between_types() -> None:
    edge = np.full((20, 20), 50, np.uint8)
    edge[:, 10:] = 200
    step = v.Denoise(kind="bilateral", size_px=5, sigma=10.0)
    assert np.abs(prepare(edge, step).astype(int) - edge).max() <= 1
    noisy = grey(3, (30, 30))
    small = prepare(noisy, step)
    assert np.abs(prepare(noisy.astype(np.uint16), step).astype(int) - small).max() <= 1


def test_clahe_of_one_tile_without_limit_is_histogram_equalisation() -> None:
    picture = tiny.film(3)
    out = prepare(picture, v.Clahe(clip_limit=40.0, tiles=1))
    ranks = np.cumsum(np.bincount(picture.ravel(), minlength=256))[picture] / picture.size
    assert np.abs(out - 255 * ranks).max() <= 12  # the limit of 40 still clips a little
    with pytest.raises(TensorMismatch, match="put a colour or intensity step before it"):
        prepare(grey(shape=(8, 8, 3)), v.Clahe(clip_limit=2.0, tiles=2))
    with pytest.raises(TensorMismatch, match="clahe"):
        prepare(grey(dtype=np.float32), v.Clahe(clip_limit=2.0, tiles=2))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("low", "high"), [(1, 99), (0, 100), (0.5, 99.5), (20, 30)])
def test_intensity_by_percentile_stretches_between_the_levels(
    dtype: Any, low: float, high: float
) -> None:
    picture = grey(4, (31, 29), dtype)
    ordered = np.sort(picture, axis=None)

    def level(percent: float) -> float:  # the first value at which that share is reached
        return float(ordered[max(0, int(np.ceil(percent / 100 * ordered.size)) - 1)])

    bottom, top = level(low), level(high)
    wanted = np.clip((picture.astype(np.float64) - bottom) * 255 / (top - bottom), 0, 255)
    out = prepare(picture, v.Intensity(kind="percentile", low=low, high=high))
    assert out.dtype == np.uint8
    assert np.abs(out - wanted).max() <= 0.51


def test_intensity_fixed_is_a_window_in_the_sources_unit() -> None:
    hounsfield = np.array([[-2000, -1000, -300, 400, 3000]], np.float32)
    out = prepare(hounsfield, v.Intensity(kind="fixed", low=-1000, high=400))
    assert out.tolist() == [[0, 0, 128, 255, 255]]


def test_eight_and_sixteen_bits_of_the_same_picture_agree() -> None:
    small = tiny.film(5)
    large = small.astype(np.uint16) * 257
    for kind, scale in (("percentile", 1), ("fixed", 257)):
        low, high = (1, 99) if kind == "percentile" else (20, 220)
        one = prepare(small, v.Intensity(kind=kind, low=low, high=high))  # type: ignore[arg-type]
        other = prepare(
            large,
            v.Intensity(kind=kind, low=low * scale, high=high * scale),  # type: ignore[arg-type]
        )
        assert np.abs(one.astype(int) - other).max() <= 1


def test_a_large_picture_takes_the_other_way_of_counting_with_the_same_answer() -> None:
    tile = tiny.film(6, 64)
    step = v.Intensity(kind="percentile", low=2, high=98)
    wide = np.tile(tile, (64, 65))  # more than 2**24 pixels
    assert wide.size > 2**24
    assert np.array_equal(prepare(wide, step)[:64, :64], prepare(tile, step))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_flat_image_gives_zeros(dtype: Any) -> None:
    flat = np.full((6, 6), 77, dtype)
    for step in (v.Intensity(kind="percentile", low=1, high=99),
                 v.Intensity(kind="percentile", low=0, high=100)):  # fmt: skip
        out = prepare(flat, step)
        assert out.dtype == np.uint8
        assert not out.any()


def test_normalise_is_subtraction_and_multiplication_in_float32() -> None:
    step = v.Normalise(mean=(123.675, 116.28, 103.53), std=(58.395, 57.12, 57.375))
    rgb = grey(shape=(5, 6, 3))
    out = prepare(rgb, step)
    mean, reciprocal = normalise_constants(step)
    assert out.dtype == np.float32
    assert np.array_equal(out, (rgb.astype(np.float32) - mean) * reciprocal)
    exact = (rgb - np.array(step.mean)) / np.array(step.std)
    assert out == pytest.approx(exact, rel=1e-6, abs=1e-6)
    with pytest.raises(TensorMismatch, match="normalise has 3 channels but the image has 1"):
        prepare(grey(), step)


# --- properties ---


@settings(max_examples=150, deadline=None, database=None)
@given(image=images, chosen=st.lists(st.sampled_from(ALL), max_size=5))
def test_preparation_never_writes_into_its_input_and_fails_only_on_purpose(
    image: Array, chosen: list[Any]
) -> None:
    before = image.copy()
    image.flags.writeable = False
    preparation = compile_steps(chosen)
    if any(isinstance(s, v.Normalise) for s in chosen[:-1]):
        return  # what follows a normalisation is no grey level any more
    try:
        out = preparation(image)
        again = preparation(image)
        place = preparation.to_source(image)
    except TensorMismatch:
        assert any(isinstance(s, v.Clahe | v.Normalise) for s in chosen)
        return
    assert np.array_equal(image, before)
    assert np.array_equal(out, again)
    assert out.ndim in (2, 3)
    assert out.size
    assert out.dtype in (np.uint8, np.uint16, np.float32)
    assert place.shape == (3, 3)
    assert place[2].tolist() == [0, 0, 1]
    sizes = [s for s in chosen if isinstance(s, v.Resize | v.Crop | v.Orientation)]
    if sizes and isinstance(sizes[-1], v.Resize):
        assert out.shape[:2] == (sizes[-1].height, sizes[-1].width)


@settings(max_examples=60, deadline=None, database=None)
@given(image=images)
@pytest.mark.parametrize(
    "step",
    [s for s in ALL if isinstance(s, v.Colour | v.Resize)]
    + [v.Intensity(kind="fixed", low=0, high=255), v.Intensity(kind="percentile", low=0, high=100)],
)
def test_what_is_already_so_stays_so(step: Any, image: Array) -> None:
    once = prepare(image, step)
    assert np.array_equal(prepare(once, step), once)


def test_levels_too_near_to_each_other_are_flat() -> None:
    step = v.Intensity(kind="percentile", low=0, high=100)
    least = np.array([[np.finfo(np.float32).tiny, 0.0]], np.float32)
    assert not prepare(least, step).any()
    assert prepare(least * np.float32(1e3), step).tolist() == [[255, 0]]


@settings(max_examples=60, deadline=None, database=None)
@given(image=images)
def test_four_quarter_turns_and_two_mirrors_change_nothing(image: Array) -> None:
    quarter = v.Orientation(rotate_deg=90)
    assert np.array_equal(prepare(image, *[quarter] * 4), image)
    for mirror in ("horizontal", "vertical"):
        step = v.Orientation(mirror=mirror)  # type: ignore[arg-type]
        assert np.array_equal(prepare(image, step, step), image)


# --- where a prepared pixel came from ---

_TURNS = [v.Orientation(rotate_deg=r, mirror=m)  # type: ignore[arg-type]
          for r in (0, 90, 180, 270) for m in ("none", "horizontal", "vertical")]  # fmt: skip
_CROPS = [None, v.Crop(kind="fraction", top=0.1, left=0.2, right=0.05),
          v.Crop(kind="dark_border")]  # fmt: skip
_SIZES = [None, *(v.Resize(height=h, width=w, interpolation=i, fit=f)  # type: ignore[arg-type]
                  for h, w in ((64, 48), (200, 260)) for i in ("area", "linear")
                  for f in ("stretch", "pad"))]  # fmt: skip


@pytest.mark.parametrize("late", [False, True], ids=["turn first", "turn last"])
def test_a_bright_dot_is_found_again_on_the_source(late: bool) -> None:
    y, x = np.mgrid[0:120, 0:150]
    film = np.zeros((120, 150), np.float32)
    film[6:112, 9:140] = 40  # a border to crop
    spots = [(70.0, 50.0), (100.0, 80.0)]
    for turn, crop, size in itertools.product(_TURNS, _CROPS, _SIZES):
        steps = [s for s in (turn, crop, size) if s is not None]
        preparation = compile_steps(steps[::-1] if late else steps)
        for cx, cy in spots:
            dot = 4000 * np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 18)
            picture = (film + dot).astype(np.float32)
            out = preparation(picture).astype(np.float64)
            weight = np.clip(out - 400, 0, None)  # the dot alone
            rows, columns = np.indices(out.shape)
            total = weight.sum()
            found = [(columns * weight).sum() / total, (rows * weight).sum() / total, 1]
            place = preparation.to_source(picture) @ found
            assert place[:2] == pytest.approx([cx, cy], abs=0.35), (steps, late)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "area", "cubic"])
def test_corners_of_a_stretch_meet_the_corners_of_the_source(interpolation: Any) -> None:
    picture = grey(shape=(50, 70))
    step = v.Resize(height=25, width=140, interpolation=interpolation)
    place = compile_steps([step]).to_source(picture)
    for corner, wanted in (((-0.5, -0.5), (-0.5, -0.5)), ((139.5, 24.5), (69.5, 49.5))):
        assert (place @ [*corner, 1])[:2] == pytest.approx(wanted)


# --- what is no image ---


@pytest.mark.parametrize(
    "image",
    [np.zeros((0, 4), np.uint8), np.zeros((4, 0), np.uint8), np.zeros(4, np.uint8),
     np.zeros((4, 4, 1), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((2, 4, 4, 3), np.uint8),
     np.zeros((), np.uint8)],
)  # fmt: skip
def test_a_shape_that_no_image_has_is_refused(image: Array) -> None:
    for call in (compile_steps([]), compile_steps([]).to_source):
        with pytest.raises(TensorMismatch, match=r"\(height, width\)"):
            call(image)


@pytest.mark.parametrize("dtype", ["f8", "i2", "i4", "?", ">u2", ">f4", "c8", "f2"])
def test_a_type_that_no_image_has_is_refused(dtype: str) -> None:
    with pytest.raises(TensorMismatch, match="convert them first"):
        prepare(np.zeros((4, 4), dtype))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_refused(value: float) -> None:
    picture = grey(dtype=np.float32)
    picture[3, 4] = value
    with pytest.raises(TensorMismatch, match="NaN or infinity"):
        prepare(picture, v.Intensity(kind="percentile", low=1, high=99))


def test_to_tensor_puts_channels_first() -> None:
    rgb = grey(shape=(5, 6, 3))
    assert np.array_equal(to_tensor(rgb)[0, 2], rgb[..., 2])
    assert to_tensor(rgb).flags.c_contiguous
    assert to_tensor(grey(shape=(5, 6))[:, ::2]).shape == (1, 1, 5, 3)


# --- the vocabulary ---


@pytest.mark.parametrize("step", ALL, ids=lambda s: type(s).__name__)
def test_steps_survive_json(step: Any) -> None:
    raw = msgspec.json.encode(step)
    assert f'"step":"{type(step).__name__.lower()}"'.encode() in raw
    assert msgspec.json.decode(raw, type=v.AnyStep) == step


@pytest.mark.parametrize(
    "raw",
    ['{"step":"intensity","kind":"percentile","low":99,"high":1}',
     '{"step":"intensity","kind":"percentile","low":5,"high":5}',
     '{"step":"intensity","kind":"percentile","low":-1,"high":50}',
     '{"step":"intensity","kind":"percentile","low":1,"high":101}',
     '{"step":"normalise","mean":[1,2],"std":[1,2]}',
     '{"step":"normalise","mean":[1],"std":[1,1,1]}',
     '{"step":"normalise","mean":[1],"std":[0]}',
     '{"step":"crop","kind":"fraction","top":0.5}',
     '{"step":"crop","kind":"fraction","top":-0.1}',
     '{"step":"resize","height":0,"width":4,"interpolation":"area"}',
     '{"step":"resize","height":4,"width":9000,"interpolation":"area"}',
     '{"step":"resize","height":4,"width":4,"interpolation":"lanczos"}',
     '{"step":"denoise","kind":"median","size_px":4}',
     '{"step":"denoise","kind":"gaussian","size_px":3,"sigma":0}',
     '{"step":"clahe","clip_limit":0,"tiles":8}',
     '{"step":"orientation","rotate_deg":45}',
     '{"step":"colour","to":"hsv"}',
     '{"step":"colour","to":"grey","extra":1}',
     '{"step":"exec"}', '{"to":"grey"}'],
)  # fmt: skip
def test_a_step_out_of_its_range_is_refused(raw: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=v.AnyStep)
