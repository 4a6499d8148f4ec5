"""Key rotation: find every encrypted column of every model, re-encrypt it with the first key; or
forget what no key opens.

Works in batches, row by row by compare-and-set on the stored text, so that it can run beside the
workers, be interrupted and be run again. Never prints a value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Cast

from accounts.fields import EncryptedTextField, UndecryptableValue, decrypt, is_current

_BATCH = 200


@dataclass
class Tally:
    """What was found in one column."""

    column: str
    current: int = 0
    changed: int = 0
    unreadable: int = 0


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    """Every encrypted field of the installed models, upper layers' included."""
    return [
        (model, field.name)
        for model in apps.get_models()
        if model._meta.managed and not model._meta.proxy
        for field in model._meta.local_fields
        if isinstance(field, EncryptedTextField)
    ]


def check(model: type[models.Model], field: str) -> Tally:
    """Count what the first key wrote, what another one did, and what none opens."""
    tally = Tally(f"{model._meta.label}.{field}")
    for batch in _batches(model, field):
        for _, stored in batch:
            _count(tally, stored)
    return tally


def rotate(model: type[models.Model], field: str) -> Tally:
    """Re-encrypt what the first key did not write."""
    tally = Tally(f"{model._meta.label}.{field}")
    for batch in _batches(model, field):
        with transaction.atomic():
            for pk, stored in batch:
                if clear := _count(tally, stored):
                    _rewrite(model, field, (pk, stored), clear)
    return tally


def forget(model: type[models.Model], field: str) -> Tally:
    """Empty what no key opens; a row that is nothing without it goes."""
    tally = Tally(f"{model._meta.label}.{field}")
    (column,) = (f for f in model._meta.local_fields if f.name == field)
    for batch in _batches(model, field):
        with transaction.atomic():
            for pk, stored in batch:
                if _count(tally, stored) is None:
                    rows = _stored(model, field).filter(pk=pk, stored_text=stored)
                    rows.update(**{field: ""}) if column.blank else rows.delete()
    return tally


def _count(tally: Tally, stored: str) -> str | None:
    """Count a value; its clear text if it should be re-encrypted, None if no key opens it."""
    if is_current(stored):
        tally.current += 1
        return ""
    try:
        clear = decrypt(stored)
    except UndecryptableValue:
        tally.unreadable += 1
        return None
    tally.changed += 1
    return clear


def _rewrite(model: type[models.Model], field: str, seen: tuple[Any, str], clear: str) -> None:
    """Unless it has changed since it was read: then it was written with the first key."""
    pk, stored = seen
    rows = _stored(model, field).filter(pk=pk, stored_text=stored)
    rows.update(**{field: clear})


def _batches(model: type[models.Model], field: str) -> Iterator[list[tuple[Any, str]]]:
    rows = _stored(model, field).exclude(stored_text="").order_by("pk")
    last: Any = None
    while True:
        page = rows if last is None else rows.filter(pk__gt=last)
        batch = list(page.values_list("pk", "stored_text")[:_BATCH])
        if not batch:
            return
        yield batch
        last = batch[-1][0]


def _stored(model: type[models.Model], field: str) -> models.QuerySet[Any]:
    """Rows with the column as it is stored; the field itself would decrypt it."""
    rows = model._base_manager.exclude(**{f"{field}__isnull": True})
    stored: models.QuerySet[Any] = rows.annotate(stored_text=Cast(field, models.TextField()))
    return stored
