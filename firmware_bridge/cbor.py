"""CBOR maps from outside (RFC 8949): looked through before they are decoded.

`cbor2` decodes far more than a link needs: dates, regular expressions, fractions with a million
digits. What is accepted here are maps with text keys, and in them whole numbers, floats, text,
bytes, booleans, null, arrays and maps. Maps and arrays of indefinite length are accepted, because
Zephyr sends them; tags are not. Sizes, depth and the number of items are checked in one walk
without recursion before the decoder sees a byte.
"""

from __future__ import annotations

from typing import Any

from firmware_bridge.errors import BadMessage, MissingExtra

try:
    import cbor2
except ImportError as error:
    raise MissingExtra("cbor2", "the bridge") from error

MAX_DEPTH = 8
MAX_ITEMS = 4096
_BREAK = 0xFF
_MAP = 5


def dumps(told: dict[str, Any]) -> bytes:
    """A map as bytes; the same map gives the same bytes."""
    return cbor2.dumps(told)


def loads(data: bytes, *, max_bytes: int) -> dict[str, Any]:
    """The map that these bytes are.

    Raises:
        BadMessage: no such map, or too large, too deep, with a tag, or with something behind it.
    """
    if len(data) > max_bytes:
        raise BadMessage(f"a CBOR map of {len(data)} bytes; up to {max_bytes} are read")
    _walk(data)
    try:
        found = cbor2.loads(data, allow_duplicate_keys=False)
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError) as error:
        raise BadMessage(f"no CBOR map ({error})") from error
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise BadMessage("CBOR that is no map with text keys")
    return found


def _walk(data: bytes) -> None:
    """Checks the shape of one item that fills `data`."""
    at, items = 0, 0
    open_at: list[int] = [1]  # items still to come in each container; below 0: until a break
    kinds: list[int] = [-1]
    while True:
        while open_at[-1] == 0:
            open_at.pop()
            kinds.pop()
            if not open_at:
                if at != len(data):
                    raise BadMessage(f"{len(data) - at} bytes behind the CBOR map")
                return
        if at >= len(data):
            raise BadMessage("CBOR that is cut off")
        first = data[at]
        at += 1
        if first == _BREAK:
            if open_at[-1] >= 0 or (kinds[-1] == _MAP and open_at[-1] % 2 == 0):
                raise BadMessage("a CBOR break where none may be")
            open_at[-1] = 0
            continue
        items += 1
        if items > MAX_ITEMS:
            raise BadMessage(f"CBOR of more than {MAX_ITEMS} items")
        kind, small = first >> 5, first & 31
        # An indefinite container counts down from -1, so that a map knows whether a value is due.
        open_at[-1] -= 1
        if kinds[-1] in (2, 3) and (kind != kinds[-1] or small == 31):
            raise BadMessage("text of indefinite length with something else in it")
        if kind in (4, _MAP) and kinds[-1] == _MAP and _is_key(open_at[-1]):
            raise BadMessage("a CBOR container as a key")
        value, at = _argument(data, at, kind, small)
        if kind in (2, 3) and value is not None:
            at += value
            if at > len(data):
                raise BadMessage("CBOR that is cut off")
        elif kind in (2, 3, 4, _MAP):
            if len(open_at) > MAX_DEPTH:
                raise BadMessage(f"CBOR deeper than {MAX_DEPTH}")
            if value is not None and value > len(data):
                raise BadMessage("CBOR that is cut off")
            open_at.append(-1 if value is None else value * 2 if kind == _MAP else value)
            kinds.append(kind)


def _is_key(left: int) -> bool:
    """Whether the item just begun in a map is a key, by how many are left after it."""
    return left % 2 == 1 if left >= 0 else left % 2 == 0


def _argument(data: bytes, at: int, kind: int, small: int) -> tuple[int | None, int]:
    """The number in an item's head (None: indefinite length), and where the head ends."""
    if kind == 6 or (kind == 7 and not (20 <= small <= 22 or 25 <= small <= 27)):
        raise BadMessage("CBOR with a tag or a value that no map here has")
    if small < 24:
        return small, at
    if small == 31 and kind in (2, 3, 4, _MAP):
        return None, at
    if small > 27:
        raise BadMessage("CBOR with a reserved head")
    end = at + (1 << (small - 24))
    if end > len(data):
        raise BadMessage("CBOR that is cut off")
    return int.from_bytes(data[at:end], "big"), end
