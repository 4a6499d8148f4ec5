"""What each Google type becomes on disk. Pure: data and choice only.

The wanted formats are the specification's (§2.1); what Google offers is read at run time from
`about.get` `exportFormats` (developers.google.com/workspace/drive/api/guides/ref-export-formats).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

GOOGLE_TYPE = "application/vnd.google-apps."
FOLDER = f"{GOOGLE_TYPE}folder"
FORM = f"{GOOGLE_TYPE}form"
SCRIPT = f"{GOOGLE_TYPE}script"
SHORTCUT = f"{GOOGLE_TYPE}shortcut"
VIDEO = f"{GOOGLE_TYPE}vid"

_OFFICE = "application/vnd.openxmlformats-officedocument."


class ExportFormat(NamedTuple):
    """A format that an item is exported in. `extension` is appended to the item's name."""

    mime_type: str
    extension: str


PDF = ExportFormat("application/pdf", "pdf")

# Best first; the first one that Google offers is taken.
WANTED: dict[str, tuple[ExportFormat, ...]] = {
    f"{GOOGLE_TYPE}document": (
        ExportFormat(f"{_OFFICE}wordprocessingml.document", "docx"),
        ExportFormat("application/vnd.oasis.opendocument.text", "odt"),
        PDF,
    ),
    f"{GOOGLE_TYPE}spreadsheet": (
        ExportFormat(f"{_OFFICE}spreadsheetml.sheet", "xlsx"),
        ExportFormat("application/vnd.oasis.opendocument.spreadsheet", "ods"),
        PDF,
    ),
    f"{GOOGLE_TYPE}presentation": (
        ExportFormat(f"{_OFFICE}presentationml.presentation", "pptx"),
        ExportFormat("application/vnd.oasis.opendocument.presentation", "odp"),
        PDF,
    ),
    f"{GOOGLE_TYPE}drawing": (PDF, ExportFormat("image/svg+xml", "svg")),
    SCRIPT: (ExportFormat(f"{GOOGLE_TYPE}script+json", "json"),),
}

# Only files.download gives it, and about.get does not list it.
VIDEO_FORMAT = ExportFormat("video/mp4", "mp4")

# Types that no API gives out, with what a person can do instead.
NOT_EXPORTABLE = {
    f"{GOOGLE_TYPE}site": "Google offers no export of Google Sites; use Google Takeout.",
    f"{GOOGLE_TYPE}map": "Google offers no API for My Maps; export it as KML in My Maps.",
    f"{GOOGLE_TYPE}jam": "Google has closed Jamboard and offers no export of it.",
    f"{GOOGLE_TYPE}fusiontable": "Google has closed Fusion Tables and offers no export of it.",
}


def choose_format(mime_type: str, offered: Mapping[str, Sequence[str]]) -> ExportFormat | None:
    """The best format that Google offers for this type, None if it offers none that is of use."""
    if mime_type == VIDEO:
        return VIDEO_FORMAT
    available = offered.get(mime_type, ())
    return next((f for f in WANTED.get(mime_type, ()) if f.mime_type in available), None)


def extension_of(mime_type: str, content_type: str) -> str:
    """What is appended to the name of an item that is kept in another type than Google's own."""
    if mime_type == FORM:
        return "json"
    if mime_type == SHORTCUT:
        return "shortcut.json"
    known = (*WANTED.get(mime_type, ()), *([VIDEO_FORMAT] if mime_type == VIDEO else []))
    return next((f.extension for f in known if f.mime_type == content_type), "")


def why_not_exportable(mime_type: str) -> str:
    """The sentence for an item that can't be backed up."""
    kind = mime_type.removeprefix(GOOGLE_TYPE)
    return NOT_EXPORTABLE.get(mime_type, f"Google offers no export of this type (“{kind}”).")
