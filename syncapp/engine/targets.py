"""From a restore's row to the target it names; and which folders of this server may be one."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from syncapp.destinations.local import LocalDestination
from syncapp.destinations.local_files import MAX_NAME_BYTES
from syncapp.engine import drive_restore, keys, limits
from syncapp.engine.adapters import destination_for
from syncapp.engine.gate import Gate
from syncapp.engine.restore_uploads import KeptUploads
from syncapp.engine.whereabouts import overlap
from syncapp.errors import ConfigurationError
from syncapp.models import Destination, Restore, Source
from syncapp.restore_targets.base import Target
from syncapp.restore_targets.destination import DestinationTarget
from syncapp.restore_targets.folder import FolderTarget
from syncapp.types import JsonObject

_BEGUN = "begun"  # among a restore's options, from its first lane's beginning to its last one's end
RESTORED = "restored"  # below it lies what a restore brought into a destination
_CODE = Path(__file__).resolve().parents[2]
_KERNEL = (Path("/proc"), Path("/sys"))  # nothing can be made there, whoever asks


def target_for(restore: Restore, stopped: limits.Stopped = limits.never) -> Target:
    """The target, ready for `begin`. ConfigurationError if it is not there any more.

    Waits inside it end with Interrupted once `stopped` says so.
    """
    return _MAKERS[Restore.Target(restore.target)](restore, stopped)


def begin(restore: Restore, stopped: limits.Stopped) -> Target:
    """The target, begun; the next lane has to find it as this one leaves it."""
    target = target_for(restore, stopped)
    target.begin()
    _mark(restore, begun=True)
    return target


def end(restore: Restore, target: Target) -> None:
    """Leave nothing unfinished there; it may begin again after that."""
    _mark(restore, begun=False)
    target.end()


def _mark(restore: Restore, *, begun: bool) -> None:
    if bool(restore.options.get(_BEGUN)) == begun:
        return
    others = {name: value for name, value in restore.options.items() if name != _BEGUN}
    restore.options = others | ({_BEGUN: True} if begun else {})
    restore.save(update_fields=["options"])


def places_of(restores: Collection[Restore]) -> list[str]:
    """Where each goes, in words; one query at most."""
    wanted = {r.options.get("destination") for r in restores} - {None}
    names = dict(Destination.objects.filter(pk__in=wanted).values_list("pk", "name"))
    return [_place(restore, names) for restore in restores]


def _place(restore: Restore, names: Mapping[int, str]) -> str:
    options, target = restore.options, restore.target
    if target == Restore.Target.FOLDER:
        return f"Folder {options.get('path', '')} on this server"
    if target == Restore.Target.DESTINATION:
        name = names.get(options.get("destination", 0), "a removed destination")
        return f"{name}, {options.get('prefix', '')}"
    return f"Google Drive, folder “{options.get('folder') or drive_restore.folder_name(restore)}”"


def check(source: Source, target: str, options: JsonObject, by: User | None) -> JsonObject:
    """The options as they are to be kept; ConfigurationError says what is wrong with them.

    `by` None is whoever runs commands on this server.
    """
    if target == Restore.Target.FOLDER:
        return {"path": _checked_folder(str(options.get("path", "")), by)}
    if target == Restore.Target.DESTINATION:
        return _checked_destination(source, options)
    if target == Restore.Target.DRIVE:
        return drive_restore.check(source, options)
    return options


def look_at_folder(path: str) -> None:
    """ConfigurationError if this machine has no place for such a folder; makes nothing. For a dry
    run: of what other hosts have nothing is known here."""
    above = path
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        raise ConfigurationError(f"{above} is not a folder. Choose another one.")
    if not os.access(above, os.W_OK | os.X_OK):
        what = "be written to" if above == path else "be made"
        raise ConfigurationError(f"The folder {path} can't {what}. Choose another one.")


def _folder(restore: Restore, stopped: limits.Stopped) -> Target:
    begun = bool(restore.options.get(_BEGUN))
    return FolderTarget(restore.options["path"], restore.run_id, begun=begun)


def _destination(restore: Restore, stopped: limits.Stopped) -> Target:
    row = Destination.objects.filter(pk=restore.options["destination"]).first()
    if row is None:
        raise ConfigurationError("The destination to restore to was removed.")
    limit = limits.writing(row.pk, stopped)
    store = Gate(destination_for(row), _always, limit).store
    settings.SPOOL_DIR.mkdir(parents=True, exist_ok=True)
    kept = KeptUploads(restore.pk)
    return DestinationTarget(store, restore.options["prefix"], settings.SPOOL_DIR, kept)


def _drive(restore: Restore, stopped: limits.Stopped) -> Target:
    return drive_restore.drive_target(restore, stopped)


def _always() -> None:
    """Nothing keeps a restore from asking."""


_MAKERS: dict[Restore.Target, Callable[[Restore, limits.Stopped], Target]] = {
    Restore.Target.FOLDER: _folder,
    Restore.Target.SCRATCH: _folder,
    Restore.Target.DESTINATION: _destination,
    Restore.Target.DRIVE: _drive,
}


def _checked_destination(source: Source, options: JsonObject) -> JsonObject:
    wanted_id = int(options.get("destination") or 0)
    row = Destination.objects.filter(pk=wanted_id, owner=source.owner_id).first()
    if row is None:
        raise ConfigurationError("Destination: choose one of your own.")
    if not row.enabled:
        raise ConfigurationError(f"Destination: “{row.name}” is disabled. Enable it first.")
    wanted = str(options.get("prefix") or "").strip("/")
    prefix = wanted or f"{timezone.localdate():%Y-%m-%d}"
    # Beside the backups, never among them.
    if prefix.split("/")[0] != RESTORED:
        prefix = f"{RESTORED}/{prefix}"
    folders = prefix.split("/")
    # A source may be called so too.
    taken = len(folders) > 1 and (folders[1] == keys.FILES or folders[1].startswith("."))
    if taken or any(name in ("", ".", "..") or "\0" in name for name in folders):
        raise ConfigurationError(f"Folder: “{wanted}” is not a folder's path.")
    return {"destination": row.pk, "prefix": prefix}


def _checked_folder(path: str, by: User | None) -> str:
    """The folder's real path, if this person may restore there."""
    if not path.startswith("/") or "\0" in path:
        raise ConfigurationError(f"Folder: “{path}” is not an absolute path.")
    longest = max(path.split("/"), key=lambda name: len(os.fsencode(name)))
    if len(os.fsencode(longest)) > MAX_NAME_BYTES:
        raise ConfigurationError(
            f"Folder: the name “{longest[:40]}…” is longer than the {MAX_NAME_BYTES} bytes that "
            "file systems allow."
        )
    real = Path(os.path.realpath(path))
    if any(real.is_relative_to(kernels) for kernels in _KERNEL):
        raise ConfigurationError(f"Folder: nothing can be kept in {real}. Choose another one.")
    forbidden = [_CODE, settings.DATA_DIR, *_backups()]
    if real == Path("/") or any(map(partial(overlap, real), forbidden)):
        raise ConfigurationError(
            f"Folder: {real} belongs to the program or to a backup. Choose another one."
        )
    if by is None or by.is_superuser:
        return str(real)
    # Each person's own folder: nobody overwrites what another one has restored.
    roots = [Path(os.path.realpath(root)) / by.username for root in settings.RESTORE_ROOTS]
    if not roots:
        raise ConfigurationError("Folder: only administrators may restore to this server.")
    if not any(real.is_relative_to(root) for root in roots):
        names = " or ".join(map(str, roots))
        raise ConfigurationError(f"Folder: choose {names}, or one below.")
    return str(real)


def _backups() -> list[Path]:
    rows = Destination.objects.filter(kind=LocalDestination.kind).values_list("options", flat=True)
    return [Path(os.path.realpath(o["path"])) for o in rows if o.get("path")]
