"""Writes the golden vectors, from docs/wire.md alone: nothing of firmware_bridge is used here.

    python -m tests.bridge.vectors.make

The Python tests and those of the C reference read what it wrote.
"""

from __future__ import annotations

import base64
import json
import struct
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


def crc32(data: bytes) -> int:
    """Bit by bit: polynomial 0xEDB88320 reflected, start and end inverted."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = value >> 1 ^ (0xEDB88320 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def crc16(data: bytes) -> int:
    """XMODEM: polynomial 0x1021, start 0."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value


def cobs(data: bytes) -> bytes:
    found, block = bytearray(), bytearray()
    for byte in data:
        if byte:
            block.append(byte)
            if len(block) == 254:
                found += b"\xff" + block
                block.clear()
        else:
            found.append(len(block) + 1)
            found += block
            block.clear()
    # A full block at the very end needs no group after it.
    if block or not found or not data or data[-1] == 0 or found[-255:-254] != b"\xff":
        found.append(len(block) + 1)
        found += block
    return bytes(found)


def frame(channel: int, payload: bytes) -> bytes:
    body = bytes([channel]) + payload
    return cobs(body + struct.pack("<I", crc32(body))) + b"\0"


def console(message: bytes) -> bytes:
    text = base64.b64encode(
        struct.pack(">H", len(message) + 2) + message + struct.pack(">H", crc16(message))
    )
    lines = [text[at : at + 120] for at in range(0, len(text), 120)]
    return b"".join((b"\x06\x09" if n == 0 else b"\x04\x14") + line + b"\n"
                    for n, line in enumerate(lines))  # fmt: skip


def frames() -> list[dict[str, Any]]:
    cases = {
        "empty log": (0, b""),
        "text": (0, b"boot: ok"),
        "zeros": (2, bytes(7)),
        "no zero in 254 with the checksum": (2, bytes(range(1, 250))),
        "no zero in 254 alone": (1, bytes(i % 255 + 1 for i in range(253))),
        "no zero in 255": (1, bytes(i % 255 + 1 for i in range(254))),
        "two long blocks": (3, bytes(i % 255 + 1 for i in range(520))),
        "all bytes": (2, bytes(range(256))),
        "ones that look like a frame": (2, bytes.fromhex("ff00ff0001010100")),
    }
    return [
        {"name": name, "channel": channel, "payload": payload.hex(),
         "wire": frame(channel, payload).hex()}
        for name, (channel, payload) in cases.items()
    ]  # fmt: skip


def samples() -> list[dict[str, Any]]:
    cases = [
        ("one lead i24", 0, 0, 2, 0x1234, 1_000, 987_654_321, 0, 0,
         [[0], [-1], [8388607], [-8388608]]),
        ("two leads i16", 0x10, 3, 1, 1, 2**32 - 1, 2**40, 77, 0,
         [[1, -2], [32767, -32768], [0, 5]]),
        ("eight leads i32, two off", 0x01, 9, 3, 65535, 0, 0, 2**32 - 1, 0b10000010,
         [[2**31 - 1, -(2**31), 0, 1, -1, 256, -256, 65536]]),
        ("made up by the device", 0x02, 0, 2, 7, 50, 200_000, 0, 0, [[5]] * 3),
        ("nothing but the place", 0, 0, 2, 7, 53, 212_000, 0, 0, []),
    ]  # fmt: skip
    found = []
    for name, flags, stream, form, boot, first, t_us, dropped, off, counts in cases:
        head = struct.pack("<BBBBHHIQI", 0x11, flags, stream, form, boot, len(counts), first, t_us,
                           dropped)  # fmt: skip
        body = struct.pack("<I", off) if flags & 1 else b""
        for value in (value for row in counts for value in row):
            body += value.to_bytes({1: 2, 2: 3, 3: 4}[form], "little", signed=True)
        found.append({
            "name": name, "flags": flags, "stream": stream, "format": form, "boot_id": boot,
            "first_index": first, "t_dev_us": t_us, "dropped_total": dropped, "leads_off": off,
            "counts": counts, "payload": (head + body).hex(),
        })  # fmt: skip
    return found


def pictures() -> list[dict[str, Any]]:
    found = []
    pixels = bytes(range(0, 240, 10))
    for offset, data in ((0, pixels[:16]), (16, pixels[16:])):
        head = struct.pack("<BBBBHHIQI", 0x12, 0, 4, 16, 9, len(data), 12, 5_000_000, 1)
        body = struct.pack("<HHffI", 6, 4, 0.25, 0.5, offset) + data
        found.append({
            "name": f"piece at {offset}", "stream": 4, "boot_id": 9, "first_index": 12,
            "t_dev_us": 5_000_000, "dropped_total": 1, "width": 6, "height": 4,
            "mm_per_px": [0.25, 0.5], "offset": offset, "data": data.hex(),
            "payload": (head + body).hex(),
        })  # fmt: skip
    return found


def events() -> list[dict[str, Any]]:
    cases = [
        ("marker", 1, 5, 0, 123_456, {}, b"\xa0"),
        ("lead off", 2, 5, 1, 200_000, {"lead": 1, "off": True}, b"\xa2\x64lead\x01\x63off\xf5"),
        ("battery", 3, 5, 2, 2**33, {"percent": 87}, b"\xa1\x67percent\x18\x57"),
    ]
    found = []
    for name, kind, boot, number, t_us, told, raw in cases:
        payload = struct.pack("<BBHIQ", 0x13, kind, boot, number, t_us) + raw
        found.append({"name": name, "kind": kind, "boot_id": boot, "number": number,
                      "t_dev_us": t_us, "told": told, "payload": payload.hex()})  # fmt: skip
    return found


def smp() -> list[dict[str, Any]]:
    cases: list[tuple[str, int, int, int, int, dict[str, Any], bytes]] = [
        ("echo", 2, 0, 0, 7, {"d": "hi"}, b"\xa1\x61d\x62hi"),
        ("echo answered", 3, 0, 0, 7, {"r": "hi"}, b"\xa1\x61r\x62hi"),
        ("answered as Zephyr does", 3, 0, 0, 8, {"r": "hi"}, b"\xbf\x61r\x62hi\xff"),
        ("parameters", 1, 0, 6, 255, {"buf_size": 1024, "buf_count": 4},
         b"\xbf\x68buf_size\x19\x04\x00\x69buf_count\x04\xff"),
        ("hello", 0, 0x4544, 0, 0, {}, b"\xa0"),
        ("ping", 0, 0x4544, 1, 1, {"t1": 2**40},
         b"\xa1\x62t1\x1b\x00\x00\x01\x00\x00\x00\x00\x00"),
        ("start", 2, 0x4544, 2, 2, {"id": 0}, b"\xa1\x62id\x00"),
        ("refused", 3, 0x4544, 2, 2, {"err": {"group": 0x4544, "rc": 5}},
         b"\xa1\x63err\xa2\x65group\x19\x45\x44\x62rc\x05"),
    ]  # fmt: skip
    found = []
    for name, op, group, command, sequence, body, raw in cases:
        message = struct.pack(">BBHHBB", 8 | op, 0, len(raw), group, sequence, command) + raw
        found.append({
            "name": name, "op": op, "group": group, "command": command, "sequence": sequence,
            "body": body, "message": message.hex(), "console": console(message).hex(),
            "framed": frame(1, message).hex(),
        })  # fmt: skip
    return found


def write(name: str, cases: list[dict[str, Any]]) -> None:
    lines = ",\n".join(json.dumps(case) for case in cases)
    (HERE / f"{name}.json").write_text(f"[\n{lines}\n]\n", "utf-8")


if __name__ == "__main__":
    assert crc32(b"123456789") == 0xCBF43926
    assert crc16(b"123456789") == 0x31C3
    for made in (frames, samples, pictures, events, smp):
        write(made.__name__, made())
