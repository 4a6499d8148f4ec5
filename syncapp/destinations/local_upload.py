"""One file being written into a folder destination; see `local.py` for the rules."""

from __future__ import annotations

import os
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from syncapp.destinations.base import Upload
from syncapp.destinations.local_files import (
    file_sha256,
    set_attributes,
    set_mtime,
    translated,
    write_part,
)
from syncapp.errors import IntegrityError
from syncapp.types import Digest, ObjectInfo, ObjectMeta, Part, SentPart

if TYPE_CHECKING:
    from syncapp.destinations.local import LocalDestination

_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalUpload(Upload):
    """A file in `.partial`, named by the upload's id; parts stand at their offset, so that
    resending replaces."""

    def __init__(
        self, store: LocalDestination, partial_fd: int, key: str, meta: ObjectMeta, part_size: int
    ) -> None:
        """Takes over `partial_fd`, the descriptor of the folder of partial files."""
        self.id = uuid.uuid4().hex
        self._sent: dict[int, SentPart] = {}
        self._store = store
        self._partial_fd = partial_fd
        self._key = key
        self._meta = meta
        self._part_size = part_size
        self._fd = -1

    def create(self) -> None:
        """Begin an empty file."""
        self._open(os.O_CREAT | os.O_EXCL)

    def reopen(self, upload_id: str, parts: Sequence[SentPart]) -> None:
        """Go on with what another process wrote; FileNotFoundError if it is not there any more.

        Each part is read back: a machine that went down may have kept the file and lost bytes.
        """
        self.id = upload_id
        self._open(0)
        try:
            for part in parts:
                offset = (part.number - 1) * self._part_size
                if file_sha256(self._fd, offset, part.size).hex() == part.etag:
                    self._sent[part.number] = part
        except OSError:
            self.suspend()
            raise

    def _open(self, flags: int) -> None:
        try:
            self._fd = os.open(self.id, _FLAGS | flags, 0o600, dir_fd=self._partial_fd)
        except OSError:
            self.suspend()
            raise

    @property
    def sent(self) -> Mapping[int, SentPart]:
        return self._sent

    def send(self, part: Part) -> str:
        with translated(self._store.root, self._key):
            write_part(self._fd, (part.number - 1) * self._part_size, part, self._store.root)
        etag = part.sha256.hex()
        self._sent[part.number] = SentPart(part.number, part.size, part.known_md5, etag)
        return etag

    def _is(self, there: SentPart, part: Part) -> bool:
        return there.etag == part.sha256.hex()  # an MD5 costs more than all the rest

    def finish(self, digest: Digest) -> ObjectInfo:
        with translated(self._store.root, self._key):
            size = os.fstat(self._fd).st_size
            # All of it again, not only part by part: a part never sent would be a hole of zeros.
            if size != digest.size or file_sha256(self._fd, 0, size).hex() != digest.sha256:
                raise IntegrityError(
                    f"“{self._key}” written to {self._store.root} does not read back as it was "
                    f"sent ({size} of {digest.size} bytes)."
                )
        return self.place(digest)

    def place(self, digest: Digest) -> ObjectInfo:
        """Give the confirmed bytes their time, attributes and name."""
        kept = {
            "sha256": digest.sha256,
            "md5": digest.md5,
            "remote-id": self._meta.remote_id,
            "content-type": self._meta.content_type,
        }
        with translated(self._store.root, self._key):
            set_attributes(self._fd, kept)
            set_mtime(self._fd, self._meta.mtime)
            os.fsync(self._fd)
            self._store.rename(self._partial_fd, self.id, self._key)
        self.suspend()
        return ObjectInfo(
            key=self._key,
            size=digest.size,
            sha256=digest.sha256,
            modified_at=self._meta.mtime,
            metadata=kept,
        )

    def abort(self) -> None:
        if self._partial_fd < 0:
            return
        # What can't be removed now (disk gone) is swept later.
        with suppress(OSError):
            os.unlink(self.id, dir_fd=self._partial_fd)
        self.suspend()

    def suspend(self) -> None:
        for fd in (self._fd, self._partial_fd):
            if fd >= 0:
                os.close(fd)
        self._fd = self._partial_fd = -1
