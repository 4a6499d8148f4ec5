"""A film that browsers play: the sun of `pictures` goes over its sky.

H.264 in MP4, the least that makes it: every frame stands alone, and its samples are not compressed.
"""

from __future__ import annotations

import struct
from functools import cache

from emulator.pictures import scene

WIDTH, HEIGHT = 320, 192  # multiples of 16
FRAMES, FRAME_RATE = 12, 6
_MATRIX = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)
_RAW_BLOCK = "000011010"  # the kind of a macroblock whose samples follow as they are


def film_of(size: int) -> bytes:
    """The head of an MP4 file of so many bytes; a player leaves out all that comes behind it."""
    whole = film()
    return whole + struct.pack(">I", size - len(whole)) + b"free"


@cache
def film() -> bytes:
    """An MP4 file of two seconds."""
    frames = [_frame(index) for index in range(FRAMES)]
    head = box(b"ftyp", b"isom\0\0\2\0isomiso2avc1mp41")
    length = len(_index([len(frame) for frame in frames], 0))
    index = _index([len(frame) for frame in frames], len(head) + length + 8)
    return head + index + box(b"mdat", b"".join(frames))


def box(kind: bytes, *parts: bytes) -> bytes:
    """One part of an MP4 file."""
    data = b"".join(parts)
    return struct.pack(">I", len(data) + 8) + kind + data


def _frame(index: int) -> bytes:
    """One frame, with its length before it."""
    head = _ue(0) + _ue(7) + _ue(0) + "0000" + _ue(index % 2) + "00" + _ue(0) + _RAW_BLOCK
    data = bytearray(b"\x65" + _bytes(head))
    sun = index / (FRAMES - 1)
    for top in range(0, HEIGHT, 16):
        for left in range(0, WIDTH, 16):
            if top or left:
                data += _bytes(_RAW_BLOCK)
            data += _block(left, top, sun)
    data += b"\x80"
    return struct.pack(">I", len(data)) + data


def _block(left: int, top: int, sun: float) -> bytes:
    """The samples of a macroblock: 16 by 16 of brightness, 8 by 8 of each colour. None is zero,
    so nothing in them looks like the beginning of something else."""
    rows = [
        [scene(0, (left + dx) / WIDTH, (top + dy) / HEIGHT, sun) for dx in range(0, 16, 4)]
        for dy in range(0, 16, 4)
    ]
    data = b""
    for plane, times in ((0, 4), (1, 2), (2, 2)):
        for row in rows:
            data += b"".join(bytes([int(colour[plane])]) * times for colour in row) * times
    return data


def _ue(value: int) -> str:
    """A number as H.264 writes it (Exp-Golomb)."""
    told = f"{value + 1:b}"
    return "0" * (len(told) - 1) + told


def _bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _settings() -> bytes:
    """The avcC box: what a decoder must know before the first frame."""
    size = _ue(WIDTH // 16 - 1) + _ue(HEIGHT // 16 - 1)
    sequence = _ue(0) + _ue(0) + _ue(2) + _ue(0) + "0" + size + "11" + "00" + "1"
    picture = _ue(0) + _ue(0) + "00" + _ue(0) + _ue(0) + _ue(0) + "000" + _ue(0) * 3 + "000" + "1"
    sps, pps = b"\x67\x42\xc0\x1e" + _bytes(sequence), b"\x68" + _bytes(picture)
    told = b"\1" + sps[1:4] + b"\xff\xe1" + struct.pack(">H", len(sps)) + sps
    return box(b"avcC", told + b"\1" + struct.pack(">H", len(pps)) + pps)


def _index(sizes: list[int], start: int) -> bytes:
    """The moov box: one track, whose frames begin at `start`."""
    scale, duration = 1000, 1000 * FRAMES // FRAME_RATE
    head = struct.pack(">6IH10x", 0, 0, 0, scale, duration, 0x10000, 0x100)
    track = struct.pack(">6I16x", 3, 0, 0, 1, 0, duration)
    size = struct.pack(">2I", WIDTH << 16, HEIGHT << 16)
    media = struct.pack(">5I2H", 0, 0, 0, scale, duration, 0x55C4, 0)
    return box(
        b"moov",
        box(b"mvhd", head + _MATRIX + bytes(24) + struct.pack(">I", 2)),
        box(
            b"trak",
            box(b"tkhd", track + _MATRIX + size),
            box(
                b"mdia",
                box(b"mdhd", media),
                box(b"hdlr", bytes(8) + b"vide" + bytes(12) + b"film\0"),
                box(
                    b"minf",
                    box(b"vmhd", b"\0\0\0\1" + bytes(8)),
                    box(b"dinf", box(b"dref", struct.pack(">2I", 0, 1), box(b"url ", b"\0\0\0\1"))),
                    _samples(sizes, start, scale // FRAME_RATE),
                ),
            ),
        ),
    )


def _samples(sizes: list[int], start: int, duration: int) -> bytes:
    """The stbl box: how long and how big each frame is, and where."""
    kind = struct.pack(">6xH16x2H2I4xH32x2H", 1, WIDTH, HEIGHT, 72 << 16, 72 << 16, 1, 24, 0xFFFF)
    many = len(sizes)
    return box(
        b"stbl",
        box(b"stsd", struct.pack(">2I", 0, 1), box(b"avc1", kind, _settings())),
        box(b"stts", struct.pack(">4I", 0, 1, many, duration)),
        box(b"stsc", struct.pack(">5I", 0, 1, 1, many, 1)),
        box(b"stsz", struct.pack(f">{3 + many}I", 0, 0, many, *sizes)),
        box(b"stco", struct.pack(">3I", 0, 1, start)),
    )
