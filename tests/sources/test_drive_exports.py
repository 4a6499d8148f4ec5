"""The ladder of exports: which way is taken when, and what counts as a document."""

from collections.abc import Callable
from typing import Any

import pytest

from syncapp.errors import Deferred, PermanentError, RateLimited, TransientError, Unavailable
from syncapp.sources.drive_formats import VIDEO
from syncapp.sources.google_client import CALL_TRIES
from syncapp.types import Content, RemoteFile
from tests.sources.scripted_google import (
    Answer,
    ScriptedGoogle,
    Seen,
    as_json,
    refusal,
    scripted_google,
)

MIME = "application/pdf"
DATA = b"%PDF-1.4 " + b"x" * 300_000
FILE = RemoteFile(
    "d1", "", "Plan", "application/vnd.google-apps.document", Content.EXPORT, "T1",
    extension="pdf", extra={"export_mime": MIME},
)  # fmt: skip
TOO_LARGE = refusal(403, "exportSizeLimitExceeded")
DOCUMENT = Answer(body=DATA, content_type=MIME)
PAGE = Answer(body=b"<html>Sign in", content_type="text/html; charset=utf-8")


class Google:
    """Answers per way; a list is used up, its last entry stays."""

    def __init__(self, export: Any = DOCUMENT, operation: Any = PAGE, link: Any = PAGE) -> None:
        self.export, self.link = export, link
        self.operation = operation
        self.modified = ["T1"]
        self.url = ""

    def __call__(self, request: Seen) -> Answer:
        for part, answer in (("/export?", self.export), ("/link", self.link), ("/lies", DOCUMENT)):
            if part in request.path:
                return self._take(answer)
        if "/download" in request.path or "/operations/" in request.path:
            return self._take(self.operation)
        links = {MIME: f"{self.url}/link"} if self.link is not None else {}
        return as_json({"modifiedTime": self._take(self.modified), "exportLinks": links})

    @staticmethod
    def _take(answer: Any) -> Any:
        if not isinstance(answer, list):
            return answer
        return answer.pop(0) if len(answer) > 1 else answer[0]


def read(google: ScriptedGoogle, script: Google, file: RemoteFile = FILE) -> bytes:
    script.url = google.url
    with google.source().download(file) as download:
        assert download.content_type == file.extra["export_mime"]
        return b"".join(download.chunks)


def finished(url: str = "{url}/lies") -> Callable[[str], Answer]:
    return lambda base: as_json({"name": "operations/op1", "done": True,
                                 "response": {"downloadUri": url.format(url=base)}})  # fmt: skip


def test_plain_export_is_enough_for_most() -> None:
    script = Google()
    with scripted_google(script) as google:
        assert read(google, script) == DATA
        assert google.count("/download") == google.count("/link") == 0


def test_too_large_document_comes_through_an_operation() -> None:
    script = Google(export=TOO_LARGE)
    with scripted_google(script) as google:
        running = as_json({"name": "operations/op1", "done": False})
        script.operation = [running, running, finished()(google.url)]
        assert read(google, script) == DATA
        assert google.count("/operations/op1") == 2
        assert google.count("/export?") == 1


def test_export_link_is_the_last_way() -> None:
    script = Google(TOO_LARGE, refusal(404, "notFound"), DOCUMENT)
    with scripted_google(script) as google:
        assert read(google, script) == DATA


@pytest.mark.parametrize("failure", [refusal(500, "internalError"), refusal(503, "backendError")])
def test_export_that_breaks_down_is_tried_then_replaced(failure: Answer) -> None:
    script = Google(failure, refusal(404, "notFound"), DOCUMENT)
    with scripted_google(script) as google:
        assert read(google, script) == DATA
        assert google.count("/export?") == CALL_TRIES


@pytest.mark.parametrize("bad", [PAGE, Answer(content_type=MIME)], ids=["log-in page", "nothing"])
def test_what_is_not_a_document_is_never_taken_for_one(bad: Answer) -> None:
    script = Google(bad, refusal(404, "notFound"), bad)
    with scripted_google(script) as google, pytest.raises(PermanentError) as caught:
        read(google, script)
    assert caught.value.code == "export_failed"


def test_all_three_reasons_are_told() -> None:
    failed = as_json(
        {"name": "operations/1", "done": True, "error": {"code": 3, "message": "No such format."}}
    )
    script = Google(TOO_LARGE, failed, PAGE)
    with scripted_google(script) as google, pytest.raises(PermanentError) as caught:
        read(google, script)
    message = caught.value.message
    assert "too large" in message
    assert "No such format." in message
    assert "web page" in message
    assert google.url not in message


def test_way_that_is_only_out_of_order_leaves_hope() -> None:
    script = Google(TOO_LARGE, refusal(503, "backendError"), PAGE)
    with scripted_google(script) as google, pytest.raises(Unavailable) as caught:
        read(google, script)
    assert caught.value.code == "export_failed"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(403, "fileNotExportable"), PermanentError),
        (refusal(403, "downloadQuotaExceeded"), Deferred),
        (refusal(429, "rateLimitExceeded"), RateLimited),
    ],
)
def test_other_refusals_take_no_other_way(answer: Answer, kind: type[Exception]) -> None:
    script = Google(export=answer)
    with scripted_google(script) as google:
        with pytest.raises(kind):
            read(google, script)
        assert google.count("/download") == google.count("/link") == 0


def test_operation_that_never_ends_is_given_up() -> None:
    script = Google(TOO_LARGE, as_json({"name": "operations/op1", "done": False}), PAGE)
    with scripted_google(script) as google, pytest.raises(Unavailable):
        read(google, script)
    assert google.count("/operations/") < 100


@pytest.mark.parametrize("way", ["operation", "link"])
def test_token_is_not_sent_to_a_foreign_address_of_a_document(way: str) -> None:
    with scripted_google(lambda _: DOCUMENT) as foreign:
        script = Google(TOO_LARGE, finished()(foreign.url), Answer())
        if way == "link":
            script.operation = refusal(404, "notFound")
            script.link = Answer(302, headers={"Location": f"{foreign.url}/x"})
        with scripted_google(script) as google, pytest.raises(PermanentError):
            read(google, script)
        assert foreign.seen == []


def test_document_edited_meanwhile_is_read_again_later() -> None:
    script = Google()
    script.modified = ["T1", "T2"]
    with scripted_google(script) as google, pytest.raises(TransientError) as caught:
        read(google, script)
    assert caught.value.code == "changed_while_reading"


def test_document_edited_before_its_export_is_exported_as_it_is_now() -> None:
    script = Google()
    script.modified = ["T2"]
    with scripted_google(script) as google:
        assert read(google, script) == DATA


def test_cut_export_is_an_error_and_never_short() -> None:
    script = Google(Answer(body=DATA, content_type=MIME, cut_after=290_000))
    with scripted_google(script) as google, pytest.raises(Unavailable) as caught:
        read(google, script)
    assert caught.value.code == "connection_lost"


def test_videos_go_straight_to_the_operation() -> None:
    video = RemoteFile(
        "d1", "", "Clip", VIDEO, Content.EXPORT, "T1", extra={"export_mime": "video/mp4"}
    )
    script = Google()
    with scripted_google(script) as google:
        script.operation = finished()(google.url)
        assert read(google, script, video) == DATA
        assert google.count("/export?") == 0
