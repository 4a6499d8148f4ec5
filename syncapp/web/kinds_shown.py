"""What a browser may show of a backup, and as what. Pure.

Only what is listed here is ever sent to be shown, under the type that stands here, whatever its
owner called it. Nothing that can act is on the list: HTML, SVG and scripts are shown as text.
"""

from __future__ import annotations

import re
from enum import StrEnum

from charset_normalizer import from_bytes


class Shown(StrEnum):
    """How a content is shown."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    PDF = "pdf"
    TEXT = "text"
    NOTHING = ""


TEXT_BYTES = 256 * 1024  # of a text, from its beginning
IMAGE_BYTES = 100 * 1000 * 1000  # a browser decodes it whole
_PDF = "application/pdf"
_TYPES = {
    **dict.fromkeys(
        ["image/png", "image/jpeg", "image/gif", "image/webp", "image/avif", "image/bmp"],
        Shown.IMAGE,
    ),
    **dict.fromkeys(["video/mp4", "video/webm", "video/ogg", "video/quicktime"], Shown.VIDEO),
    **dict.fromkeys(
        [
            *("audio/mpeg", "audio/mp4", "audio/aac", "audio/ogg", "audio/wav", "audio/webm"),
            "audio/flac",
        ],
        Shown.AUDIO,
    ),
    _PDF: Shown.PDF,
}
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/x-ms-bmp": "image/bmp",
    "audio/mp3": "audio/mpeg",
    "audio/x-m4a": "audio/mp4",
    "audio/m4a": "audio/mp4",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/x-flac": "audio/flac",
    "video/x-m4v": "video/mp4",
    "application/ogg": "audio/ogg",
}
_TEXTS = re.compile(
    r"text/.*|image/svg\+xml|.*\+(json|xml)|application/"
    r"(json|xml|javascript|x-javascript|ecmascript|sql|x-sh|x-yaml|yaml|toml|x-httpd-php|x-python"
    r"|x-tex|x-latex|vnd\.google-apps\.script\+json)"
)


def shown_as(content_type: str, size: int) -> tuple[Shown, str]:
    """How to show a content of this type, and the type to send it under."""
    plain = content_type.partition(";")[0].strip().lower()
    plain = _OTHER_NAMES.get(plain, plain)
    how = _TYPES.get(plain, Shown.NOTHING)
    if how is Shown.IMAGE and size > IMAGE_BYTES:
        return Shown.NOTHING, ""
    if how:
        return how, plain
    if _TEXTS.fullmatch(plain):
        return Shown.TEXT, "text/plain; charset=utf-8"
    return Shown.NOTHING, ""


def text_of(data: bytes, *, cut: bool) -> str:
    """A text as what it was most probably written in; `cut`: its last character may be broken."""
    for encoding in ("utf-8-sig", "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""):
        for end in range(4 if cut and encoding else 1 if encoding else 0):
            try:
                return data[: len(data) - end].decode(encoding)
            except UnicodeDecodeError:
                continue
    best = from_bytes(data, chunk_size=2048).best()
    return str(best) if best else data.decode("latin-1")
