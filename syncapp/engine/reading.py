"""Bytes as they come from the source: into parts, hashed once, held against what was promised."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator

from syncapp.engine.spool import PartFiller, Spool
from syncapp.errors import IntegrityError
from syncapp.types import Digest, Part, RemoteFile

_MD5 = re.compile("[0-9a-f]{32}")


def fill(
    spool: Spool,
    chunks: Iterator[bytes],
    size: int | None,
    bytes_a_part: int,
    *,
    promised: RemoteFile | None,
    make_room: Callable[[int, int], None],
    on_part: Callable[[], None],
) -> Digest:
    """Read everything into parts; the digest of the whole. Claims no more than `size` tells.

    `promised` names hashes that may be taken for right once the SHA-256 is.
    """
    whole = Whole(promised, one_part=size is not None and size <= bytes_a_part)
    total = 0

    def filler(number: int) -> PartFiller:
        room = bytes_a_part if size is None else min(bytes_a_part, max(size - total, 0))
        return PartFiller(spool, number, room, make_room)

    current: PartFiller | None = filler(1)
    try:
        for chunk in chunks:
            whole.update(chunk)
            rest = chunk
            while rest:
                if current is None:
                    current = filler(spool.count() + 1)
                before = len(rest)
                rest = current.write(rest)
                total += before - len(rest)
                if rest:
                    if size is not None and total >= size:
                        raise IntegrityError(f"The source sent more than its {size} bytes.")
                    spool.expect_more()
                    full, current = current, None
                    spool.append(full.close())
                    on_part()
    except BaseException:
        if current is not None:
            current.discard()
        raise
    if current is not None:
        spool.append(current.close())
    return whole.digest(spool, total)


class Whole:
    """The hashes of a whole file; those of its only part where there is just one.

    MD5 costs more than all the rest of a read. Where the source names a SHA-256 besides, and that
    is right, the MD5 that it names is taken for right too; a second read after a mismatch computes
    both.
    """

    def __init__(self, promised: RemoteFile | None, *, one_part: bool) -> None:
        self._one_part = one_part
        self._promised = promised
        self._md5, self._sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()

    def update(self, chunk: bytes) -> None:
        """The next bytes."""
        if self._one_part:
            return
        self._sha256.update(chunk)
        if self._promised is None:
            self._md5.update(chunk)

    def digest(self, spool: Spool, size: int) -> Digest:
        """Of all that came."""
        first = spool.part(1)
        if self._one_part and first is not None:
            return of_one_part(first.part, self._promised)
        sha256 = self._sha256.hexdigest()
        if self._promised is None:
            return Digest(size, self._md5.hexdigest(), sha256)
        right = sha256 == self._promised.sha256
        return Digest(size, (right and self._promised.md5) or "", sha256)


def of_one_part(part: Part, promised: RemoteFile | None) -> Digest:
    """Of a file whose only part this is. `promised` as for `fill`: an MD5 that is taken for right
    and is not is refused by the store, and then all is read again."""
    sha256 = part.sha256.hex()
    if promised is not None and promised.md5 and sha256 == promised.sha256:
        part.known_md5 = bytes.fromhex(promised.md5)
    return Digest(part.size, part.md5.hex(), sha256)


def trusted_hashes(file: RemoteFile, last_read: Digest | None) -> RemoteFile | None:
    """The file if its SHA-256 may vouch for its MD5: both are named, and no read differed yet."""
    named = file.sha256 and _MD5.fullmatch(file.md5 or "")
    return file if named and last_read is None else None


def check(file: RemoteFile, last_read: Digest | None, digest: Digest) -> bool:
    """Hold what was read against what the source promised.

    IntegrityError if they differ, unless an earlier read gave the same bytes: then the source's
    own checksum is wrong (known of files that came from Google Photos) and True is returned.
    """
    if file.size is not None and digest.size != file.size:
        raise IntegrityError(
            f"Read {digest.size} bytes where Google names {file.size}.", code="size_mismatch"
        )
    agrees = (not file.md5 or file.md5 == digest.md5) and (
        not file.sha256 or file.sha256 == digest.sha256
    )
    if agrees:
        return False
    if last_read is not None and last_read.sha256 == digest.sha256:
        return True
    raise IntegrityError("The bytes read do not match Google's checksum of this file.")
