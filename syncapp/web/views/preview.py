"""A version in the browser, without restoring it: shown in a box that can do nothing.

The page is ours; the content has an address of its own, whose answer forbids everything
(Content-Security-Policy: sandbox, default-src 'none'), carries a type from a list, and is only
ever put into an <img>, <video>, <audio> or a frame.
"""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from syncapp.engine.moment import file_name
from syncapp.errors import BackupError
from syncapp.models import Version
from syncapp.web.contents import version_bytes
from syncapp.web.kinds_shown import TEXT_BYTES, Shown, shown_as, text_of
from syncapp.web.pump import PREVIEWS
from syncapp.web.serving import BadRange, asked_range, named, streamed
from syncapp.web.views.archive import owned_version

_POLICY = "sandbox; default-src 'none'; img-src 'self'; media-src 'self'; frame-ancestors 'self'"
# Safari's viewer runs a script of its own in the document; its origin stays opaque, no script may
# be loaded. A sandbox of the frame instead of the answer keeps Chromium's viewer out altogether.
_POLICIES = {
    Shown.PDF: "sandbox allow-scripts; default-src 'none'; object-src 'self'; "
    "style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'",
}


@login_required
@require_safe
def page(request: HttpRequest, source_id: int, file_id: int, version_id: int) -> HttpResponse:
    """One version, shown if a browser can."""
    version = owned_version(request, source_id, file_id, version_id)
    how, _ = shown_as(*_kind(version))
    context = {
        "source": version.source,
        "file": version.file,
        "version": version,
        "how": how.value,
        **(_text(version) if how is Shown.TEXT else {}),
    }
    return render(request, "preview/preview.html", context)


def _text(version: Version) -> dict[str, object]:
    size = version.size or 0
    end = None if size <= TEXT_BYTES else TEXT_BYTES
    try:
        data = b"".join(version_bytes(version.pk, 0, end))
    except BackupError as error:
        return {"problem": error.message}
    return {"text": text_of(data, cut=end is not None), "cut": end is not None}


@login_required
@require_safe
def raw(request: HttpRequest, source_id: int, file_id: int, version_id: int) -> HttpResponseBase:
    """The bytes for the page's box; one range at a time."""
    version = owned_version(request, source_id, file_id, version_id)
    size, etag = version.size or 0, f'"{version.sha256}"'
    how, content_type = shown_as(*_kind(version))
    if how in (Shown.NOTHING, Shown.TEXT):
        raise Http404  # texts are in the page itself
    if request.headers.get("If-None-Match") == etag:
        return _dressed(HttpResponse(status=304), how, etag)
    try:
        asked = asked_range(request, size, etag)
    except BadRange:
        refusal = HttpResponse(status=416)
        refusal["Content-Range"] = f"bytes */{size}"
        return _dressed(refusal, how, etag)
    start, end = asked or (0, size)
    try:
        answer = streamed(
            request,
            version_bytes(version.pk, start, end),
            pool=PREVIEWS,
            length=end - start,
            status=206 if asked else 200,
        )
    except BackupError as error:
        return _dressed(
            HttpResponse(error.message, status=503, content_type="text/plain; charset=utf-8"),
            how,
            etag,
        )
    answer["Content-Type"] = content_type
    named(answer, file_name(version.file.name, version.file.extension), save=False)
    if asked:
        answer["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return _dressed(answer, how, etag)


def _kind(version: Version) -> tuple[str, int]:
    return version.content_type or version.file.mime_type, version.size or 0


def _dressed(answer: HttpResponseBase, how: Shown, etag: str) -> HttpResponseBase:
    answer["ETag"] = etag
    answer["Accept-Ranges"] = "bytes"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Cross-Origin-Resource-Policy"] = "same-origin"
    answer["X-Frame-Options"] = "SAMEORIGIN"
    answer["Content-Security-Policy"] = _POLICIES.get(how, _POLICY)
    return answer
