"""A reader of FlatBuffers that believes nothing.

The format is a web of offsets. A table starts with a signed offset back to its vtable, which says
where each field lies (0: absent); a field that refers to a vector, a string or another table holds
an unsigned offset forwards. A reader that follows them unchecked reads wherever a damaged file
tells it to, so every step here is compared with the end of the buffer and with the alignment that
the format prescribes.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

_CODES = {"i8": "b", "u8": "B", "i32": "i", "u32": "I", "i64": "q", "u64": "Q", "f32": "f"}
_FORMATS = {name: struct.Struct("<" + code) for name, code in _CODES.items()}
_U16 = struct.Struct("<H")


class Broken(Exception):
    """The buffer refers to what is not in it."""


class Table:
    """A table of a buffer, its vtable and its extent checked.

    Args:
        buffer: the whole file.
        at: where the table starts.
    """

    def __init__(self, buffer: bytes, at: int) -> None:
        self.buffer, self.at = buffer, at
        back = _number(buffer, at, "i32")
        vtable = at - back
        head = _U16.size * 2
        if vtable < 0 or vtable % 2 or vtable + head > len(buffer):
            raise Broken(f"the table at {at} has its vtable outside the file")
        (size,), (self._extent,) = (
            _U16.unpack_from(buffer, vtable), _U16.unpack_from(buffer, vtable + 2),
        )  # fmt: skip
        if size < head or size % 2 or vtable + size > len(buffer):
            raise Broken(f"the vtable at {vtable} ends outside the file")
        if at + self._extent > len(buffer):
            raise Broken(f"the table at {at} ends outside the file")
        self._fields = struct.unpack_from(f"<{(size - head) // 2}H", buffer, vtable + head)

    def has(self, field: int) -> bool:
        """Whether the field is there."""
        return field < len(self._fields) and self._fields[field] != 0

    def number(self, field: int, kind: str) -> int:
        """A scalar, 0 where it is absent."""
        if not self.has(field):
            return 0
        offset = self._fields[field]
        if offset + _FORMATS[kind].size > self._extent:
            raise Broken(f"field {field} of the table at {self.at} lies outside the table")
        return int(_number(self.buffer, self.at + offset, kind))

    def table(self, field: int) -> Table | None:
        """The table that a field refers to, or None."""
        at = self._target(field)
        return None if at is None else Table(self.buffer, at)

    def tables(self, field: int) -> list[Table]:
        """The tables of a vector of them."""
        start, count = self._vector(field, 4)
        places = [start + 4 * k for k in range(count)]
        return [Table(self.buffer, at + _number(self.buffer, at, "u32")) for at in places]

    def numbers(self, field: int, kind: str) -> tuple[float, ...]:
        """The scalars of a vector."""
        start, count = self._vector(field, _FORMATS[kind].size)
        return struct.unpack_from(f"<{count}{_CODES[kind]}", self.buffer, start)

    def size(self, field: int) -> int:
        """How many bytes a vector of bytes has."""
        return self._vector(field, 1)[1]

    def string(self, field: int) -> None:
        """Checks a string: its bytes lie in the file, are UTF-8, and a zero ends them."""
        start, count = self._vector(field, 1)
        if self.has(field) and self.buffer[start + count : start + count + 1] != b"\0":
            raise Broken(f"the string at {start} has no end")
        try:
            self.buffer[start : start + count].decode("utf-8")
        except UnicodeDecodeError as error:
            raise Broken(f"the string at {start} is no text") from error

    def scalars(self, known: Mapping[int, str] | None = None) -> None:
        """Checks a table whose fields are scalars, but for the vectors named in `known`."""
        for field, offset in enumerate(self._fields):
            if known and field in known:
                self._vector(field, _FORMATS[known[field]].size)
            elif offset >= self._extent:
                raise Broken(f"field {field} of the table at {self.at} lies outside the table")

    def _target(self, field: int) -> int | None:
        if not self.has(field):
            return None
        forwards = self.number(field, "u32")
        if forwards == 0:
            raise Broken(f"field {field} of the table at {self.at} refers to itself")
        return self.at + int(self._fields[field]) + forwards

    def _vector(self, field: int, width: int) -> tuple[int, int]:
        """Where a vector's first element lies, and how many there are."""
        at = self._target(field)
        if at is None:
            return 0, 0
        count = _number(self.buffer, at, "u32")
        start = at + 4
        if start + count * width > len(self.buffer):
            raise Broken(f"the vector at {at} ends outside the file")
        if count and start % width:
            raise Broken(f"the vector at {at} is not aligned")
        return start, count


def root(buffer: bytes) -> Table:
    """The table that the file starts with.

    Raises:
        Broken: it lies outside the file.
    """
    return Table(buffer, _number(buffer, 0, "u32"))


def _number(buffer: bytes, at: int, kind: str) -> int:
    form = _FORMATS[kind]
    if at < 0 or at % form.size or at + form.size > len(buffer):
        raise Broken(f"offset {at} lies outside the file, or is not aligned")
    return int(form.unpack_from(buffer, at)[0])
