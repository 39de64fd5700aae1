"""DICOM: pixels with the meaning that the header gives them, or a reason."""

from __future__ import annotations

import hashlib
import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_dx import gate, sources
from edge_dx.errors import InputError, MissingExtra, UnreadableInput, UnsupportedInput
from edge_dx.manifest import Eligibility
from edge_dx.result import Reason
from edge_dx.sources.dicom import frames, quantities
from tests import tiny

pydicom = pytest.importorskip("pydicom", reason="the extra `dicom` is not installed")

from pydicom.dataset import Dataset, FileDataset, FileMetaDataset  # noqa: E402 (after the skip)
from pydicom.uid import (  # noqa: E402 (after the skip)
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

Array = np.ndarray[Any, Any]
FILM = tiny.film(2, 48)[:40]
SHIPPED = sorted((Path(pydicom.__file__).parent / "data" / "test_files").rglob("*.dcm"))
SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "dicom_samples" / "files"


def dicom(pixels: Array = FILM, syntax: str = ExplicitVRLittleEndian, **facts: Any) -> Dataset:
    """A data set in memory with the header of a plain chest film."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1.1"
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    meta.TransferSyntaxUID = syntax
    found = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    found.SOPClassUID = meta.MediaStorageSOPClassUID
    found.SOPInstanceUID = "1.2.3"
    found.Modality, found.BodyPartExamined, found.ViewPosition = "DX", "CHEST", "PA"
    found.Rows, found.Columns = pixels.shape[:2]
    found.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    if pixels.ndim == 3:
        found.PlanarConfiguration = 0
    found.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    found.BitsAllocated = 8 * pixels.dtype.itemsize
    found.BitsStored = found.BitsAllocated
    found.HighBit = found.BitsStored - 1
    found.PixelRepresentation = int(pixels.dtype.kind == "i")
    found.PixelData = pixels.tobytes()
    for keyword, value in facts.items():
        setattr(found, keyword, value)
    if "BitsStored" in facts:
        found.HighBit = facts["BitsStored"] - 1
    return found


def encoded(found: Dataset) -> bytes:
    out = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom mentions odd values that the test wants odd
        found.save_as(out, enforce_file_format=True)
    return out.getvalue()


def read(raw: bytes, tmp_path: Path) -> sources.Study:
    path = tmp_path / "film.dcm"
    path.write_bytes(raw)
    return sources.read(path)


# --- what the pixels mean ---


def test_the_header_is_read_without_the_pixels(tmp_path: Path) -> None:
    found = dicom(ImagerPixelSpacing=[0.2, 0.3])
    study = read(encoded(found), tmp_path)
    assert (study.modality, study.body_part, study.view) == ("DX", "CHEST", "PA")
    assert study.shape == (40, 48)
    assert study.mm_per_px == (0.2, 0.3)
    assert study.assumed == ()
    assert np.array_equal(study.pixels, FILM)
    assert np.array_equal(sources.read(found).pixels, FILM)


def test_monochrome1_is_turned_round(tmp_path: Path) -> None:
    for film in (FILM, FILM.astype(np.uint16) * 257):
        plain = sources.read(dicom(film)).pixels
        turned = sources.read(dicom(film, PhotometricInterpretation="MONOCHROME1")).pixels
        assert np.array_equal(turned, np.iinfo(film.dtype).max - plain)


def test_twelve_bits_fill_the_range_that_they_can_hold() -> None:
    film = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48) * 2
    out = sources.read(dicom(film, BitsStored=12)).pixels
    assert out.dtype == np.uint16
    assert np.abs(out - film * (65535 / 4095)).max() <= 0.51


def test_signed_values_rescaled_to_hounsfield_units() -> None:
    film = np.linspace(-2048, 2047, 40 * 48).astype(np.int16).reshape(40, 48)
    facts = {"BitsStored": 12, "RescaleSlope": "2", "RescaleIntercept": "-100"}
    out = sources.read(dicom(film, **facts)).pixels
    low, high = 2 * -2048 - 100, 2 * 2047 - 100
    wanted = np.clip((film.astype(float) * 2 - 100 - low) / (high - low), 0, 1) * 65535
    assert np.abs(out - wanted).max() <= 1


def test_a_window_is_applied_as_the_standard_says() -> None:
    film = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48)
    centre, width = 900.0, 301.0
    out = sources.read(dicom(film, WindowCenter=[centre, 5], WindowWidth=[width, 5])).pixels
    # PS3.3 C.11.2.1.2.1 with y from 0 to 65535.
    shown = ((film - (centre - 0.5)) / (width - 1) + 0.5) * 65535
    assert np.abs(out - np.clip(shown, 0, 65535)).max() <= 0.51


def test_a_window_is_in_the_rescaled_unit() -> None:
    film = np.arange(40 * 48, dtype=np.uint16).reshape(40, 48)
    facts = {"RescaleSlope": "1", "RescaleIntercept": "-1000"}
    one = sources.read(dicom(film, WindowCenter=40, WindowWidth=400, **facts)).pixels
    other = sources.read(dicom(film, WindowCenter=1040, WindowWidth=400)).pixels
    assert np.abs(one.astype(int) - other).max() <= 1


def test_a_film_without_a_window_says_so() -> None:
    film = FILM.astype(np.uint16)
    assert any("no window" in told for told in sources.read(dicom(film, BitsStored=12)).assumed)
    shown = sources.read(dicom(film, BitsStored=12, WindowCenter=100, WindowWidth=200))
    assert shown.assumed == ()
    absurd = sources.read(dicom(film, BitsStored=12, WindowCenter=100, WindowWidth=-200))
    assert absurd.assumed == ("window width -200 is none; the whole range is shown",)


@pytest.mark.parametrize("kind", ["US", "SS"])
@pytest.mark.parametrize("signed", [True, False])
def test_padding_is_the_same_number_in_either_representation(
    kind: str, signed: bool, tmp_path: Path
) -> None:
    film = np.full((40, 48), 100, np.uint16)
    film[:5] = 63536  # -2000
    found = dicom(film.view(np.int16) if signed else film, WindowCenter=50, WindowWidth=100,
                  PresentationLUTShape="INVERSE")  # fmt: skip
    found.add_new("PixelPaddingValue", kind, 63536 if kind == "US" else -2000)
    out = read(encoded(found), tmp_path).pixels
    assert out[:5].max() == 0
    found.PixelPaddingValue = 7
    assert read(encoded(found), tmp_path).pixels[:5].max() == (65535 if signed else 0)


def test_a_rescale_beyond_all_numbers_is_no_black_picture(tmp_path: Path) -> None:
    film = FILM.astype(np.uint16)
    for facts in ({"RescaleSlope": "1e308", "RescaleIntercept": "1e308"},
                  {"RescaleSlope": "-1e308", "WindowCenter": 5, "WindowWidth": 9,
                   "VOILUTFunction": "SIGMOID", "RescaleIntercept": "-1e308"}):  # fmt: skip
        found = dicom(film, **facts)
        path = tmp_path / "far.dcm"
        path.write_bytes(encoded(found))
        with pytest.raises(UnreadableInput, match="beyond all numbers"):
            quantities(path)
    with pytest.raises(UnreadableInput, match=r"film\.dcm: its rescale or window leads beyond"):
        _ = read(encoded(dicom(film, RescaleSlope="1e308", RescaleIntercept="1e308")),
                 tmp_path).pixels  # fmt: skip


def lut(descriptor: list[int], data: Any, kind: str = "OW") -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", descriptor)
    item.add_new("LUTData", kind, data)
    return item


def test_a_short_table_of_words_is_not_taken_for_one_of_bytes() -> None:
    found = dicom(VOILUTSequence=[lut([256, 0, 16], bytes(300))])
    with pytest.raises(UnreadableInput, match="150 entries, 256 are announced"):
        _ = sources.read(found).pixels


def test_table_entries_written_as_signed_are_not() -> None:
    entries = (np.arange(256) * 257).astype(np.uint16)
    words = sources.read(dicom(VOILUTSequence=[lut([256, 0, 16], entries.tobytes())])).pixels
    signed = [int(v) for v in entries.view(np.int16)]
    assert np.array_equal(
        sources.read(dicom(VOILUTSequence=[lut([256, 0, 16], signed, "SS")])).pixels, words
    )


def palette(film: Array, first: int, colours: Array, **facts: Any) -> Dataset:
    found = dicom(film, PhotometricInterpretation="PALETTE COLOR", **facts)
    for channel, name in enumerate(("Red", "Green", "Blue")):
        kind = "SS" if first < 0 else "US"
        data = np.ascontiguousarray(colours[:, channel]).tobytes()
        start = f"{name}PaletteColorLookupTable"
        found.add_new(f"{start}Descriptor", kind, [len(colours), first, 8])
        found.add_new(f"{start}Data", "OW", data)
    return found


def test_a_palette_of_signed_numbers() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (256, 3)).astype(np.uint8)
    film = np.arange(-128, 128, dtype=np.int8).reshape(16, 16)
    out = sources.read(palette(film, -128, colours)).pixels
    assert np.array_equal(out.reshape(-1, 3), colours)


def test_a_palette_for_wide_numbers_is_refused_before_room_is_made(tmp_path: Path) -> None:
    colours = np.zeros((256, 3), np.uint8)
    found = palette(FILM.astype(np.uint32), 0, colours)
    with pytest.raises(UnsupportedInput, match="into a palette") as caught:
        _ = read(encoded(found), tmp_path).pixels
    assert caught.value.reason == "colour"


def test_the_digest_of_a_data_set_is_of_what_is_shown() -> None:
    plain, turned = dicom(), dicom(PhotometricInterpretation="MONOCHROME1")
    assert sources.read(plain).digest == sources.read(dicom()).digest
    assert sources.read(plain).digest != sources.read(turned).digest


def test_rgb_is_read_as_it_is(tmp_path: Path) -> None:
    colour = np.stack([FILM, 255 - FILM, FILM // 2], axis=-1)
    assert np.array_equal(sources.read(dicom(colour)).pixels, colour)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless])
def test_transfer_syntaxes_that_need_no_plugin(tmp_path: Path, syntax: str) -> None:
    found = dicom(FILM)
    if syntax == RLELossless:
        found.compress(RLELossless, generate_instance_uid=False)
    else:
        found = dicom(FILM, syntax)
    assert np.array_equal(read(encoded(found), tmp_path).pixels, FILM)


# --- refused ---


def test_another_modality_is_refused_by_the_header_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> None:
        raise AssertionError("decoded what the header rules out")

    monkeypatch.setattr(frames.Frames, "__init__", never)
    study = read(encoded(dicom(Modality="US")), tmp_path)
    why = gate.check_header(study, Eligibility(modalities=("CR", "DX")))
    assert [w.code for w in why] == [Reason.MODALITY]


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "unreadable"),
        ({"PhotometricInterpretation": "YBR_FULL"}, "unreadable"),
        ({"PhotometricInterpretation": "YBR_PARTIAL_420"}, "colour"),
        ({"PhotometricInterpretation": None}, "colour"),
        ({"NumberOfFrames": 2, "PixelData": FILM.tobytes()}, "unreadable"),
        ({"VOILUTFunction": "CUBIC", "WindowCenter": 1, "WindowWidth": 2}, "format"),
        ({"ModalityLUTSequence": [Dataset()]}, "unreadable"),
        ({"VOILUTSequence": [Dataset()]}, "unreadable"),
        ({"Rows": 0}, "unreadable"),
        ({"Rows": None}, "unreadable"),
        ({"Columns": 49}, "unreadable"),
        ({"NumberOfFrames": -1}, "unreadable"),
        ({"SamplesPerPixel": 3, "PlanarConfiguration": 0}, "unreadable"),
        ({"BitsAllocated": 7}, "format"),
        ({"BitsStored": 12, "BitsAllocated": 16}, "unreadable"),
        ({"PixelData": b""}, "unreadable"),
        ({"PixelData": FILM.tobytes()[:-2]}, "unreadable"),
        ({"PixelData": FILM.tobytes()[:1000]}, "unreadable"),
        ({"Rows": 20000, "Columns": 20000}, "too_large"),
    ],
)  # fmt: skip
def test_what_is_not_read_says_why(tmp_path: Path, facts: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError) as caught:
        _ = read(encoded(dicom(**facts)), tmp_path).pixels
    assert caught.value.reason == reason
    assert "film.dcm: " in str(caught.value)


@pytest.mark.parametrize("keyword", ["WindowCenter", "WindowWidth", "RescaleSlope",
                                     "RescaleIntercept", "ImagerPixelSpacing"])  # fmt: skip
@pytest.mark.parametrize("value", [b"abc ", b"nan ", b"inf ", b"1\\x ", b"\xff\xfe"])
def test_numbers_that_are_none_are_refused_in_silence(
    tmp_path: Path, keyword: str, value: bytes
) -> None:
    raw = encoded(dicom(FILM.astype(np.uint16), WindowCenter=5, WindowWidth=4, RescaleSlope="1234",
                        RescaleIntercept="1234", ImagerPixelSpacing="1234"))  # fmt: skip
    tag = pydicom.datadict.tag_for_keyword(keyword)
    head = int(tag).to_bytes(4, "little")
    head = head[2:] + head[:2] + b"DS"
    at = raw.index(head)
    size = int.from_bytes(raw[at + 6 : at + 8], "little")
    spoilt = raw[: at + 6] + len(value).to_bytes(2, "little") + value + raw[at + 8 + size :]
    try:
        study = read(spoilt, tmp_path)
        out = study.pixels
    except UnreadableInput as error:
        assert error.reason == "unreadable"  # noqa: PT017 (no error is right too)
    else:  # a second value of a window is not used
        assert out.shape == FILM.shape
        assert value == b"1\\x " or keyword == "ImagerPixelSpacing"


def test_short_pixel_data_is_refused_at_every_length(tmp_path: Path) -> None:
    for film in (FILM, FILM.astype(np.uint16)):
        raw = encoded(dicom(film))
        for cut in (1, 2, 3, 100, len(film.tobytes()) - 1):
            with pytest.raises(InputError) as caught:
                _ = read(raw[:-cut], tmp_path).pixels
            assert caught.value.reason == "unreadable"


def test_deflated_files_are_inflated_and_refused_once_they_grow_too_much(tmp_path: Path) -> None:
    film = np.random.default_rng(0).integers(0, 256, FILM.shape).astype(np.uint8)
    raw = encoded(dicom(film, syntax=DeflatedExplicitVRLittleEndian))
    study = read(raw, tmp_path)
    assert np.array_equal(study.pixels, film)
    assert study.digest == hashlib.sha256(raw).hexdigest()
    with pytest.raises(UnreadableInput, match="cut short"):
        read(raw[:-40], tmp_path)
    blank = np.zeros((4000, 4000), np.uint8)
    with pytest.raises(UnsupportedInput, match="grows beyond") as caught:
        read(encoded(dicom(blank, syntax=DeflatedExplicitVRLittleEndian)), tmp_path)
    assert caught.value.reason == "too_large"


def test_without_pydicom_the_command_that_brings_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = encoded(dicom())
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"pip install 'edge-dx\[dicom\]'") as caught:
        read(raw, tmp_path)
    assert (caught.value.package, caught.value.extra) == ("pydicom", "dicom")


def test_damaged_headers_give_typed_errors(tmp_path: Path) -> None:
    raw = bytearray(encoded(dicom()))
    generator = np.random.default_rng(1)
    head = len(raw) - FILM.nbytes
    for at in [*range(128, head), *generator.integers(128, head, 300).tolist()]:
        before = raw[at]
        raw[at] = int(generator.integers(0, 256))
        try:
            study = read(bytes(raw), tmp_path)
            assert study.pixels.shape[:2] == study.shape
        except InputError as error:
            Reason(error.reason)
        raw[at] = before


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_pydicoms_own_files_give_pixels_or_a_reason(path: Path) -> None:
    started = time.monotonic()
    try:
        study = sources.read(path)
        pixels = study.pixels
    except InputError as error:
        assert path.name in str(error)  # noqa: PT017 (no error is right too)
        Reason(error.reason)
    else:
        assert pixels.shape[:2] == study.shape
        assert pixels.dtype in (np.uint8, np.uint16)
    assert time.monotonic() - started < 5


def test_enough_of_pydicoms_own_files_are_there() -> None:
    assert len(SHIPPED) > 50


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the DICOM samples are not beside this checkout")
def test_real_files_give_pixels_or_a_reason() -> None:
    read_at_all = 0
    for path in sorted(SAMPLES.glob("*.dcm")):
        try:
            study = sources.read(path)
            assert study.pixels.shape[:2] == study.shape
            read_at_all += 1
        except InputError as error:
            Reason(error.reason)
    assert read_at_all
    normal = sources.read(SAMPLES / "cr_chest_rsna.dcm").pixels
    turned = sources.read(SAMPLES / "cr_chest_monochrome1.dcm").pixels
    # The samples' maker changed the tag and left the stored values as they were.
    assert np.corrcoef(normal.ravel(), turned.ravel())[0, 1] < -0.99
