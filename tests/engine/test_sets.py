"""What is written in sets is what the models' own fields would have written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import transaction
from model_bakery import baker

from accounts.models import User
from syncapp.engine.sets import upsert_many
from syncapp.models import File, Source

EAST = timezone(timedelta(hours=5, minutes=45))


@pytest.fixture
def source(db: None) -> Source:
    owner = baker.make(User)
    return baker.make(Source, owner=owner, account__user=owner, slug="ada")


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"name": "Übergröße 日本語 \U0001f600", "quote": "\"'\\{},", "lines": "a\r\n\t\u2028"},
        {"deep": [{"null": None, "yes": True, "no": [], "size": 1.5, "most": 2**63 - 1}]},
        {"more than 64 bits": 2**70},
        {"%s": "{%s}", "NULL": "null"},
    ],
)
def test_json_and_times_come_back_as_they_were_given(
    source: Source, metadata: dict[str, Any]
) -> None:
    created, modified = datetime(2024, 2, 29, 23, 59, 59, 1, UTC), datetime(1969, 1, 1, tzinfo=EAST)
    pattern = File(source=source, remote_id="f", name="f", metadata=metadata)
    pattern.remote_created_at, pattern.remote_modified_at = created, modified
    names = [f.attname for f in File._meta.concrete_fields if not f.primary_key]
    with transaction.atomic():
        upsert_many(
            File,
            names,
            [[getattr(pattern, name) for name in names]],
            unique=["source_id", "remote_id"],
            update=["metadata"],
        )
    row = File.objects.get(remote_id="f")
    assert (row.metadata, row.extra) == (metadata, {})
    assert (row.remote_created_at, row.remote_modified_at) == (created, modified)
    assert row.trashed_at is None
    assert File.objects.filter(remote_created_at=created, remote_modified_at=modified).exists()
