"""A folder of this server (a disk, a mounted share) as a destination.

Objects are plain files, so that a person needs no program of ours to use them. A file appears
under its name only when whole, read back and durable: written under `.partial`, fsync, rename,
fsync of the folder (rename(2) is atomic within a file system). Reading back goes through the page
cache: it proves what the kernel holds; what the disk kept is proved by `verify`. Never follows a
symbolic link below its root, never overwrites in place (hard links made by `copy` rely on it), and
never writes to a root that lost its marker: an unmounted disk must not fill the system's own.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import stat
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from syncapp.destinations.base import Destination
from syncapp.destinations.local_files import (
    CHUNK_BYTES,
    Names,
    chunks_of,
    components,
    file_sha256,
    folder,
    get_attributes,
    mtime,
    rename_exactly,
    set_attributes,
    translated,
    unlink_exactly,
)
from syncapp.destinations.local_upload import LocalUpload
from syncapp.destinations.probe import Probe, attempt
from syncapp.errors import (
    BackupError,
    ConfigurationError,
    IntegrityError,
    NotFound,
    PermanentError,
)
from syncapp.types import (
    CheckResult,
    Digest,
    Limits,
    ObjectInfo,
    ObjectMeta,
    Option,
    Part,
    SentPart,
)

logger = logging.getLogger(__name__)

MARKER = ".backup-destination"
PARTIAL = ".partial"
_OWN = (MARKER, PARTIAL)
Pending = list[Names]  # folders still to be listed
_CODE = Path(__file__).resolve().parents[2]
_MARKER_TEXT = "A backup lives in this folder. Without this file, backups to it stop.\n"
_LOW_SPACE_BYTES = 1024**3
_PLACE_TRIES = 5
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EMLINK, errno.ENOSYS, errno.EXDEV}


class LocalDestination(Destination):
    """Files below one folder. Reserved setting `_prepared` "1": `check` must not claim the root."""

    kind = "local"
    options = (
        Option("path", "Folder", "Absolute path on the server, for example /mnt/backup.", True),
        Option("prefix", "Subfolder", "Where inside the folder; may stay empty."),
    )

    def __init__(self, root: str, prefix: str, *, prepared: bool = False) -> None:
        self.root = root
        self._prefix = components(prefix) if prefix else []
        self._prepared = prepared

    @classmethod
    def create(cls, settings: Mapping[str, str], secrets: Mapping[str, str]) -> LocalDestination:
        path = settings.get("path", "").strip()
        if not path.startswith("/") or "\0" in path or os.path.realpath(path) == "/":
            raise ConfigurationError(f"Folder: “{path}” is not an absolute path of a folder.")
        real = Path(os.path.realpath(path))
        if real.is_relative_to(_CODE) and not real.is_relative_to(_CODE / "var"):
            raise ConfigurationError(
                f"Folder: {path} lies inside the program's own folder. Choose one outside of it."
            )
        prefix = settings.get("prefix", "").strip().strip("/")
        try:
            return cls(os.path.normpath(path), prefix, prepared=settings.get("_prepared") == "1")
        except BackupError as error:
            raise ConfigurationError(f"Subfolder: {error.message}") from error

    @property
    def limits(self) -> Limits:
        return Limits(min_part=1, max_part=1024**4, max_parts=1024**2, max_object=8 * 1024**4)

    @property
    def keeps_versions(self) -> bool:
        return False

    def put(self, key: str, part: Part, meta: ObjectMeta) -> ObjectInfo:
        upload = self.start_upload(key, meta, part_size=max(part.size, 1))
        try:
            upload.send(part)
            return upload.place(Digest(part.size, part.md5.hex(), part.sha256.hex()))
        finally:
            upload.abort()

    def start_upload(self, key: str, meta: ObjectMeta, *, part_size: int) -> LocalUpload:
        self.names(key)
        with translated(self.root, key), self._opened() as root_fd:
            with folder(root_fd, [PARTIAL], create=True) as partial_fd:
                upload = LocalUpload(self, os.dup(partial_fd), key, meta, part_size)
                upload.create()
                return upload

    def resume_upload(
        self,
        key: str,
        meta: ObjectMeta,
        *,
        upload_id: str,
        part_size: int,
        parts: Sequence[SentPart],
    ) -> LocalUpload | None:
        self.names(key)
        if not re.fullmatch("[0-9a-f]{32}", upload_id):
            return None
        with translated(self.root, key), self._opened() as root_fd:
            with folder(root_fd, [PARTIAL], create=True) as partial_fd:
                upload = LocalUpload(self, os.dup(partial_fd), key, meta, part_size)
                try:
                    upload.reopen(upload_id, parts)
                except FileNotFoundError:
                    return None
                return upload

    def head(self, key: str, *, version_id: str = "") -> ObjectInfo | None:
        try:
            with self._file(key, version_id) as fd:
                return _info(key, os.fstat(fd), get_attributes(fd))
        except NotFound:
            return None

    @contextmanager
    def read(
        self, key: str, *, version_id: str = "", start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        with self._file(key, version_id) as fd:
            yield chunks_of(fd, self.root, key, start, end)

    def thaw(self, key: str, *, version_id: str = "", days: int = 3) -> None:
        """Nothing here is ever archived."""

    def objects(self, prefix: str = "") -> Iterator[ObjectInfo]:
        top, _, start = prefix.rpartition("/")
        above = components(top) if top else []
        with translated(self.root, prefix), self._opened() as root_fd:
            pending = [[*self._prefix, *above]]
            while pending:
                names = pending.pop()
                yield from self._list_folder(root_fd, names, start, pending)
                start = ""

    def versions(self, prefix: str = "") -> Iterator[ObjectInfo]:
        return self.objects(prefix)

    def copy(
        self, source_key: str, target_key: str, *, version_id: str = "", size: int | None = None
    ) -> ObjectInfo:
        with self._file(source_key, version_id) as fd, self._opened() as root_fd:
            before = os.fstat(fd)
            name = uuid.uuid4().hex
            with translated(self.root, target_key), folder(root_fd, [PARTIAL], create=True) as into:
                try:
                    self._link_or_copy(root_fd, source_key, fd, into, name)
                    self.rename(into, name, target_key)
                finally:
                    # rename(2) does nothing, and keeps the old name, between two links of one file.
                    with suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=into)
        info = self.head(target_key)
        if info is None or info.size != before.st_size:
            raise IntegrityError(f"The copy “{target_key}” in {self.root} is not as its original.")
        return info

    def delete(self, key: str, *, version_id: str = "") -> None:
        names = self.names(key)
        if version_id:
            return
        with translated(self.root, key), self._opened() as root_fd:
            try:
                with folder(root_fd, names[:-1]) as parent:
                    unlink_exactly(parent, names[-1])
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return
            self._remove_empty(root_fd, names[:-1])

    def purge(self, key: str, *, version_id: str = "") -> None:
        self.delete(key, version_id=version_id)

    def locked_until(self, key: str, *, version_id: str = "") -> datetime | None:
        return None

    def sweep_uploads(self, started_before: datetime, keep: Collection[str] = ()) -> int:
        """By the last change of a partial file: one that is still being written is spared."""
        swept = 0
        with translated(self.root, PARTIAL), self._opened() as root_fd:
            with folder(root_fd, [PARTIAL], create=True) as partial, os.scandir(partial) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        found = entry.stat(follow_symlinks=False)
                        if found.st_ctime < started_before.timestamp() and entry.name not in keep:
                            os.unlink(entry.name, dir_fd=partial)
                            swept += 1
        return swept

    def check(self) -> Sequence[CheckResult]:
        lines = [attempt("folder", self.prepare)]
        if lines[0].level == "error":
            return lines
        probe = Probe(self)
        try:
            lines += probe.run()
        finally:
            probe.clean()
        return [*lines, self._space(), CheckResult("versions", "ok", "kept by moving old files")]

    def prepare(self) -> str:
        """Claim the folder for backups by its marker; refuses where the marker must be already."""
        marker = os.path.join(self.root, MARKER)
        with translated(self.root):
            if os.path.exists(marker):
                return self.root
            if self._prepared:
                raise self._lost_marker()
            os.makedirs(self.root, 0o700, exist_ok=True)
            others = bool(os.listdir(self.root))
            Path(marker).write_text(_MARKER_TEXT)
        return f"{self.root} is now a destination" + (" (it holds other files too)" * others)

    def names(self, key: str) -> Names:
        """Folders and name of a key below the root, our own two names refused."""
        names = [*self._prefix, *components(key)]
        if names[0] in _OWN:
            raise PermanentError(
                f"“{key}” is a name that this destination keeps for itself.", code="bad_key"
            )
        return names

    @contextmanager
    def _opened(self) -> Iterator[int]:
        """The root's descriptor, only if the marker stands in it; opened anew for each call, so
        that a disk mounted or unmounted meanwhile is seen."""
        try:
            root_fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise self._lost_marker() from error
        try:
            try:
                os.stat(MARKER, dir_fd=root_fd, follow_symlinks=False)
            except FileNotFoundError as error:
                raise self._lost_marker() from error
            yield root_fd
        finally:
            os.close(root_fd)

    def rename(self, partial_fd: int, name: str, key: str) -> None:
        """Move a finished file of `.partial` under its key, durably."""
        names = self.names(key)
        with self._opened() as root_fd:
            for tries_left in reversed(range(_PLACE_TRIES)):
                try:
                    with folder(root_fd, names[:-1], create=True) as parent:
                        rename_exactly(partial_fd, name, parent, names[-1])
                    return
                except FileNotFoundError:
                    # A delete in another thread took the folder away while it was empty.
                    if not tries_left:
                        raise

    def _lost_marker(self) -> ConfigurationError:
        return ConfigurationError(
            f"The folder {self.root} has no file {MARKER}: its disk is not mounted, or the folder "
            "was never tested as a destination. Mount the disk, or test the destination.",
            code="not_mounted",
        )

    @contextmanager
    def _file(self, key: str, version_id: str = "") -> Iterator[int]:
        names = self.names(key)
        if version_id:
            raise NotFound(f"The folder {self.root} keeps no versions of “{key}”.")
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with translated(self.root, key), self._opened() as root_fd:
            try:
                with folder(root_fd, names[:-1]) as parent:
                    fd = os.open(names[-1], flags, dir_fd=parent)
            except OSError as error:
                if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                    raise
                raise NotFound(f"There is no file “{key}” in {self.root}.") from error
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise NotFound(f"“{key}” in {self.root} is not a file.")
            yield fd
        finally:
            os.close(fd)

    def _list_folder(
        self, root_fd: int, names: Names, start: str, pending: Pending
    ) -> Iterator[ObjectInfo]:
        """The files of one folder in the order of their names; its folders onto `pending`."""
        try:
            with folder(root_fd, names) as fd, os.scandir(fd) as entries:
                found = [*_with_stat(entries)]
        except (FileNotFoundError, NotADirectoryError):
            return
        above = names[len(self._prefix) :]
        for entry, about in sorted(found, key=lambda pair: pair[0].name):
            if not entry.name.startswith(start) or (not names and entry.name in _OWN):
                continue
            if not _is_unicode(entry.name):
                logger.warning("foreign_file_skipped folder=%s", "/".join(names))
            elif stat.S_ISREG(about.st_mode):
                yield _info("/".join([*above, entry.name]), about, {})
            elif stat.S_ISDIR(about.st_mode):
                pending.append([*names, entry.name])

    def _link_or_copy(self, root_fd: int, source_key: str, fd: int, into: int, name: str) -> None:
        """A hard link where the file system has them: no bytes move, and files here are never
        changed in place. Otherwise a copy with its time and attributes, read back."""
        names = self.names(source_key)
        try:
            with folder(root_fd, names[:-1]) as parent:
                os.link(names[-1], name, src_dir_fd=parent, dst_dir_fd=into, follow_symlinks=False)
            return
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
        about = os.fstat(fd)
        target = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=into)
        try:
            while os.copy_file_range(fd, target, CHUNK_BYTES * 64):
                pass
            if file_sha256(fd, 0, about.st_size) != file_sha256(target, 0, about.st_size):
                raise IntegrityError(f"A copy of “{source_key}” in {self.root} reads back wrong.")
            set_attributes(target, get_attributes(fd))
            os.utime(target, ns=(about.st_atime_ns, about.st_mtime_ns))
            os.fsync(target)
        finally:
            os.close(target)

    def _remove_empty(self, root_fd: int, names: Names) -> None:
        for depth in range(len(names), len(self._prefix), -1):
            try:
                with folder(root_fd, names[: depth - 1]) as parent:
                    os.rmdir(names[depth - 1], dir_fd=parent)
            except OSError as error:
                if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOENT):
                    return
                raise

    def _space(self) -> CheckResult:
        with translated(self.root):
            found = os.statvfs(self.root)
        free = found.f_bavail * found.f_frsize
        level = "warning" if free < _LOW_SPACE_BYTES else "ok"
        return CheckResult("free space", level, f"{free / 1e9:.1f} GB free in {self.root}")


def _with_stat(
    entries: Iterable[os.DirEntry[str]],
) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    for entry in entries:
        # One that vanished since the folder was opened is simply not there.
        with suppress(FileNotFoundError):
            yield entry, entry.stat(follow_symlinks=False)


def _is_unicode(name: str) -> bool:
    """False for a name that is not UTF-8 on disk: never ours, and no database takes it."""
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _info(key: str, about: os.stat_result, attributes: dict[str, str]) -> ObjectInfo:
    # The hashes among the attributes are what was once sent: the disk vouches for none of them.
    return ObjectInfo(key, about.st_size, modified_at=mtime(about), metadata=attributes)
