"""A person with a source and a folder to keep it in, and commands run as a shell runs them."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.core.management import ManagementUtility

from accounts.models import GoogleAccount, User
from syncapp.models import Destination, Source, Worker
from tests.engine.conftest import (  # noqa: F401  (fixtures of the whole setting)
    _no_queue,
    _no_waiting_for_retries,
    _quick,
    few,
    s3_server,
)


@dataclass(frozen=True)
class Answer:
    """What a shell would have seen."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Shell = Callable[..., Answer]


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Shell:
    """`manage.py` with these arguments; `stdin` is what is piped in."""

    def run(*arguments: str, stdin: str = "") -> Answer:
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        # The commands close their connections at the end, which would lose the test's own.
        monkeypatch.setattr("django.core.management.base.connections.close_all", lambda: None)
        code = 0
        try:
            ManagementUtility(["manage.py", *arguments]).execute()
        except SystemExit as end:
            code = int(end.code or 0)
        return Answer(code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def owner(db: None) -> User:
    """The only administrator."""
    return User.objects.create_superuser("ada", "ada@example.org", "correct horse battery")


@pytest.fixture
def account(owner: User) -> GoogleAccount:
    return GoogleAccount.objects.create(user=owner, uid="1", email="ada@gmail.example")


@pytest.fixture
def source(account: GoogleAccount) -> Source:
    return Source.objects.create(
        owner=account.user, account=account, name="Ada's Drive", slug="ada"
    )


@pytest.fixture
def folder(owner: User, tmp_path: Path) -> Destination:
    """A local folder that nothing was tried with yet."""
    return Destination.objects.create(
        owner=owner,
        name="Shelf",
        kind="local",
        options={"path": str(tmp_path / "shelf"), "prefix": ""},
    )


@pytest.fixture
def worker(db: None) -> Worker:
    """Alive for the next seconds."""
    return Worker.objects.create(host="here", pid=1)
