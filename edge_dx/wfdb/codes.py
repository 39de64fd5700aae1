"""The annotation codes of the MIT format and their symbols (`ecgcodes.h` of the WFDB library)."""

from __future__ import annotations

SYMBOLS: dict[int, str] = {
    1: "N", 2: "L", 3: "R", 4: "a", 5: "V", 6: "F", 7: "J", 8: "A", 9: "S", 10: "E",
    11: "j", 12: "/", 13: "Q", 14: "~", 16: "|", 18: "s", 19: "T", 20: "*", 21: "D",
    22: '"', 23: "=", 24: "p", 25: "B", 26: "^", 27: "t", 28: "+", 29: "u", 30: "?",
    31: "!", 32: "[", 33: "]", 34: "e", 35: "n", 36: "@", 37: "x", 38: "f", 39: "(",
    40: ")", 41: "r",
}  # fmt: skip
"""Code to symbol. What has no symbol of its own is written `[code]`, as WFDB's tools do."""

CODES: dict[str, int] = {symbol: code for code, symbol in SYMBOLS.items()}
LAST_CODE = 49
"""Codes up to here mean annotations; 42 to 49 are left to whoever writes the file."""

BEATS = frozenset("NLRaVFJASEj/QB?!enfr")
"""Symbols that stand at a QRS complex or flutter wave: WFDB's `isqrs`."""

NOISE, NOTE, RHYTHM, VF_ON, VF_OFF = "~", '"', "+", "[", "]"


def symbol_of(code: int) -> str:
    """The symbol of a code from 1 to 49."""
    return SYMBOLS.get(code, f"[{code}]")


def code_of(symbol: str) -> int | None:
    """The code of a symbol, or None where there is none."""
    if symbol in CODES:
        return CODES[symbol]
    if symbol.startswith("[") and symbol.endswith("]") and symbol[1:-1].isdecimal():
        code = int(symbol[1:-1])
        return code if 0 < code <= LAST_CODE and code not in SYMBOLS else None
    return None
