"""A phantom as a PNG or DICOM file; with the same packages, the same phantom is the same bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from edge_dx.errors import MissingExtra

if TYPE_CHECKING:
    from edge_dx.phantom import Phantom

_FILM_WIDTH_MM = 350.0
"""Width of the drawn film: 35 cm, the common cassette for a chest."""


def write_png(phantom: Phantom, path: str | Path) -> None:
    """Writes a grey PNG of 8 or 16 bits.

    More than 8 and fewer than 16 bits are scaled to 16 by repeating the leading bits below the
    last, as the PNG specification advises (12.4): a viewer shows the right brightness, and a
    shift to the right by `16 - bits` gives the values back.
    """
    import cv2

    pixels = phantom.pixels
    if 8 < phantom.bits < 16:
        spare = 16 - phantom.bits
        pixels = (pixels << spare) | (pixels >> (phantom.bits - spare))
    ok, encoded = cv2.imencode(".png", pixels)
    if not ok:
        raise OSError(f"{path}: OpenCV could not encode the phantom as PNG")
    Path(path).write_bytes(encoded.tobytes())


def write_dicom(
    phantom: Phantom,
    path: str | Path,
    photometric: Literal["MONOCHROME1", "MONOCHROME2"] = "MONOCHROME2",
) -> None:
    """Writes a digital X-ray image (DX, for presentation), explicit VR little endian.

    Args:
        phantom: what to write.
        path: where to.
        photometric: `MONOCHROME1` stores the pixels inverted, so that the same film is displayed.

    Raises:
        MissingExtra: pydicom is not installed.
        ValueError: another photometric interpretation.
    """
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(f"photometric: MONOCHROME1 or MONOCHROME2, not {photometric!r}")
    try:
        from pydicom.dataset import Dataset, FileMetaDataset
        from pydicom.sequence import Sequence
        from pydicom.uid import UID, DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
    except ImportError as error:
        raise MissingExtra("pydicom", "dicom", f"{path}: writing DICOM") from error

    height, width = phantom.pixels.shape
    stored = phantom.pixels
    if photometric == "MONOCHROME1":
        stored = (2**phantom.bits - 1) - stored
    data = stored.astype("<u1" if phantom.bits == 8 else "<u2").tobytes()
    content = f"{photometric} {phantom.bits} {height} {width} ".encode() + data

    def uid(purpose: str) -> UID:
        # A UUID-derived UID is 2.25. and a decimal number of 128 bits (PS3.5 B.2).
        digest = hashlib.sha256(purpose.encode() + b" " + content).digest()
        return UID(f"2.25.{int.from_bytes(digest[:16], 'big')}")

    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\x00\x01"
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = uid("instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID("2.25.75462172679842126829281009144664308546")
    meta.ImplementationVersionName = "EDGE_DX_PHANTOM"

    def coded(value: str, meaning: str) -> Sequence:
        code = Dataset()
        code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
        return Sequence([code])

    ds = Dataset()
    ds.file_meta = meta
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.SOPClassUID = meta.MediaStorageSOPClassUID
    ds.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    # May be empty, and are: a drawing has no day, and the clock would change the bytes.
    ds.StudyDate = ds.StudyTime = ""
    ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.Modality = "DX"
    ds.PresentationIntentType = "FOR PRESENTATION"
    ds.Manufacturer = "edge_dx phantom"
    ds.PatientName = "PHANTOM^CHEST"
    ds.PatientID = "PHANTOM"
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.BodyPartExamined = "CHEST"
    ds.ViewPosition = "PA"
    ds.DetectorType = "DIRECT"
    ds.StudyInstanceUID = uid("study")
    ds.SeriesInstanceUID = uid("series")
    ds.StudyID = "1"
    ds.SeriesNumber = ds.InstanceNumber = 1
    ds.PatientOrientation = ["L", "F"]
    ds.ImageLaterality = "U"  # unpaired body part
    ds.ImageComments = "drawn phantom, no patient"
    ds.BurnedInAnnotation = "NO"
    ds.LossyImageCompression = "00"
    ds.AnatomicRegionSequence = coded("816094009", "Chest")
    ds.ViewCodeSequence = coded("272479007", "postero-anterior")
    ds.AcquisitionContextSequence = Sequence([])
    spacing = f"{_FILM_WIDTH_MM / width:.6f}"
    ds.ImagerPixelSpacing = [spacing, spacing]
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = photometric
    ds.Rows, ds.Columns = height, width
    ds.BitsAllocated = 8 if phantom.bits == 8 else 16
    ds.BitsStored, ds.HighBit = phantom.bits, phantom.bits - 1
    ds.PixelRepresentation = 0
    ds.PixelIntensityRelationship = "LOG"
    ds.PixelIntensityRelationshipSign = 1 if photometric == "MONOCHROME1" else -1
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = "0", "1", "US"
    # The linear window that shows the whole range as it is (PS3.3 C.11.2.1.2.1).
    ds.WindowCenter, ds.WindowWidth = str(2 ** (phantom.bits - 1)), str(2**phantom.bits)
    ds.PresentationLUTShape = "INVERSE" if photometric == "MONOCHROME1" else "IDENTITY"
    ds.add_new("PixelData", "OB" if phantom.bits == 8 else "OW", data + b"\0" * (len(data) % 2))
    ds.save_as(path, enforce_file_format=True)
