"""Photos that browsers show: a sun above two ridges, in colours and forms of a number.

The least that makes a baseline JPEG: each block has four coefficients, of two by two samples.
The same number gives the same bytes.
"""

from __future__ import annotations

import math
import struct
from functools import cache

Colour = tuple[float, float, float]  # Y, Cb, Cr

WIDTH, HEIGHT = 256, 160  # of a JPEG
_STEP = 4.0  # what a JPEG's coefficients are divided by
# DCT coefficients of a block whose left and right (or upper and lower) halves differ by two.
_HALVES, _QUARTERS = 7.25, 6.57
_DC_BITS, _AC_BITS = 4, 6  # every code of a table is as long as the others
_AC_SYMBOLS = [0, *(run << 4 | size for run in range(4) for size in range(1, 11))]
_AC_CODES = {symbol: code for code, symbol in enumerate(_AC_SYMBOLS)}


def scene(number: int, x: float, y: float, sun: float) -> Colour:
    """The colour at a place (0 to 1, from the upper left); `sun`: how far it has risen."""
    ridge = 0.62 + 0.12 * math.sin(3 * x + number) + 0.03 * math.sin(17 * x + 2 * number)
    near = 0.8 + 0.08 * math.sin(5 * x + 3 * number)
    if y > near:
        return 60 + 20 * (1 - y), 118, 112
    if y > ridge:
        return 105 + 60 * (y - ridge), 124, 118
    if math.hypot((x - 0.2 - 0.6 * sun) * 1.6, y - 0.45 + 0.3 * math.sin(math.pi * sun)) < 0.09:
        return 225, 80, 150
    warm = number * 7 % 12 / 12 * y
    return 150 + 70 * y, 150 - 40 * warm, 110 + 50 * warm


@cache
def jpeg_picture(number: int) -> bytes:
    """A photo, as a baseline JPEG."""
    quantisation = b"\0" + bytes([int(_STEP)]) * 64
    frame = struct.pack(">BHHB", 8, HEIGHT, WIDTH, 3)
    frame += b"".join(bytes([component, 0x11, 0]) for component in (1, 2, 3))
    scan = b"\3" + b"".join(bytes([component, 0]) for component in (1, 2, 3)) + b"\0\x3f\0"
    return (
        b"\xff\xd8"
        + _segment(0xDB, quantisation)
        + _segment(0xC0, frame)
        + _segment(0xC4, _table(0x00, _DC_BITS, list(range(12))))
        + _segment(0xC4, _table(0x10, _AC_BITS, _AC_SYMBOLS))
        + _segment(0xDA, scan)
        + _scan(number)
        + b"\xff\xd9"
    )


def _segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def _table(place: int, bits: int, symbols: list[int]) -> bytes:
    """A Huffman table; the symbols' codes are their numbers, in so many bits."""
    lengths = bytes(len(symbols) if length == bits else 0 for length in range(1, 17))
    return bytes([place]) + lengths + bytes(symbols)


def _scan(number: int) -> bytes:
    """All blocks of the picture, bit by bit, with FF masked."""
    bits: list[str] = []
    before = [0, 0, 0]
    sun = number * 5 % 13 / 12
    for top in range(0, HEIGHT, 8):
        for left in range(0, WIDTH, 8):
            samples = [
                scene(number, (left + dx) / WIDTH, (top + dy) / HEIGHT, sun)
                for dy in (2, 6)
                for dx in (2, 6)
            ]
            for component, four in enumerate(zip(*samples, strict=True)):
                before[component] = _block(four, before[component], bits)
    joined = "".join(bits)
    joined += "1" * (-len(joined) % 8)
    data = int(joined, 2).to_bytes(len(joined) // 8, "big")
    return data.replace(b"\xff", b"\xff\0")


def _block(four: tuple[float, ...], before: int, bits: list[str]) -> int:
    """Write one block; its first coefficient, from which the next one's is told."""
    a, b, c, d = four  # upper left and right, lower left and right
    mean = round(((a + b + c + d) / 4 - 128) * 8 / _STEP)
    size, magnitude = _magnitude(mean - before)
    bits.append(f"{size:0{_DC_BITS}b}{magnitude}")
    across = round((a + c - b - d) / 4 * _HALVES / _STEP)
    down = round((a + b - c - d) / 4 * _HALVES / _STEP)
    both = round((a + d - b - c) / 4 * _QUARTERS / _STEP)
    run = 0
    for value in (across, down, 0, both):  # in zigzag order
        if value:
            size, magnitude = _magnitude(value)
            bits.append(f"{_AC_CODES[run << 4 | size]:0{_AC_BITS}b}{magnitude}")
            run = 0
        else:
            run += 1
    bits.append(f"{_AC_CODES[0]:0{_AC_BITS}b}")
    return mean


def _magnitude(value: int) -> tuple[int, str]:
    """How many bits a number takes, and they: negative ones are told as their complement."""
    size = abs(value).bit_length()
    told = value if value >= 0 else value + (1 << size) - 1
    return size, f"{told:0{size}b}" if size else ""
