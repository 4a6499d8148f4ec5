"""The hostile names of the sample account: every one is legal in Google Drive.

Data only. Each breaks some tool that turns names into paths, keys, shell words or pages.
"""

from __future__ import annotations

import unicodedata

HOSTILE_NAMES: list[str] = [
    "with/slash.txt",
    "/leading slash.txt",
    "trailing slash/",
    "a//b.txt",
    "line one\nline two.txt",
    "carriage\rreturn.txt",
    "tab\there.txt",
    "..",
    ".",
    "../../etc/passwd",
    "...",
    ".hidden",
    " leading space.txt",
    "trailing space.txt ",
    "trailing dot.",
    "   ",
    "percent%2Fencoded.txt",
    "percent%.txt",
    "100%25.txt",
    "back\\slash.txt",
    "C:\\Windows\\system32.dll",
    "CON",
    "nul.txt",
    "a" * 251 + ".txt",  # 255 bytes
    "\N{GRINNING FACE}" * 255,  # 255 characters, 1020 bytes
    "ü" * 150 + ".txt",  # 154 characters, 304 bytes
    "\u202egnp.exe",  # right-to-left override: shows as exe.png
    "مرحبا بالعالم.txt",
    "שלום.txt",
    "日本語のファイル.txt",
    "emoji \N{FAMILY}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER} \N{VARIATION SELECTOR-16}.txt",
    "zero\u200bwidth.txt",
    "\ufeffbyte order mark.txt",
    "\u2028line separator.txt",
    unicodedata.normalize("NFC", "Crème brûlée.txt"),
    unicodedata.normalize("NFD", "Crème brûlée.txt"),
    "Case.txt",
    "case.txt",
    "CASE.TXT",
    "<script>alert('name')</script>.html",
    '"><img src=x onerror=alert(1)>',
    "{{ template }} {% injection %}.txt",
    "${HOME} $(reboot) `reboot`.txt",
    "; rm -rf ~.txt",
    "--version",
    "-rf",
    "~",
    "quote's.txt",
    'double"quote.txt',
    "question?.txt",
    "hash#fragment.txt",
    "star*.txt",
    "colon: less<than>|pipe.txt",
    "ampersand&semicolon;.txt",
    "plus+sign and space.txt",
    "control\x01\x02\x1f.txt",
    "escape\x1b[31mred\x1b[0m.txt",
    "delete\x7f.txt",
    "x",
    "_",
    "'; DROP TABLE files; --",
    '=HYPERLINK("http://example.invalid")',
    "%s%n%d.txt",
    "thumbs.db",
    "file.trash",
    "name.with.many.dots.tar.gz",
    "~$lock.docx",
    "Untitled (1).txt",
    "Untitled.txt",
]

HOSTILE_FOLDERS: list[str] = [
    "folder/with/slashes",
    "..",
    "folder\nwith newline",
    ".trash",
    ".versions",
    ".catalog",
    " spaced ",
    "\N{FILE FOLDER}" * 60,
]
