"""A big file over several connections: order, faults of one range, changes, the shared budget."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from syncapp.errors import PermanentError, TransientError, Unavailable
from syncapp.sources import drive_ranges
from syncapp.sources.drive_ranges import Streams
from syncapp.types import Content, RemoteFile
from tests.sources.scripted_google import (
    Answer,
    ScriptedGoogle,
    Seen,
    as_json,
    refusal,
    scripted_google,
)

RANGE = 1024**2
RANGES = 8
DATA = b"".join(bytes([n]) * RANGE for n in range(RANGES))[:-1000]
FILE = RemoteFile(
    "f1", "", "f1.bin", "application/x-test", Content.BLOB, "r1", size=len(DATA), md5="aa"
)  # fmt: skip
SAME = {"id": "f1", "mimeType": "application/x-test", "headRevisionId": "r1", "md5Checksum": "AA"}
STREAMS = 4
WAIT_S = 10.0
Media = Callable[[Seen], Answer]


@pytest.fixture(autouse=True)
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drive_ranges, "LEAST_BYTES", RANGE)
    monkeypatch.setattr(drive_ranges, "RANGE_BYTES", RANGE)


def asked(request: Seen) -> tuple[int, int] | None:
    """The [start, stop) of a request with a range."""
    header = request.headers.get("range")
    if header is None:
        return None
    first, _, last = header[6:].partition("-")
    return int(first), int(last) + 1 if last else len(DATA)


def media(request: Seen) -> Answer:
    """What Google answers."""
    span = asked(request)
    if span is None:
        return Answer(200, DATA, "application/x-test")
    start, stop = span
    told = {"Content-Range": f"bytes {start}-{stop - 1}/{len(DATA)}"}
    return Answer(206, DATA[start:stop], "application/x-test", told)


def script(answer: Media, item: dict[str, str] | None = None) -> Media:
    return lambda r: answer(r) if "alt=media" in r.path else as_json(item or SAME)


def once(start: int, spoilt: Callable[[Answer], Answer]) -> Media:
    """Only the first answer to the range from `start` is spoilt."""
    done: list[bool] = []

    def answer(request: Seen) -> Answer:
        span, right = asked(request), media(request)
        if span is None or span[0] != start or done:
            return right
        done.append(True)
        return spoilt(right)

    return answer


def read(google: ScriptedGoogle, streams: int = STREAMS) -> bytes:
    with google.source(streams=streams).download(FILE) as download:
        assert (download.size, download.content_type) == (len(DATA), "application/x-test")
        return b"".join(download.chunks)


def ranges(google: ScriptedGoogle) -> list[tuple[int, int] | None]:
    return [asked(request) for request in google.seen if "alt=media" in request.path]


class Meeting:
    """Media that is answered only once so many requests are under way at the same time."""

    def __init__(self, parties: int) -> None:
        self._all_here = threading.Barrier(parties)
        self._rest = threading.Event()

    def __call__(self, request: Seen) -> Answer:
        span = asked(request)
        # The first answer opens the file; the others are asked for when its bytes are.
        if span and span[0] and not self._rest.is_set():
            self._all_here.wait(WAIT_S)
            self._rest.set()
        return media(request)


def test_ranges_are_read_over_several_connections_at_once() -> None:
    with scripted_google(script(Meeting(STREAMS - 1))) as google:
        assert read(google) == DATA
        assert len({r.peer for r in google.seen if "alt=media" in r.path}) >= STREAMS - 1


def test_each_byte_is_asked_for_once_and_the_file_looked_up_once() -> None:
    with scripted_google(script(media)) as google:
        assert read(google) == DATA
        starts = sorted(span[0] for span in ranges(google) if span)
        assert starts == list(range(0, len(DATA), RANGE))
        assert len(google.seen) == RANGES + 1


def test_ranges_that_come_out_of_order_are_handed_on_in_order() -> None:
    third_came = threading.Event()

    def answer(request: Seen) -> Answer:
        span = asked(request)
        if span and span[0] == 2 * RANGE:
            third_came.set()
        if span and span[0] == RANGE:
            assert third_came.wait(WAIT_S)
        return media(request)

    with scripted_google(script(answer)) as google:
        assert read(google) == DATA


def test_no_more_is_read_ahead_than_there_are_streams() -> None:
    with scripted_google(script(media)) as google:
        with google.source(streams=STREAMS).download(FILE) as download:
            chunks = download.chunks
            next(chunks)
            assert all(span and span[0] < STREAMS * RANGE for span in ranges(google))
            b"".join(chunks)


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda right: Answer(right.status, right.body, headers=right.headers, cut_after=300_000),
        lambda _: refusal(503, "backendError"),
        lambda _: refusal(429, "rateLimitExceeded"),
        lambda _: refusal(403, "userRateLimitExceeded"),
        lambda right: Answer(206, right.body, headers={"Content-Range": "bytes 0-9/10"}),
        lambda right: Answer(206, right.body),
        lambda _: Answer(200, DATA),
        lambda right: Answer(206, right.body, headers={**right.headers, "ETag": '"other"'}),
    ],
    ids=["cut", "503", "429", "403", "wrong range", "no range", "ignored", "other ETag"],
)
def test_a_range_that_went_wrong_is_asked_for_again_alone(
    spoilt: Callable[[Answer], Answer],
) -> None:
    with scripted_google(script(once(2 * RANGE, spoilt))) as google:
        assert read(google) == DATA
        spans = [span for span in ranges(google) if span]
        assert len(spans) == RANGES + 1
        assert sum(2 * RANGE <= start < 3 * RANGE for start, _ in spans) == 2


def test_a_lasting_rate_answer_leaves_one_connection_and_fails_nothing() -> None:
    refusals = iter(range(4))  # as often as one call is tried

    def answer(request: Seen) -> Answer:
        span = asked(request)
        if span and span[0] == RANGE and next(refusals, None) is not None:
            return refusal(429, "rateLimitExceeded")
        return media(request)

    with scripted_google(script(answer)) as google:
        assert read(google) == DATA


def test_a_server_that_knows_no_ranges_is_read_in_one_stream() -> None:
    with scripted_google(script(lambda _: Answer(200, DATA, "application/x-test"))) as google:
        assert read(google) == DATA
        assert google.count("alt=media") == 2


def test_a_file_that_changed_meanwhile_is_not_read_to_its_end() -> None:
    with scripted_google(script(media, SAME | {"headRevisionId": "r2"})) as google:
        with pytest.raises(TransientError) as caught:
            read(google)
    assert caught.value.code == "changed_while_reading"


def test_breaks_are_bounded() -> None:
    def answer(request: Seen) -> Answer:
        span, right = asked(request), media(request)
        if span and span[0] == RANGE:
            right.cut_after = 0
        return right

    with scripted_google(script(answer)) as google, pytest.raises(Unavailable) as caught:
        read(google)
    assert caught.value.code == "connection_lost"


def test_a_refusal_in_the_middle_is_told_as_it_is() -> None:
    answer = once(3 * RANGE, lambda _: refusal(403, "cannotDownloadFile"))
    with scripted_google(script(answer)) as google, pytest.raises(PermanentError):
        read(google)


def test_a_flagged_file_is_read_in_one_stream() -> None:
    def answer(request: Seen) -> Answer:
        flagged = "acknowledgeAbuse=true" not in request.path
        return refusal(403, "cannotDownloadAbusiveFile") if flagged else media(request)

    with scripted_google(script(answer)) as google:
        assert read(google) == DATA


def test_whoever_stops_reading_ends_what_is_read_ahead() -> None:
    go_on = threading.Event()

    def answer(request: Seen) -> Answer:
        span = asked(request)
        if span and span[0]:
            go_on.wait(WAIT_S)
        return media(request)

    with scripted_google(script(answer)) as google:
        with google.source(streams=STREAMS).download(FILE) as download:
            next(download.chunks)
        go_on.set()
        ours = [t for t in threading.enumerate() if t.name == "range"]
        for thread in ours:
            thread.join(WAIT_S)
        assert not any(thread.is_alive() for thread in ours)
        assert len(ranges(google)) <= STREAMS


def test_one_stream_asks_for_no_range() -> None:
    with scripted_google(script(media)) as google:
        assert read(google, streams=1) == DATA
        assert ranges(google) == [None]


def test_big_files_share_the_streams_and_each_has_one() -> None:
    streams = Streams(4)

    def opened(files: int) -> Iterator[int]:
        with streams.reading():
            yield streams.share()
            if files > 1:
                yield from opened(files - 1)

    assert list(opened(6)) == [4, 2, 1, 1, 1, 1]
    assert streams.share() == 4
