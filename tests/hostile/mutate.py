"""Damage by rule and by chance: the same seed gives the same file on every machine."""

from __future__ import annotations

import random
import struct
import zlib
from collections.abc import Callable

from edge_dx.bundle import archive_bytes
from tests.hostile.seeds import Kind, Seed

_SIZES = (0, 1, 2, 4, 8, 255, 256, 32767, 32768, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 2,
          2**32 - 1)  # fmt: skip
_WORDS = (b"65535", b"-1", b"0", b"1e308", b"nan", b"99999999", b"", b"\0\0", b"null", b"[[[[",
          b"../..", b"\xff\xfe")  # fmt: skip


def mutated(seed: Seed, number: int, run: int) -> bytes:
    """The damaged version of this number of a whole file.

    Args:
        seed: the file.
        number: which of its versions.
        run: the seed of the whole run.
    """
    chance = random.Random(f"{run}:{seed.kind}:{seed.name}:{number}")
    # Two thirds keep their length, or hardly any would get past the check of the container; half of
    # these are damaged behind the header alone, where the decoders look.
    hows = _HOWS if number % 3 == 0 else _IN_PLACE
    pixels = seed.raw.rfind(b"\xe0\x7f\x10\0") if number % 3 == 1 else -1
    whole = seed.raw[: pixels + 12] if pixels >= 0 else b""
    raw = bytearray(seed.raw[len(whole) :])
    for _ in range(chance.choice((1, 1, 1, 2, 3, 8))):
        chance.choice(hows)(raw, chance)
    raw[:0] = whole
    # Every second time the damage gets past what guards the format.
    return repaired(seed.kind, bytes(raw)) if number % 2 else bytes(raw)


def repaired(kind: Kind, raw: bytes) -> bytes:
    """A damaged file whose check sums are right again, where its format has any."""
    return _REPAIRS[kind](raw) if kind in _REPAIRS else raw


def _at(raw: bytearray, chance: random.Random) -> int:
    """A place, more often near the beginning, where the headers are."""
    most = max(1, len(raw))
    return chance.randrange(min(most, 2048)) if chance.random() < 0.5 else chance.randrange(most)


def _bit(raw: bytearray, chance: random.Random) -> None:
    if raw:
        raw[_at(raw, chance)] ^= 1 << chance.randrange(8)


def _bytes(raw: bytearray, chance: random.Random) -> None:
    at, count = _at(raw, chance), chance.randrange(1, 9)
    raw[at : at + count] = chance.randbytes(len(raw[at : at + count]))


def _cut(raw: bytearray, chance: random.Random) -> None:
    del raw[_at(raw, chance) :]


def _gone(raw: bytearray, chance: random.Random) -> None:
    at = _at(raw, chance)
    del raw[at : at + chance.choice((1, 2, 8, 64, 1024))]


def _twice(raw: bytearray, chance: random.Random) -> None:
    at, count = _at(raw, chance), chance.choice((2, 8, 20, 64, 512))
    raw[at:at] = raw[at : at + count] * chance.choice((1, 2, 50))


def _splice(raw: bytearray, chance: random.Random) -> None:
    at, other, count = _at(raw, chance), _at(raw, chance), chance.choice((4, 16, 128))
    count = min(count, len(raw) - max(at, other))
    raw[at : at + count] = raw[other : other + count]


def _size(raw: bytearray, chance: random.Random) -> None:
    """A length or dimension that nobody has: where one could stand, aligned or not."""
    form, size = chance.choice((("<H", 2), (">H", 2), ("<I", 4), (">I", 4)))
    at = _at(raw, chance) // 2 * 2
    if at + size <= len(raw):
        struct.pack_into(form, raw, at, chance.choice(_SIZES) % 256**size)


def _word(raw: bytearray, chance: random.Random) -> None:
    """Digits in text, replaced: numbers of frames, windows, JSON."""
    places = [i for i in range(min(len(raw), 8192)) if 0x30 <= raw[i] <= 0x39]
    if places:
        at, word = chance.choice(places), chance.choice(_WORDS)
        raw[at : at + len(word)] = word[: len(raw) - at]


def _element(raw: bytearray, chance: random.Random) -> None:
    """A DICOM element of the image module, given another 16-bit value."""
    places = [i for i in range(0, min(len(raw), 16384) - 10) if raw[i : i + 2] == b"\x28\0"]
    if places:
        at = chance.choice(places)
        wide = raw[at + 4 : at + 6].isalpha()
        struct.pack_into("<H", raw, at + 8, chance.choice(_SIZES) % 65536)
        if chance.random() < 0.1:
            struct.pack_into("<H", raw, at + (6 if wide else 4), chance.choice(_SIZES) % 65536)


_How = Callable[[bytearray, random.Random], None]
_IN_PLACE: tuple[_How, ...] = (_bit, _bytes, _splice, _size, _size, _word, _element)
_HOWS: tuple[_How, ...] = (*_IN_PLACE, _cut, _gone, _twice)


def _with_checksums(raw: bytes) -> bytes:
    """A PNG whose chunks have the check sums of what is in them now."""
    if not raw.startswith(b"\x89PNG"):
        return raw
    found, at = bytearray(raw), 8
    while at + 12 <= len(found):
        (length,) = struct.unpack_from(">I", found, at)
        end = at + 12 + length
        if end > len(found):
            break
        struct.pack_into(">I", found, end - 4, zlib.crc32(found[at + 4 : end - 4]))
        at = end
    return bytes(found)


def _packed_again(raw: bytes) -> bytes:
    """A bundle whose archive is right again around a damaged manifest."""
    start, end = raw.find(b'{"'), raw.rfind(b"}")
    return archive_bytes(raw[start : end + 1], {}) if 0 <= start < end else raw


_REPAIRS: dict[Kind, Callable[[bytes], bytes]] = {
    "picture": _with_checksums,
    "bundle": _packed_again,
}
