"""Safe file-system steps below one root folder, and what their failures mean to a person.

Every path is walked folder by folder with `O_NOFOLLOW` from the root (openat(2)), so neither a
hostile key nor a symbolic link planted in the backup leads out of it, also while it changes.
Must not know what a destination is.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

from syncapp.destinations.one_name import is_alias
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    NotFound,
    PermanentError,
    TransientError,
    Unavailable,
)
from syncapp.types import Part

Names = list[str]  # from the root down

CHUNK_BYTES = 1024**2
_BUFFER_BYTES = 256 * 1024  # stays in the processor's cache between reading and hashing
MAX_NAME_BYTES = 255  # NAME_MAX of every common Linux file system
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_FULL = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EROFS, errno.EACCES, errno.EPERM}
_NAME = {errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EINVAL, errno.EILSEQ, errno.EEXIST}
_GONE = {errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ENODEV, errno.ENXIO}


def translate(error: OSError, root: str, key: str) -> BackupError:
    """The error that tells who must act about a failed system call on `key` below `root`."""
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return ConfigurationError(
            f"The disk of the folder {root} is full ({why}). Free or add space, then resume.",
            code="destination_full",
        )
    if error.errno in _REFUSED:
        return ConfigurationError(
            f"The folder {root} refuses to be written or read ({why}). Give the account that "
            "runs the backup read and write rights there, and mount the disk read-write."
        )
    if error.errno == errno.ENOENT:
        if not key:
            return NotFound(f"There is no folder {root}, and it can't be made there.")
        return NotFound(f"There is no “{key}” in the folder {root}.")
    if error.errno == errno.ENAMETOOLONG or (error.errno in _NAME):
        return PermanentError(
            f"The file system of {root} can't hold the name “{key}” ({why}): a part of it is too "
            "long, not allowed there, or already used by something of another kind."
        )
    if error.errno in _GONE:
        return Unavailable(f"The disk of the folder {root} does not answer ({why}).")
    return TransientError(f"Reading or writing in the folder {root} failed ({why}).")


@contextmanager
def translated(root: str, key: str = "") -> Iterator[None]:
    """Let system errors inside leave as ours."""
    try:
        yield
    except OSError as error:
        raise translate(error, root, key) from error


def components(key: str) -> Names:
    """The folders and the name of `key`; PermanentError if it is not a plain relative path."""
    names = key.split("/")
    if any(name in ("", ".", "..") or "\0" in name for name in names):
        raise PermanentError(f"“{key}” is not a key that a folder can hold.", code="bad_key")
    try:
        longest = max(len(name.encode()) for name in names)
    except UnicodeEncodeError as error:
        raise PermanentError("The key is not valid Unicode.", code="bad_key") from error
    if longest > MAX_NAME_BYTES:
        raise PermanentError(
            f"A name in “{key}” is {longest} bytes long; file systems allow {MAX_NAME_BYTES}.",
            code="name_too_long",
        )
    return names


@contextmanager
def folder(root_fd: int, names: Names, *, create: bool = False) -> Iterator[int]:
    """A descriptor of the folder `names` below `root_fd`, reached without following any link.

    With `create`, missing ones are made and made durable.
    """
    current = os.dup(root_fd)
    try:
        for name in names:
            try:
                below = os.open(name, _FOLDER, dir_fd=current)
            except FileNotFoundError:
                if not create:
                    raise
                below = _make_folder(current, name)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def _make_folder(parent_fd: int, name: str) -> int:
    # Another thread may make it first; whoever did, the entry is durable before it is used.
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent_fd)
    os.fsync(parent_fd)
    return os.open(name, _FOLDER, dir_fd=parent_fd)


def rename_exactly(from_fd: int, name: str, parent_fd: int, to: str) -> None:
    """Give a finished file its name, durably; what has that very name is replaced.

    PermanentError "name_taken" where the folder finds what is called otherwise under that name
    (another case): that is another file's.
    """
    if is_alias(parent_fd, to):
        raise PermanentError(
            f"The folder can't tell “{to}” from the name of another file that lies there.",
            code="name_taken",
        )
    os.rename(name, to, src_dir_fd=from_fd, dst_dir_fd=parent_fd)
    os.fsync(parent_fd)


def unlink_exactly(parent_fd: int, name: str) -> None:
    """Remove the file of this very name, durably; never what is called otherwise."""
    if is_alias(parent_fd, name):
        return
    os.unlink(name, dir_fd=parent_fd)
    os.fsync(parent_fd)


def write_part(fd: int, offset: int, part: Part, root: str) -> None:
    """Write a part at `offset` and confirm it by hashing what the file gives back."""
    position = offset
    with part.open() as reader:
        while chunk := reader.read(_BUFFER_BYTES):
            view = memoryview(chunk)
            while view:
                written = os.pwrite(fd, view, position)
                position += written
                view = view[written:]
    if position - offset != part.size or file_sha256(fd, offset, part.size) != part.sha256:
        raise IntegrityError(
            f"Part {part.number} written to {root} does not read back as it was sent "
            f"({position - offset} bytes written, {part.size} expected)."
        )


def chunks_of(fd: int, root: str, key: str, start: int, end: int | None) -> Iterator[bytes]:
    """The bytes of an open file from `start` to `end`, as far as it reaches."""
    size = os.fstat(fd).st_size
    stop = size if end is None else min(end, size)
    while start < stop:
        with translated(root, key):
            chunk = os.pread(fd, min(stop - start, CHUNK_BYTES), start)
        if not chunk:
            raise Unavailable(f"“{key}” in {root} ended {stop - start} bytes early.")
        start += len(chunk)
        yield chunk


def file_sha256(fd: int, offset: int, size: int) -> bytes:
    """The SHA-256 of a stretch of an open file, read in bounded chunks."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(min(_BUFFER_BYTES, size)))
    end = offset + size
    while offset < end:
        got = os.preadv(fd, [buffer[: end - offset]], offset)
        if not got:
            break
        digest.update(buffer[:got])
        offset += got
    return digest.digest()


def set_mtime(fd: int, moment: datetime) -> None:
    """Set the modification time exactly: no detour through a float."""
    nanoseconds = (moment - _EPOCH) // timedelta(microseconds=1) * 1000
    os.utime(fd, ns=(nanoseconds, nanoseconds))


def mtime(stat: os.stat_result) -> datetime:
    """The modification time as UTC."""
    return _EPOCH + timedelta(microseconds=stat.st_mtime_ns // 1000)


def set_attributes(fd: int, attributes: dict[str, str]) -> None:
    """Keep `attributes` beside the bytes, as `user.*` extended attributes.

    File systems without them (exFAT, some network shares) lose nothing that counts: the catalog
    is the truth, these only help a person who has nothing else.
    """
    for name, value in attributes.items():
        if not value:
            continue
        try:
            os.setxattr(fd, f"user.{name}", value.encode())
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.EPERM, errno.ENOSPC, errno.E2BIG, errno.ERANGE):
                return
            raise


def get_attributes(fd: int) -> dict[str, str]:
    """What `set_attributes` kept, empty where the file system keeps none."""
    try:
        return {
            name.removeprefix("user."): os.getxattr(fd, name).decode(errors="replace")
            for name in os.listxattr(fd)
            if name.startswith("user.")
        }
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM, errno.ENODATA):
            return {}
        raise
