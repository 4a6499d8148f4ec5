"""Setting up a destination: what a person may choose, what is kept, and the test of it.

For the web, the admin and the command line alike. Secrets only ever go in: an empty one keeps
what is stored. Makes no row of its own accord; the caller saves.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import User
from syncapp.destinations import destination_class
from syncapp.destinations.local import LocalDestination
from syncapp.destinations.s3_settings import CRC32C_PROVEN
from syncapp.engine import marks, planning, record, scratch
from syncapp.engine.adapters import origin_for
from syncapp.engine.segment_store import catalog_store
from syncapp.engine.whereabouts import folder_of, overlap, whereabouts
from syncapp.errors import BackupError, ConfigurationError
from syncapp.models import Destination
from syncapp.types import CheckResult

logger = logging.getLogger(__name__)

_PLACE = ("path", "provider", "endpoint", "region", "bucket", "sse", "data_plane")
BLOCKED_BY_TEST = "test_failed"
_PREPARED = "_prepared"  # a local folder was claimed once: its marker must be there from now on


def may_use_kind(kind: str, by: User) -> bool:
    """Folders of this server are for administrators, or for all below the roots set for it."""
    return (
        kind != LocalDestination.kind or by.is_superuser or bool(settings.LOCAL_DESTINATION_ROOTS)
    )


def configure(destination: Destination, values: Mapping[str, str], *, by: User) -> None:
    """Put the options' values into the (unsaved) row; ConfigurationError names what is wrong."""
    options, secrets = dict[str, str](), json.loads(destination.secrets or "{}")
    for option in destination_class(destination.kind).options:
        value = values.get(option.name, "").strip()
        if not option.secret:
            options[option.name] = value
        elif value:
            secrets[option.name] = value
        missing = not (secrets if option.secret else options).get(option.name)
        if option.required and missing:
            raise ConfigurationError(f"{option.label}: this is needed.")
    if destination.kind == LocalDestination.kind:
        _check_folder(options["path"], by)
    for name in (_PREPARED, CRC32C_PROVEN):
        if destination.options.get(name) and _same(destination.options, options):
            options[name] = destination.options[name]
    was, destination.options = whereabouts(destination), options
    destination.secrets = json.dumps(secrets) if secrets else ""
    origin_for(destination)
    _refuse_second(destination)
    if whereabouts(destination) != was or destination.pk is None:
        destination.marked_at = None
        if destination.kind == LocalDestination.kind:
            _refuse_overlaps(destination)


def switch(destination: Destination, *, on: bool) -> None:
    """Switch a destination off (what it holds stays) or on: then it catches up with moves."""
    with transaction.atomic():
        Destination.objects.filter(pk=destination.pk).update(enabled=on)
        if on and not destination.enabled:
            catch_up(destination)
    destination.enabled = on


def catch_up(destination: Destination) -> None:
    """It was off: the next backup compares each key with the file's path, once, moves what differs
    and sends what is lacking."""
    planning.plan_anew(destination.pk, destination.sources.values_list("pk", flat=True))


def probe(destination: Destination, *, take_over: bool = False) -> Sequence[CheckResult]:
    """Try the destination for real and remember the outcome: blocked if it failed, else free.

    A row that was never saved is left unsaved. `take_over`: this installation takes the place of
    the one that has its mark there.
    """
    try:
        lines = origin_for(destination).check()
    except ConfigurationError as error:
        lines = [CheckResult("settings", "error", error.message)]
    failed = [line for line in lines if line.level == "error"]
    code = BLOCKED_BY_TEST
    if not failed:
        lines, code = [*lines, _mark(destination, take_over=take_over)], marks.OTHER
        failed = [line for line in lines[-1:] if line.level == "error"]
    destination.blocked_code = code if failed else ""
    destination.blocked_reason = f"{failed[0].name}: {failed[0].message}" if failed else ""
    destination.blocked_at = timezone.now() if failed else None
    if not failed:
        destination.options = _with_learned(destination, lines)
    if destination.pk is not None:
        destination.save(update_fields=["blocked_code", "blocked_reason", "blocked_at", "options"])
        if not failed:
            record.mended(destination.owner, "destination_blocked", destination=destination)
    logger.info("destination tested destination=%s ok=%s", destination.pk, not failed)
    return lines


def _mark(destination: Destination, *, take_over: bool) -> CheckResult:
    try:
        marks.claim(destination, catalog_store(destination), take_over=take_over)
    except marks.OtherInstallation as error:
        return CheckResult("installation", "error", error.message)
    except BackupError as error:
        return CheckResult("installation", "warning", f"Not marked as ours: {error.message}")
    return CheckResult("installation", "ok", "no other installation uses this place")


def _with_learned(destination: Destination, lines: Sequence[CheckResult]) -> dict[str, str]:
    """The options with what a test that succeeded has shown, without what it no longer shows."""
    kept = {name: value for name, value in destination.options.items() if name != CRC32C_PROVEN}
    if destination.kind == LocalDestination.kind:
        return {**kept, _PREPARED: "1"}
    return {**kept, **{line.proves: "1" for line in lines if line.proves}}


def _refuse_second(destination: Destination) -> None:
    """Two destinations at one place would be one copy of two names, written over by each other."""
    here = whereabouts(destination)
    others = Destination.objects.filter(owner=destination.owner_id, kind=destination.kind)
    for other in others.exclude(pk=destination.pk):
        if whereabouts(other) == here:
            raise ConfigurationError(
                f"“{other.name}” is at this very place already, and a second copy has to lie "
                "elsewhere. Choose another bucket or folder, or change that destination."
            )


def _refuse_overlaps(destination: Destination) -> None:
    """A folder within another one is no second place: both are lost together, and what the one
    holds is foreign to the other. Below the data folder only what the program uses is its own."""
    folder = folder_of(destination)
    others = Destination.objects.filter(owner=destination.owner_id, kind=destination.kind)
    for other in others.exclude(pk=destination.pk):
        if overlap(folder, folder_of(other)):
            raise ConfigurationError(
                f"Folder: {folder} and the folder of “{other.name}” lie one inside the other, and "
                "a second copy has to lie elsewhere. Choose another folder."
            )
    used = map(os.path.realpath, [settings.SPOOL_DIR, settings.CACHE_DIR, scratch.root()])
    data = Path(os.path.realpath(settings.DATA_DIR))
    if data.is_relative_to(folder) or any(overlap(folder, Path(one)) for one in used):
        raise ConfigurationError(
            f"Folder: {folder} is where this program keeps its own data. Choose another folder."
        )


def _same(old: Mapping[str, str], new: Mapping[str, str]) -> bool:
    """Whether it is the same place, reached in the same way."""
    return all((old.get(name) or "") == (new.get(name) or "") for name in _PLACE)


def _check_folder(path: str, by: User) -> None:
    roots = settings.LOCAL_DESTINATION_ROOTS
    real = Path(os.path.realpath(path))
    if by.is_superuser:
        return
    if any(real.is_relative_to(os.path.realpath(root)) for root in roots):
        if ".." in path.split("/"):  # behind a link it leads elsewhere when it is shortened
            raise ConfigurationError("Folder: give the path without “..”.")
        return
    if not roots:
        raise ConfigurationError("Folder: only administrators may use folders of this server.")
    raise ConfigurationError(f"Folder: choose one below {' or '.join(roots)}.")
