"""A folder of this server as the target: plain files with their times.

A file is written under a temporary name in `.restoring-<run>` below the target, given its time,
made durable, and only then gets its name, which never replaces what it is not to replace (link(2)
fails where a name is taken). Small files are made durable many at once where the disk can
(`durable`): until that is done none of them has its name, and a kill costs reading them again.
Where a folder ignores case, only a file of exactly the same name is replaced. No symbolic link
below the target is followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Protocol

from syncapp.destinations.local_files import (
    CHUNK_BYTES,
    file_sha256,
    folder,
    set_mtime,
    translated,
)
from syncapp.destinations.one_name import is_alias
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    PermanentError,
    TransientError,
)
from syncapp.restore_targets.base import (
    OVERWRITE,
    SKIP,
    Bytes,
    Item,
    Path,
    Placed,
    Target,
    Unnamed,
    numbered,
)
from syncapp.restore_targets.durable import FEW, FileSystem

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS}
RESUMED_BYTES = 16 * 1024**2  # of a smaller piece nothing is kept
_SMALL_BYTES = 1024**2  # of more bytes each file is made durable for itself, by who writes it
_MOST_NAMES = 1000  # tried by RENAME


class Digest(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None: ...

    def hexdigest(self) -> str: ...


class FolderTarget(Target):
    """Files below one folder, which is made if it is not there.

    `.restoring-<run>` also marks the disk that was begun with: what is not mounted any more, or
    another host's folder of the same name, must not be filled instead.
    """

    def __init__(self, root: str, run_id: int, *, begun: bool = False) -> None:
        """`root` is an absolute path that was found allowed; `begun`: not by this lane."""
        self._root, self._begun = root, begun
        self._unfinished = f".restoring-{run_id}"
        self._naming = threading.Lock()
        self._disk: FileSystem | None = None

    def begin(self) -> None:
        if self._begun:
            try:
                with translated(self._root), self._opened() as root_fd, self._at_work(root_fd):
                    return
            except PermanentError as error:
                raise self._lost() from error
        if os.path.lexists(self._root) and not os.path.isdir(self._root):
            raise ConfigurationError(f"{self._root} is not a folder. Choose another one.")
        try:
            with translated(self._root):
                os.makedirs(self._root, 0o700, exist_ok=True)
                with self._opened() as root_fd, folder(root_fd, [self._unfinished], create=True):
                    pass
        except PermanentError as error:
            message = f"The folder {self._root} can't be made. Choose another one."
            raise ConfigurationError(message) from error

    def folder(self, item: Item) -> Placed:
        item = self._past_our_own(item)
        with translated(self._root, "/".join(item.path)), self._opened() as root_fd:
            there = _has_folder(root_fd, item.path)
            with folder(root_fd, list(item.path), create=True):
                return self._placed(item.path, there=there)

    def finish_folder(self, item: Item) -> str:
        """Its time; nobody else's permissions are known on this server."""
        item = self._past_our_own(item)
        if item.modified_at is None:
            return ""
        with (
            translated(self._root, "/".join(item.path)),
            self._opened() as root_fd,
            self._at_work(root_fd),
            suppress(FileNotFoundError, NotADirectoryError),  # nothing of it could be restored
            folder(root_fd, list(item.path)) as fd,
        ):
            set_mtime(fd, item.modified_at)
            os.fsync(fd)
        return ""

    def place(self, item: Item, content: Bytes, collision: str) -> Placed:
        written = self._written(item, content, collision)
        return written if isinstance(written, Placed) else self._name_alone(written)

    def write(self, item: Item, content: Bytes, collision: str) -> Placed | Unnamed:
        written = self._written(item, content, collision)
        if isinstance(written, Placed) or (self._disk and self._disk.syncs_at_once):
            return written
        return self._name_alone(written)

    def name(self, written: Sequence[Unnamed]) -> list[Placed | BackupError]:
        with (
            translated(self._root),
            self._opened() as root_fd,
            self._at_work(root_fd) as unfinished,
        ):
            try:
                return self._name_all(root_fd, unfinished, written)
            finally:
                for one in written:
                    self._forget(unfinished, one.temporary)

    def _written(self, item: Item, content: Bytes, collision: str) -> Placed | Unnamed:
        """Where it is already, or its bytes under a temporary name."""
        item = self._past_our_own(item)
        shown = "/".join(item.path)
        with (
            translated(self._root, shown),
            self._opened() as root_fd,
            self._at_work(root_fd) as unfinished,
            folder(root_fd, list(item.path[:-1]), create=True) as parent,
        ):
            if self._disk is None:
                self._disk = FileSystem(unfinished)
            placed = self._found(parent, item, content, collision)
            if placed is not None:
                return placed
            # Nobody else's: a lane that was frozen, and replaced, must not write into it.
            small = content.size <= _SMALL_BYTES
            temporary = f"{item.id}-{uuid.uuid4().hex}" if small else str(item.id)
            self._write(unfinished, temporary, item, content)
            return Unnamed(item, content, collision, temporary)

    def _name_alone(self, written: Unnamed) -> Placed:
        (answer,) = self.name([written])
        if isinstance(answer, BackupError):
            raise answer
        return answer

    def _name_all(
        self, root_fd: int, unfinished: int, written: Sequence[Unnamed]
    ) -> list[Placed | BackupError]:
        """First all bytes are made durable, then names are given, then these are made durable."""
        disk = self._disk if len(written) >= FEW else None
        if disk and not (disk.syncs_at_once and disk.holds(unfinished)):
            disk = None
        if disk:
            disk.sync()
        by_folder: dict[Path, list[int]] = {}
        for number, one in enumerate(written):
            if not disk and one.content.size <= _SMALL_BYTES:
                _fsync(unfinished, one.temporary)
            by_folder.setdefault(one.item.path[:-1], []).append(number)
        answers: dict[int, Placed | BackupError] = {}
        for above, numbers in by_folder.items():
            some = [written[number] for number in numbers]
            named = self._name_in(root_fd, above, unfinished, some, sync=not disk)
            answers.update(zip(numbers, named, strict=True))
        if disk:
            disk.sync()
        return [answers[number] for number in range(len(written))]

    def _name_in(
        self, root_fd: int, above: Path, unfinished: int, some: Sequence[Unnamed], *, sync: bool
    ) -> Sequence[Placed | BackupError]:
        """Those of one folder."""
        try:
            with (
                translated(self._root, "/".join(above)),
                folder(root_fd, list(above), create=True) as parent,
            ):
                answers = [self._name_or_error(unfinished, parent, one) for one in some]
                if sync:
                    os.fsync(parent)
                return answers
        except BackupError as error:
            return [error] * len(some)

    def _name_or_error(self, unfinished: int, parent: int, one: Unnamed) -> Placed | BackupError:
        try:
            with translated(self._root, "/".join(one.item.path)):
                return self._name(unfinished, parent, one)
        except BackupError as error:
            return error

    def end(self) -> None:
        with translated(self._root), suppress(FileNotFoundError), self._opened() as root_fd:
            shutil.rmtree(self._unfinished, dir_fd=root_fd)

    def _past_our_own(self, item: Item) -> Item:
        """Nothing restored may lie in the folder of unfinished files: that goes at the end."""
        top, *below = item.path
        if top.casefold() != self._unfinished:
            return item
        return replace(item, path=(numbered(top, 2), *below))

    @contextmanager
    def _opened(self) -> Iterator[int]:
        fd = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield fd
        finally:
            os.close(fd)

    @contextmanager
    def _at_work(self, root_fd: int) -> Iterator[int]:
        """The folder of unfinished files, without which this is not the place begun with."""
        try:
            fd = os.open(self._unfinished, os.O_RDONLY | os.O_DIRECTORY, dir_fd=root_fd)
        except FileNotFoundError as error:
            raise self._lost() from error
        try:
            yield fd
        finally:
            os.close(fd)

    def _lost(self) -> ConfigurationError:
        return ConfigurationError(
            f"{self._root} is not the folder where this restore began: is its disk mounted, and "
            "on every host that works? Mount it, then resume.",
            code="not_mounted",
        )

    def _placed(self, path: Path, *, kept: bool = False, there: bool = False) -> Placed:
        return Placed(f"{self._root}/{'/'.join(path)}", kept, there)

    def _found(self, parent: int, item: Item, content: Bytes, collision: str) -> Placed | None:
        """The item as it stands there already, or what it must give way to; None: to be made."""
        above, name = item.path[:-1], item.path[-1]
        for candidate in _names(name):
            if self._is_there(parent, candidate, content):
                return self._placed((*above, candidate), there=True)
            if not _exists(parent, candidate) or _replaces(parent, name, candidate, collision):
                return None
            if collision == SKIP:
                return self._placed(item.path, kept=True)
        raise PermanentError(f"There are {_MOST_NAMES} files named like “{name}” already.")

    def _is_there(self, parent: int, name: str, content: Bytes) -> bool:
        """Whether a regular file of this name has the very bytes: made before a crash, or equal."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ELOOP, errno.EACCES, errno.ENXIO):
                return False
            raise
        try:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or about.st_size != content.size:
                return False
            return file_sha256(fd, 0, content.size).hex() == content.sha256
        finally:
            os.close(fd)

    def _write(self, unfinished: int, temporary: str, item: Item, content: Bytes) -> None:
        """The whole file under its temporary name. Of a big one that was cut off the rest is read;
        should what was there be wrong, it is read anew from the beginning at the next try."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(temporary, flags, 0o600, dir_fd=unfinished)
        kept = False
        try:
            start, digest = self._resume(fd, content.size)
            try:
                for chunk in content.from_offset(start) if start else content:
                    if digest:
                        digest.update(chunk)
                    rest = memoryview(chunk)
                    while rest:
                        rest = rest[os.write(fd, rest) :]
            except TransientError:
                kept = True
                raise
            # What was read as a whole was compared by whoever read it.
            if digest and digest.hexdigest() != content.sha256:
                raise IntegrityError(f"“{'/'.join(item.path)}” did not come as it was stored.")
            if item.modified_at is not None:
                set_mtime(fd, item.modified_at)
            if content.size > _SMALL_BYTES:
                os.fsync(fd)
            kept = True
        finally:
            os.close(fd)
            if not kept:
                self._forget(unfinished, temporary)

    def _resume(self, fd: int, size: int) -> tuple[int, Digest | None]:
        """Where to go on: the end of what an earlier try has written, and the hash of that."""
        start = os.fstat(fd).st_size
        if not RESUMED_BYTES <= start <= size:
            if start:
                os.ftruncate(fd, 0)
            return 0, None
        digest = hashlib.sha256()
        while chunk := os.read(fd, CHUNK_BYTES):
            digest.update(chunk)
        return start, digest

    def _forget(self, unfinished: int, temporary: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(temporary, dir_fd=unfinished)

    def _name(self, unfinished: int, parent: int, one: Unnamed) -> Placed:
        """Give the finished file its name, or the next free one.

        Also what replaces is first linked: of two files whose names are one to this folder the
        second one then finds the first, even if both are placed at once.
        """
        *above, name = one.item.path
        for candidate in _names(name):
            if self._link(unfinished, one.temporary, parent, candidate):
                return self._placed((*above, candidate))
            if _replaces(parent, name, candidate, one.collision):
                os.rename(one.temporary, name, src_dir_fd=unfinished, dst_dir_fd=parent)
                return self._placed((*above, name))
            if one.collision == SKIP:
                kept = not self._is_there(parent, name, one.content)
                return self._placed(one.item.path, kept=kept)
        raise PermanentError(f"There are {_MOST_NAMES} files named like “{name}” already.")

    def _link(self, unfinished: int, temporary: str, parent: int, name: str) -> bool:
        """False if the name is taken."""
        try:
            os.link(temporary, name, src_dir_fd=unfinished, dst_dir_fd=parent)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            with self._naming:  # against our own threads; nobody else can be held off here
                if _exists(parent, name):
                    return False
                os.rename(temporary, name, src_dir_fd=unfinished, dst_dir_fd=parent)
        return True


def _fsync(parent: int, name: str) -> None:
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _names(name: str) -> Iterator[str]:
    yield name
    for number in range(2, _MOST_NAMES):
        yield numbered(name, number)


def _replaces(parent: int, name: str, candidate: str, collision: str) -> bool:
    """Whether what has the name is to go: not if it is called otherwise, it may be our own."""
    return collision == OVERWRITE and candidate == name and not is_alias(parent, name)


def _has_folder(root_fd: int, path: Path) -> bool:
    try:
        with folder(root_fd, list(path)):
            return True
    except FileNotFoundError:
        return False


def _exists(parent: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
