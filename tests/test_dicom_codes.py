"""Every status and every reason has a DICOM code, and every code is one of the standard's."""

from __future__ import annotations

import pytest

from edge_dx import dicom_codes
from edge_dx.dicom_codes import Code
from edge_dx.result import Reason, Status


def test_nothing_is_left_without_a_code() -> None:
    assert set(dicom_codes.STATUS) == set(dicom_codes.SUMMARY) == set(Status)
    assert set(dicom_codes.REASON) == set(Reason)


def test_what_was_not_analysed_never_reads_as_no_findings() -> None:
    for status in Status:
        nothing = dicom_codes.SUMMARY[status] == dicom_codes.WITHOUT_FINDINGS
        assert nothing == (status is Status.NEGATIVE)
        assert (dicom_codes.STATUS[status] == dicom_codes.SUCCEEDED) == status.analysed


def test_the_codes_are_those_of_the_standard() -> None:
    concepts = pytest.importorskip(
        "pydicom.sr._concepts_dict", reason="pydicom carries the standard's tables"
    ).concepts["DCM"]
    known = {value: meaning for codes in concepts.values() for value, (meaning, _) in codes.items()}
    for table in (dicom_codes.STATUS, dicom_codes.SUMMARY, dicom_codes.REASON):
        for code in table.values():
            assert isinstance(code, Code)
            assert known[code.value] == code.meaning
