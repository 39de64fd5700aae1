"""The sets of the MIT-BIH Arrhythmia Database that papers compare themselves on."""

from __future__ import annotations

from collections.abc import Iterable

DS1 = (
    "101", "106", "108", "109", "112", "114", "115", "116", "118", "119", "122", "124",
    "201", "203", "205", "207", "208", "209", "215", "220", "223", "230",
)  # fmt: skip
"""Training records of de Chazal 2004."""
DS2 = (
    "100", "103", "105", "111", "113", "117", "121", "123", "200", "202", "210", "212",
    "213", "214", "219", "221", "222", "228", "231", "232", "233", "234",
)  # fmt: skip
"""Test records of de Chazal 2004. 202 is the man of 201, which is in DS1."""
PACED = (
    "102", "104", "107", "217",
)  # fmt: skip
"""With pacemakers: EC57 leaves them out."""
MITBIH = frozenset(DS1 + DS2 + PACED)
"""All 48 records."""
SETS = {"DS1": DS1, "DS2": DS2}


def patients_of(records: Iterable[str]) -> dict[str, str]:
    """Who each record is of: each its own patient, but 201 and 202 one where all are MIT-BIH's."""
    names = list(records)
    one = "201_202" if MITBIH.issuperset(names) else None
    return {name: one if one and name in ("201", "202") else name for name in names}
