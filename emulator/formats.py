"""Which Workspace documents export to what: the tables behind about.get, export and exportLinks.

Data only. As developers.google.com/drive/api/guides/ref-export-formats lists them; Forms, Sites,
Jamboard and My Maps have no export, Vids only files.download.
"""

from __future__ import annotations

from emulator.items import GOOGLE

_OFFICE = "application/vnd.openxmlformats-officedocument."
_OPEN = "application/vnd.oasis.opendocument."
DOCX = _OFFICE + "wordprocessingml.document"
XLSX = _OFFICE + "spreadsheetml.sheet"
PPTX = _OFFICE + "presentationml.presentation"
ODT, ODS, ODP = _OPEN + "text", _OPEN + "spreadsheet", _OPEN + "presentation"
SCRIPT_JSON = GOOGLE + "script+json"

EXPORT_FORMATS: dict[str, list[str]] = {
    GOOGLE + "document": [
        "application/rtf",
        ODT,
        "text/html",
        "application/pdf",
        "text/markdown",
        "application/epub+zip",
        "application/zip",
        DOCX,
        "text/plain",
    ],
    GOOGLE + "spreadsheet": [
        ODS,
        "text/tab-separated-values",
        "application/pdf",
        XLSX,
        "text/csv",
        "application/zip",
    ],
    GOOGLE + "presentation": [ODP, "application/pdf", PPTX, "text/plain"],
    GOOGLE + "drawing": ["image/svg+xml", "image/png", "application/pdf", "image/jpeg"],
    GOOGLE + "script": [SCRIPT_JSON],
}

# files.download, but no files.export.
DOWNLOAD_ONLY_FORMATS = {GOOGLE + "vid": ["video/mp4"], GOOGLE + "form": ["application/zip"]}

IMPORT_FORMATS: dict[str, list[str]] = {
    DOCX: [GOOGLE + "document"],
    "application/msword": [GOOGLE + "document"],
    "text/plain": [GOOGLE + "document"],
    "text/html": [GOOGLE + "document"],
    XLSX: [GOOGLE + "spreadsheet"],
    "application/vnd.ms-excel": [GOOGLE + "spreadsheet"],
    "text/csv": [GOOGLE + "spreadsheet"],
    PPTX: [GOOGLE + "presentation"],
    "application/vnd.ms-powerpoint": [GOOGLE + "presentation"],
    "application/rtf": [GOOGLE + "document"],
    ODT: [GOOGLE + "document"],
    ODS: [GOOGLE + "spreadsheet"],
    ODP: [GOOGLE + "presentation"],
    SCRIPT_JSON: [GOOGLE + "script"],
}

# The most bytes that are converted, by what they become.
IMPORT_SIZES = {
    GOOGLE + "document": 50 * 1024**2,
    GOOGLE + "spreadsheet": 100 * 1024**2,
    GOOGLE + "presentation": 100 * 1024**2,
    GOOGLE + "drawing": 2 * 1024**2,
    GOOGLE + "script": 1024**2,
}

EXTENSIONS = {
    "application/rtf": "rtf",
    ODT: "odt",
    "text/html": "html",
    "application/pdf": "pdf",
    "text/markdown": "md",
    "application/epub+zip": "epub",
    "application/zip": "zip",
    DOCX: "docx",
    "text/plain": "txt",
    ODS: "ods",
    "text/tab-separated-values": "tsv",
    XLSX: "xlsx",
    "text/csv": "csv",
    ODP: "odp",
    PPTX: "pptx",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    SCRIPT_JSON: "json",
}
MIME_OF_EXTENSION = {extension: mime for mime, extension in EXTENSIONS.items()}

EXPORT_PATHS = {
    GOOGLE + "document": "/feeds/download/documents/export/Export",
    GOOGLE + "spreadsheet": "/spreadsheets/export",
    GOOGLE + "presentation": "/feeds/download/presentations/Export",
    GOOGLE + "drawing": "/feeds/download/drawings/Export",
    GOOGLE + "script": "/feeds/download/scripts/Export",
}

# Where Google's editors open a document, by kind; other files open under /file/d/.
EDITOR_PATHS = {
    GOOGLE + "document": "https://docs.google.com/document/d/{}/edit?usp=drivesdk",
    GOOGLE + "spreadsheet": "https://docs.google.com/spreadsheets/d/{}/edit?usp=drivesdk",
    GOOGLE + "presentation": "https://docs.google.com/presentation/d/{}/edit?usp=drivesdk",
    GOOGLE + "drawing": "https://docs.google.com/drawings/d/{}/edit?usp=drivesdk",
    GOOGLE + "form": "https://docs.google.com/forms/d/{}/edit?usp=drivesdk",
    GOOGLE + "script": "https://script.google.com/d/{}/edit?usp=drivesdk",
    GOOGLE + "map": "https://www.google.com/maps/d/edit?mid={}&usp=drivesdk",
    GOOGLE + "folder": "https://drive.google.com/drive/folders/{}",
}
OTHER_PATH = "https://drive.google.com/file/d/{}/view?usp=drivesdk"


def export_links(item_id: str, mime_type: str, base_url: str) -> dict[str, str]:
    """The exportLinks of a document: one URL a format, answered with a bearer token."""
    path = EXPORT_PATHS.get(mime_type)
    if path is None:
        return {}
    start = f"{base_url}{path}?id={item_id}&exportFormat="
    return {mime: start + EXTENSIONS[mime] for mime in EXPORT_FORMATS[mime_type]}
