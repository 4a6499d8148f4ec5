"""Stored bytes on their way to a browser: one version, or many files and folders in one archive.

The generators here run in threads of the web server for hours; they hold no database connection
while they read.
"""

from __future__ import annotations

import re
import tempfile
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from datetime import datetime
from itertools import chain

from django.conf import settings
from django.db import connection
from django.utils import timezone

from syncapp.engine import damage, record, restorable
from syncapp.engine.fetch import HELD_BYTES, Reading, Stored, locate, open_version
from syncapp.engine.moment import Chosen, descend
from syncapp.engine.origins import Origins
from syncapp.engine.restore_plan import Names
from syncapp.errors import BackupError
from syncapp.models import Event, Source
from syncapp.types import Content
from syncapp.visible import visible
from syncapp.web.zips import DEFLATE, STORE, ZipWriter
from syncapp.words import counted

AHEAD = 8  # small files read at once, before their turn in the archive
REPORT = "_restore-report"
_LINES_IN_MEMORY, _READ = 1024**2, 64 * 1024
# What gets smaller; everything else (media, Office files, archives) has been squeezed already.
_SQUEEZED = re.compile(
    r"text/|application/(json|xml|javascript|sql|rtf|x-sh|postscript|x-tar|dicom|vnd\.google-apps)"
    r"|.*\+(json|xml)$|image/(bmp|tiff|svg|x-)|audio/(wav|x-wav|aiff)"
)
_BACKSLASHES = {ord("\\"): "＼", ord("＼"): "‛＼"}
_DRIVE = re.compile(r"^([A-Za-z]):")


def version_bytes(
    version_id: int, start: int = 0, end: int | None = None
) -> Generator[bytes, None, None]:
    """The bytes [start, end) of a version. Raises what `fetch` does.

    The last chunk comes only after a whole version was found right, so that whoever was told the
    length sees one that was not as incomplete.
    """
    with open_version(version_id, start=start, end=end) as reading:
        connection.close()
        held = b""
        for chunk in reading:
            if held:
                yield held
            held = chunk
        if held:
            yield held


class Archive:
    """What lay below the chosen files and folders of a source at a moment, as a zip archive.

    A file that can't be read is left out and named in a report within the archive; one that fails
    after its first byte ends everything without the directory, and an event says why.
    """

    def __init__(self, source: Source, files: Collection[int], at: datetime | None) -> None:
        self._source, self._files, self._at = source, files, at
        self._origins = Origins()
        self._names = Names()
        self._alike: set[str] = set()  # names on top that begin as the report's does
        self._entered = self._missing = 0

    def chunks(self) -> Generator[bytes, None, None]:
        """The archive's bytes, once."""
        spool = settings.SPOOL_DIR
        spool.mkdir(parents=True, exist_ok=True)
        batches = descend(self._source.pk, self._files, self._at, folders=True)
        with (
            ZipWriter(str(spool)) as writer,
            tempfile.SpooledTemporaryFile(_LINES_IN_MEMORY, dir=str(spool)) as self._lines,
            ThreadPoolExecutor(AHEAD, "ahead") as pool,
        ):
            for chosen in batches:
                stored = locate([one.version_id for one in chosen if one.version_id is not None])
                self._origins.load({p.destination_id for s in stored.values() for p in s.places})
                connection.close()
                with closing(self._entries(writer, chosen, stored, pool)) as entries:
                    yield from entries
            if self._missing or not self._entered:
                yield from self._report(writer)
            yield from writer.end()

    def _entries(
        self,
        writer: ZipWriter,
        batch: Sequence[Chosen],
        stored: dict[int, Stored],
        pool: ThreadPoolExecutor,
    ) -> Generator[bytes, None, None]:
        """Entries in their order; small files are read before their turn, at most AHEAD at once."""
        waiting: deque[tuple[Chosen, Reading | None, Future[bytes] | None]] = deque()
        try:
            for one in batch:
                version = stored.get(one.version_id or 0)
                reading = Reading(version, self._origins) if version else None
                data = None
                if reading is not None and reading.size <= HELD_BYTES:
                    data = pool.submit(b"".join, reading)
                waiting.append((one, reading, data))
                if len(waiting) > 2 * AHEAD:
                    yield from self._entry(writer, *waiting.popleft())
            while waiting:
                yield from self._entry(writer, *waiting.popleft())
        finally:
            for _, _, data in waiting:
                if data is not None:
                    data.cancel()

    def _entry(
        self,
        writer: ZipWriter,
        one: Chosen,
        reading: Reading | None,
        data: Future[bytes] | None,
    ) -> Iterator[bytes]:
        name = safe_path(self._names.of(one.path))
        top = name.partition("/")[0].casefold()
        if top.startswith(REPORT):
            self._alike.add(top)
        self._entered += 1
        if one.content == Content.FOLDER:
            yield from writer.folder(name, one.modified_at)
            return
        if reading is None:
            moment = self._at or timezone.now()
            self._left_out(one, restorable.reasons([one.file_id], moment)[one.file_id])
            return
        level = DEFLATE if _SQUEEZED.match(reading.stored.content_type or one.mime_type) else STORE
        try:
            if data is not None:
                whole, chunks = data.result(), None
            else:
                chunks = iter(reading)
                whole = next(chunks, b"")
        except BackupError as error:
            self._left_out(one, error.message)
            return
        finally:
            self._note(reading)
        if chunks is None:
            yield from writer.whole(name, one.modified_at, whole, level)
            return
        content = self._guarded(one, reading, chain([whole], chunks))
        yield from writer.streamed(name, one.modified_at, content, size=reading.size, level=level)

    def _guarded(self, one: Chosen, reading: Reading, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """A large file's bytes; if they fail it is told, for a browser only sees a broken end."""
        try:
            yield from chunks
        except BackupError as error:
            path = "/".join(map(visible, one.path))
            record.event(
                self._source.owner,
                "download_failed",
                f"A download of {self._source.name} was cut off at {path}: {error.message}",
                level=Event.Level.WARNING,
                source=self._source,
            )
            raise
        finally:
            self._note(reading)

    def _note(self, reading: Reading) -> None:
        if reading.damages:
            damage.note(reading.damages)
            reading.damages.clear()
            connection.close()

    def _left_out(self, one: Chosen, reason: str) -> None:
        self._missing += 1
        self._lines.write(f"{'/'.join(map(visible, one.path))}: {reason}\n".encode())

    def _report(self, writer: ZipWriter) -> Iterator[bytes]:
        moment = timezone.localtime(self._at or timezone.now())
        head = f"{self._source.name}, as it was on {moment:%Y-%m-%d %H:%M %Z}. "
        head += f"Not in this archive: {counted(self._missing, 'file')}:\n\n" * bool(self._missing)
        if not self._entered:
            head += "There was nothing.\n"
        first = head.encode()
        size = len(first) + self._lines.tell()
        self._lines.seek(0)
        content = chain([first], iter(lambda: self._lines.read(_READ), b""))
        yield from writer.streamed(self._report_name(), timezone.now(), content, size=size)

    def _report_name(self) -> str:
        marks = chain([""], (f" ({n})" for n in range(2, len(self._alike) + 3)))
        names = (f"{REPORT}{mark}.txt" for mark in marks)
        return next(name for name in names if name not in self._alike)


def safe_path(path: str) -> str:
    """A path of `Names` that no archiver takes for one outside its folder.

    `..`, control characters and slashes within names are encoded already; Windows reads two more.
    """
    return _DRIVE.sub(r"\1‛：", path.translate(_BACKSLASHES))
