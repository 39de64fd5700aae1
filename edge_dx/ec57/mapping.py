"""Which class of beat each symbol is. Sets differ by name, and the name is part of every figure.

EC57 knows five classes: N (any beat that is none of the others), S (supraventricular ectopic), V
(ventricular ectopic), F (fusion of ventricular and normal) and Q (paced or unclassifiable).
Whether escape beats (`e`, `j`) are N or S is not agreed on; on MIT-BIH's DS2 it moves 12 % of S.
"""

from __future__ import annotations

from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from types import MappingProxyType

from edge_dx.wfdb import BEATS

LABELS = "NSVFQOX"
"""Rows and columns of the matrix: five classes, O (no beat there) and X (none, in shutdown)."""


@dataclass(frozen=True)
class Mapping:
    """Symbols to classes.

    Attributes:
        name: printed with every figure.
        classes: class to its symbols. A beat in none of them (`!`) is read, and not counted.
        told: where it comes from, in a line.
    """

    name: str
    classes: MappingOf[str, str]
    told: str

    def of(self, symbol: str) -> str:
        """The class of a beat's symbol; O where it has none."""
        return next((label for label, own in self.classes.items() if symbol in own), "O")

    @property
    def table(self) -> dict[str, str]:
        """Every beat symbol with its class."""
        return {symbol: self.of(symbol) for symbol in BEATS}

    @property
    def tells_supraventricular(self) -> bool:
        """Whether there is a class S at all."""
        return "S" in self.classes


def _mapping(name: str, told: str, **classes: str) -> Mapping:
    return Mapping(name, MappingProxyType(classes), told)


_MAPPINGS = (
    _mapping("bxb-S", "as the program bxb with -C, -L or -S: escape beats e and j are S",
             N="NLRB", S="AaJSejn", V="VrE", F="F", Q="Q/f?"),
    _mapping("ej-normal", "as de Chazal 2004 and most papers: escape beats e and j are N",
             N="NLRBej", S="AaJSn", V="VrE", F="F", Q="Q/f?"),
    _mapping("bxb-s", "as the program bxb without -S: no class S, supraventricular beats are N",
             N="NLRBAaJSejn", V="VrE", F="F", Q="Q/f?"),
)  # fmt: skip
MAPPINGS: MappingOf[str, Mapping] = MappingProxyType({found.name: found for found in _MAPPINGS})
"""Those that are known by name."""
