"""Which keys of a destination are taken, and by whose copy.

Taken is the key under which a stored copy lies, or one that is being removed, and the second key
(`old_key`) of a copy that is being moved. A version that a newer one of its file has replaced in a
store that keeps versions takes no key: it is reached by its version id whatever lies there now.
"""

from __future__ import annotations

from collections.abc import Collection

from django.db.models import QuerySet

from syncapp.engine.sets import any_of, chunks
from syncapp.models import Copy, Version

STORED = [Copy.State.STORED, Copy.State.VERIFIED]
_KEYS_A_QUERY = 500


def holders(wanted: Collection[str], destinations: Collection[int]) -> dict[tuple[int, str], Copy]:
    """The copies that take one of the wanted keys now, by destination and key."""
    found: list[tuple[str, Copy]] = []
    for some in chunks(wanted, _KEYS_A_QUERY):
        rows = Copy.objects.filter(destination_id__in=destinations)
        lying = rows.filter(object_key__in=any_of(some), state__in=[*STORED, Copy.State.RELEASED])
        found += [(row.object_key, row) for row in _whole(lying)]
        # As the partial index has it.
        second = rows.filter(old_key__in=any_of(some)).exclude(old_key="")
        found += [(row.old_key, row) for row in _whole(second)]
    replaced = _replaced([row for _, row in found])
    found.sort(key=lambda pair: (pair[1].version.current, pair[1].pk))  # the last one counts
    return {(row.destination_id, key): row for key, row in found if row.pk not in replaced}


def _whole(rows: QuerySet[Copy]) -> list[Copy]:
    """With version and file; asked for by id, as mostly there is none."""
    ids = list(rows.values_list("pk", flat=True))
    return (
        list(Copy.objects.filter(pk__in=any_of(ids)).select_related("version__file")) if ids else []
    )


def copies_of(files: Collection[int]) -> QuerySet[Copy]:
    """All copies of these files, at whatever destination.

    Found by their versions: asked by destination too, SQLite would walk all that lies there.
    """
    versions = Version.objects.filter(file_id__in=files).values_list("pk", flat=True)
    return Copy.objects.filter(version_id__in=list(versions))


def in_the_way(there: Copy | None, file_id: int) -> bool:
    """Whether what lies under a key keeps this file from it.

    Older versions of the file itself do not where their store keeps them.
    """
    if there is None:
        return False
    other = there.version.file_id != file_id
    return other or there.version.current or not there.store_version


def _replaced(rows: list[Copy]) -> set[int]:
    """Those whose bytes live on as an older version of what is stored now."""
    old = [row for row in rows if row.store_version and not row.version.current]
    if not old:
        return set()
    current = copies_of({row.version.file_id for row in old}).filter(
        version__current=True, state__in=STORED
    )
    pairs = set(current.values_list("version__file_id", "destination_id"))
    return {row.pk for row in old if (row.version.file_id, row.destination_id) in pairs}
