"""The end of erasing an account: its source, its segments, its tokens, its row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from django.db.models import Q

from accounts.linking import unlink
from accounts.models import GoogleAccount
from syncapp.engine import database_backup, erasure_rows, live, segment_store
from syncapp.engine.erased import NAME
from syncapp.engine.segment_turns import Turn, TurnTaken
from syncapp.errors import TransientError
from syncapp.models import Destination, Erasure, Event, Source

_EVERY = 2**62  # above any number of a segment


def forget(
    erasure: Erasure, source: Source, places: Sequence[Destination], proven: Callable[[], None]
) -> None:
    """Everything of the source is erased: now it goes itself, with its run. `proven` says so in the
    same transaction: until then the erasure can be resumed."""
    turn = Turn.claim(source.pk)  # nobody writes segments of it from here on
    if turn is None:
        raise TurnTaken
    for row in places:
        store = segment_store.catalog_store(row)
        segment_store.remove(store, source.slug, _EVERY)
        if next(segment_store.names(store, source.slug), None) is not None:
            raise TransientError(f"{row.name}: parts of the catalog remain.", code="not_erased")
    notes = [f"{row.name}: the catalog of {source.slug} removed" for row in places]
    account = GoogleAccount.objects.get(pk=source.account_id)
    alone = not Source.objects.filter(account=account).exclude(pk=source.pk).exists()
    if alone:
        problem = unlink(account).problem
        notes.append(problem or f"{account.email}: unlinked, its permission at Google revoked")
    erasure.notes = [*erasure.notes, *notes]
    erasure.save(update_fields=["notes"])
    # Those made since the catalog was written anew have the source's and the account's rows.
    database_backup.remove_everywhere(partial(_delete, source, account if alone else None, proven))
    live.forget(erasure.owner_id)
    erasure_rows.empty_log()


def _delete(source: Source, account: GoogleAccount | None, proven: Callable[[], None]) -> None:
    proven()
    named = Q(message__contains=source.account.email) | Q(message__contains=source.name)
    Event.objects.filter(named, owner_id=source.owner_id).update(message=NAME)
    Source.objects.filter(pk=source.pk).delete()
    if account is not None:
        GoogleAccount.objects.filter(pk=account.pk).delete()
