"""Real, minimal files: what exports of Workspace documents look like, and sample blobs.

Every builder gives a small well-formed file of its type. A `stamp` goes into each, so that two
exports of one document differ in bytes, as at Google; the same stamp gives the same bytes.
"""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from xml.sax.saxutils import escape

from emulator.content import GeneratedContent
from emulator.films import box, film
from emulator.formats import DOCX, ODP, ODS, ODT, PPTX, SCRIPT_JSON, XLSX
from emulator.pictures import jpeg_picture

_XML = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_TYPES = "http://schemas.openxmlformats.org/package/2006/content-types"
_RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
_DOC = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_SLIDE = "http://schemas.openxmlformats.org/presentationml/2006/main"
_ART = "http://schemas.openxmlformats.org/drawingml/2006/main"
_OFFICE = "application/vnd.openxmlformats-officedocument."
_PAGE = 210, 297  # pixels of a PNG


def build(mime_type: str, title: str, stamp: str, at_least: int = 0) -> bytes:
    """A file of the type about `title`; padded to a size where the format allows it."""
    builder = _BUILDERS.get(mime_type)
    if builder is None:
        raise ValueError(f"no builder for {mime_type}")
    return builder(_printable(title), stamp, at_least)


def _printable(title: str) -> str:
    return "".join(char if char.isprintable() else " " for char in title)


def _zip(parts: dict[str, str], stamp: str, at_least: int, first: str = "") -> bytes:
    """A zip with the parts; `first` is stored uncompressed at the front, as ODF and EPUB want."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        if first:
            archive.writestr(_entry("mimetype", zipfile.ZIP_STORED), first)
        for name, text in parts.items():
            archive.writestr(_entry(name, zipfile.ZIP_DEFLATED), text)
        archive.comment = stamp.encode()
        missing = at_least - held.tell()
        if missing > 0:
            padding = GeneratedContent("padding of " + stamp, missing).read(0, missing)
            archive.writestr(_entry("media/image1.bin", zipfile.ZIP_STORED), padding)
    return held.getvalue()


def _entry(name: str, method: int) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    entry.compress_type = method
    return entry


def _package(main: str, main_type: str, more: dict[str, str]) -> dict[str, str]:
    """The parts that make an Office Open XML package out of its own parts."""
    overrides = f'<Override PartName="/{main}" ContentType="{_OFFICE}{main_type}"/>' + "".join(
        f'<Override PartName="/{name}" ContentType="{_OFFICE}{kind}"/>'
        for name, kind in more.items()
    )
    defaults = (
        '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
        'relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>'
        '<Default Extension="bin" ContentType="application/octet-stream"/>'
    )
    return {
        "[Content_Types].xml": f'{_XML}<Types xmlns="{_TYPES}">{defaults}{overrides}</Types>',
        "_rels/.rels": _rels(("officeDocument", main)),
    }


def _rels(*targets: tuple[str, str]) -> str:
    entries = "".join(
        f'<Relationship Id="rId{number}" Type="{_DOC}/{kind}" Target="{target}"/>'
        for number, (kind, target) in enumerate(targets, 1)
    )
    return f'{_XML}<Relationships xmlns="{_RELS}">{entries}</Relationships>'


def docx(title: str, stamp: str, at_least: int = 0) -> bytes:
    paragraphs = "".join(f"<w:p><w:r><w:t>{escape(t)}</w:t></w:r></w:p>" for t in (title, stamp))
    body = f'{_XML}<w:document xmlns:w="{_WORD}"><w:body>{paragraphs}</w:body></w:document>'
    parts = _package("word/document.xml", "wordprocessingml.document.main+xml", {})
    return _zip(parts | {"word/document.xml": body}, stamp, at_least)


def xlsx(title: str, stamp: str, at_least: int = 0) -> bytes:
    rows = "".join(
        f'<row r="{n}"><c r="A{n}" t="inlineStr"><is><t>{escape(text)}</t></is></c></row>'
        for n, text in enumerate((title, stamp), 1)
    )
    sheet = f'{_XML}<worksheet xmlns="{_SHEET}"><sheetData>{rows}</sheetData></worksheet>'
    book = (
        f'{_XML}<workbook xmlns="{_SHEET}" xmlns:r="{_DOC}"><sheets>'
        '<sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>'
    )
    kinds = {"xl/worksheets/sheet1.xml": "spreadsheetml.worksheet+xml"}
    parts = _package("xl/workbook.xml", "spreadsheetml.sheet.main+xml", kinds)
    parts |= {
        "xl/workbook.xml": book,
        "xl/_rels/workbook.xml.rels": _rels(("worksheet", "worksheets/sheet1.xml")),
        "xl/worksheets/sheet1.xml": sheet,
    }
    return _zip(parts, stamp, at_least)


def pptx(title: str, stamp: str, at_least: int = 0) -> bytes:
    names = f'xmlns:a="{_ART}" xmlns:r="{_DOC}" xmlns:p="{_SLIDE}"'
    empty = (
        '<p:nvGrpSpPr><p:cNvPr id="1" name=""/><p:cNvGrpSpPr/><p:nvPr/></p:nvGrpSpPr><p:grpSpPr/>'
    )
    text = (
        '<p:sp><p:nvSpPr><p:cNvPr id="2" name="Title"/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/>'
        f"<p:txBody><a:bodyPr/><a:p><a:r><a:t>{escape(title)} {escape(stamp)}</a:t></a:r></a:p>"
        "</p:txBody></p:sp>"
    )
    slide = f"<p:cSld><p:spTree>{empty}{text}</p:spTree></p:cSld>"
    show = (
        f'{_XML}<p:presentation {names}><p:sldIdLst><p:sldId id="256" r:id="rId1"/></p:sldIdLst>'
        '<p:sldSz cx="9144000" cy="5143500"/><p:notesSz cx="6858000" cy="9144000"/>'
        "</p:presentation>"
    )
    kinds = {"ppt/slides/slide1.xml": "presentationml.slide+xml"}
    parts = _package("ppt/presentation.xml", "presentationml.presentation.main+xml", kinds)
    parts |= {
        "ppt/presentation.xml": show,
        "ppt/_rels/presentation.xml.rels": _rels(("slide", "slides/slide1.xml")),
        "ppt/slides/slide1.xml": f"{_XML}<p:sld {names}>{slide}</p:sld>",
    }
    return _zip(parts, stamp, at_least)


def _open_document(mime_type: str, element: str) -> Callable[[str, str, int], bytes]:
    def build_one(title: str, stamp: str, at_least: int = 0) -> bytes:
        space = "urn:oasis:names:tc:opendocument:xmlns:"
        inner = f"<text:p>{escape(title)}</text:p><text:p>{escape(stamp)}</text:p>"
        if element == "spreadsheet":
            inner = (
                '<table:table table:name="Sheet1"><table:table-row><table:table-cell>'
                f"{inner}</table:table-cell></table:table-row></table:table>"
            )
        if element == "presentation":
            inner = f"<draw:page><draw:frame><draw:text-box>{inner}</draw:text-box></draw:frame>"
            inner += "</draw:page>"
        content = (
            f'{_XML}<office:document-content xmlns:office="{space}office:1.0" '
            f'xmlns:text="{space}text:1.0" xmlns:table="{space}table:1.0" '
            f'xmlns:draw="{space}drawing:1.0" office:version="1.2"><office:body>'
            f"<office:{element}>{inner}</office:{element}></office:body></office:document-content>"
        )
        files = "".join(
            f'<manifest:file-entry manifest:full-path="{path}" manifest:media-type="{kind}"/>'
            for path, kind in (("/", mime_type), ("content.xml", "text/xml"))
        )
        manifest = f'{_XML}<manifest:manifest xmlns:manifest="{space}manifest:1.0">{files}'
        manifest += "</manifest:manifest>"
        parts = {"content.xml": content, "META-INF/manifest.xml": manifest}
        return _zip(parts, stamp, at_least, first=mime_type)

    return build_one


def epub(title: str, stamp: str, at_least: int = 0) -> bytes:
    container = (
        f'{_XML}<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="package.opf" media-type="application/oebps-package+xml"/>'
        "</rootfiles></container>"
    )
    package = (
        f'{_XML}<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:identifier id="i">{escape(stamp)}</dc:identifier><dc:title>{escape(title)}</dc:title>'
        "</metadata><manifest/><spine/></package>"
    )
    parts = {"META-INF/container.xml": container, "package.opf": package}
    return _zip(parts, stamp, at_least, first="application/epub+zip")


def archive(title: str, stamp: str, at_least: int = 0) -> bytes:
    return _zip({"document.html": text_html(title, stamp).decode()}, stamp, at_least)


def pdf(title: str, stamp: str, at_least: int = 0) -> bytes:
    shown = title.encode("latin-1", "replace").translate(None, b"()\\")
    stream = b"BT /F1 18 Tf 40 780 Td (" + shown + b") Tj ET"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R "
        b"/Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    if at_least:
        padding = GeneratedContent("padding of " + stamp, at_least).read(0, at_least)
        objects.append(b"<< /Length %d >>\nstream\n" % at_least + padding + b"\nendstream")
    out = bytearray(b"%PDF-1.4\n%" + stamp.encode() + b"\n")
    offsets = []
    for number, body in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n" % number + body + b"\nendobj\n"
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer << /Size %d /Root 1 0 R >>\n" % (len(objects) + 1)
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % table)


def png(title: str, stamp: str, at_least: int = 0) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    said = b"Title\0" + f"{title} {stamp}".encode("latin-1", "replace")
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", *_PAGE, 8, 0, 0, 0, 0))
        + chunk(b"tEXt", said)
        + chunk(b"IDAT", _scanned_page())
        + chunk(b"IEND", b"")
    )


@cache
def _scanned_page() -> bytes:
    """White paper with grey lines of text, as a PNG's rows."""
    width, height = _PAGE
    rows = bytearray()
    for y in range(height):
        line, within = divmod(y, 12)
        text = width - 40 - line * 29 % 50 if 1 < line < height // 12 - 1 and within < 4 else 0
        rows += b"\0" + (b"\xff" * 20 + b"\x60" * text).ljust(width, b"\xff")
    return zlib.compress(bytes(rows))


def jpeg(title: str, stamp: str, at_least: int = 0) -> bytes:
    said = f"{title} {stamp}".encode()[:60000]
    picture = jpeg_picture(0)
    return picture[:2] + b"\xff\xfe" + struct.pack(">H", len(said) + 2) + said + picture[2:]


def svg(title: str, stamp: str, at_least: int = 0) -> bytes:
    text = f'<text x="10" y="50">{escape(title)}</text><!-- {stamp} -->'
    return f'{_XML}<svg xmlns="http://www.w3.org/2000/svg">{text}</svg>\n'.encode()


def mp4(title: str, stamp: str, at_least: int = 0) -> bytes:
    said = film() + box(b"free", f"{title} {stamp}".encode())
    return said + box(b"free", bytes(max(0, at_least - len(said) - 8)))


def text(title: str, stamp: str, at_least: int = 0) -> bytes:
    said = f"{title}\n\n{stamp}\n".encode()
    line = b"The quick brown fox jumps over the lazy dog.\n"
    return said + line * max(0, -(-(at_least - len(said)) // len(line)))


def text_html(title: str, stamp: str, at_least: int = 0) -> bytes:
    said = f"<h1>{escape(title)}</h1><p>{escape(stamp)}</p>"
    return (
        f"<!doctype html><html><head><meta charset=utf-8></head><body>{said}</body></html>".encode()
    )


def rtf(title: str, stamp: str, at_least: int = 0) -> bytes:
    said = "".join(c if c.isascii() and c not in "\\{}" else "?" for c in f"{title} {stamp}")
    return b"{\\rtf1\\ansi " + said.encode() + b"\\par}"


def table(separator: str) -> Callable[[str, str, int], bytes]:
    def build_one(title: str, stamp: str, at_least: int = 0) -> bytes:
        cell = title.replace('"', "'").replace("\t", " ")
        row = f'"{cell}"{separator}"{stamp}"\r\n'.encode()
        return row * max(1, -(-at_least // len(row)))

    return build_one


def script(title: str, stamp: str, at_least: int = 0) -> bytes:
    source = f"function main() {{ Logger.log('{stamp}'); }}"
    return (
        '{"files":[{"id":"1","name":"Code","type":"server_js","source":"' + source + '"}]}'
    ).encode()


_BUILDERS: dict[str, Callable[[str, str, int], bytes]] = {
    DOCX: docx,
    XLSX: xlsx,
    PPTX: pptx,
    ODT: _open_document(ODT, "text"),
    ODS: _open_document(ODS, "spreadsheet"),
    ODP: _open_document(ODP, "presentation"),
    "application/epub+zip": epub,
    "application/zip": archive,
    "application/pdf": pdf,
    "application/rtf": rtf,
    "text/html": text_html,
    "text/plain": text,
    "text/markdown": text,
    "text/csv": table(","),
    "text/tab-separated-values": table("\t"),
    "image/svg+xml": svg,
    "image/png": png,
    "image/jpeg": jpeg,
    "video/mp4": mp4,
    SCRIPT_JSON: script,
}
