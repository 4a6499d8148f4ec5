"""Setting up a destination, where the pages and commands can't see it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from syncapp.destinations.local import MARKER
from syncapp.engine import destination_setup, record
from syncapp.errors import ConfigurationError
from syncapp.models import Destination


@pytest.fixture
def admin(db: None) -> User:
    return User.objects.create_superuser("root", "root@example.org", "a long enough password")


def configured(admin: User, path: Path) -> Destination:
    destination = Destination(owner=admin, name="Attic", kind="local")
    destination_setup.configure(destination, {"path": str(path)}, by=admin)
    destination.save()
    return destination


def test_a_folder_that_was_claimed_once_is_not_claimed_again_without_its_disk(
    admin: User, tmp_path: Path
) -> None:
    mount = tmp_path / "disk"
    destination = configured(admin, mount)
    assert all(line.level != "error" for line in destination_setup.probe(destination))
    (mount / MARKER).unlink()  # what an unmounted disk leaves: the empty folder
    lines = destination_setup.probe(destination)
    assert [line.name for line in lines if line.level == "error"] == ["folder"]
    destination.refresh_from_db()
    assert destination.blocked_code == destination_setup.BLOCKED_BY_TEST
    assert not (mount / MARKER).exists()


def test_another_folder_is_claimed_anew_and_the_same_one_stays_claimed(
    admin: User, tmp_path: Path
) -> None:
    destination = configured(admin, tmp_path / "one")
    destination_setup.probe(destination)
    same = {"path": str(tmp_path / "one"), "prefix": "sub"}
    destination_setup.configure(destination, same, by=admin)
    assert destination.options["_prepared"] == "1"
    destination_setup.configure(destination, {"path": str(tmp_path / "two")}, by=admin)
    assert "_prepared" not in destination.options


@pytest.mark.parametrize("nested", ["disk/one/in", "link/one/in", "disk", "link", "."])
def test_no_destination_lies_inside_another(admin: User, tmp_path: Path, nested: str) -> None:
    """One disk that fails, or one folder that is removed, would take both copies."""
    configured(admin, tmp_path / "disk" / "one")
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    second = Destination(owner=admin, name="Cellar", kind="local")
    with pytest.raises(ConfigurationError, match="lie one inside the other"):
        destination_setup.configure(second, {"path": f"{tmp_path}/{nested}"}, by=admin)
    destination_setup.configure(second, {"path": f"{tmp_path}/disk/one more"}, by=admin)


def test_one_that_has_always_lain_inside_another_can_still_be_changed(
    admin: User, tmp_path: Path
) -> None:
    outer, path = configured(admin, tmp_path / "outer"), str(tmp_path / "outer" / "inner")
    inner = Destination.objects.create(
        owner=admin, name="Cellar", kind="local", options={"path": path, "prefix": ""}
    )
    for row in (outer, inner):
        destination_setup.configure(row, {"path": row.options["path"]}, by=admin)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("data", False), ("", False), ("data/spool", False), ("data/spool/x", False),
        ("data/drills", False), ("data/cache/x", False), ("fast", False), ("fast/spool/x", False),
        ("data/destination", True), ("database", True),
    ],
)  # fmt: skip
def test_no_destination_lies_where_the_program_keeps_its_own_data(
    admin: User, tmp_path: Path, settings: Any, path: str, allowed: bool
) -> None:
    settings.DATA_DIR, settings.CACHE_DIR = tmp_path / "data", tmp_path / "data" / "cache"
    fast = path.startswith("fast")
    settings.SPOOL_DIR = tmp_path / "fast" / "spool" if fast else tmp_path / "data" / "spool"
    if allowed:
        configured(admin, tmp_path / path)
        return
    with pytest.raises(ConfigurationError, match="where this program keeps its own data"):
        configured(admin, tmp_path / path)


def test_reserved_and_unknown_values_are_not_taken_over(admin: User, tmp_path: Path) -> None:
    destination = Destination(owner=admin, name="Attic", kind="local")
    values = {"path": str(tmp_path / "x"), "_prepared": "1", "_allow_private": "1", "more": "y"}
    destination_setup.configure(destination, values, by=admin)
    assert set(destination.options) == {"path", "prefix"}


def test_a_missing_option_is_named(admin: User) -> None:
    destination = Destination(owner=admin, name="Attic", kind="local")
    with pytest.raises(ConfigurationError, match="Folder: this is needed"):
        destination_setup.configure(destination, {}, by=admin)


def test_a_test_that_passes_closes_the_alert_of_being_blocked(admin: User, tmp_path: Path) -> None:
    destination = configured(admin, tmp_path / "kept")
    alert = record.event(
        admin, "destination_blocked", "It was away.", level="alert", destination=destination
    )
    (tmp_path / "kept").touch()  # a file where the folder should be: the test fails
    destination_setup.probe(destination)
    alert.refresh_from_db()
    assert alert.acknowledged_at is None
    (tmp_path / "kept").unlink()
    destination_setup.probe(destination)
    alert.refresh_from_db()
    assert alert.acknowledged_at is not None


def test_a_row_that_was_never_saved_is_tested_without_being_saved(
    admin: User, tmp_path: Path
) -> None:
    destination = Destination(owner=admin, name="Attic", kind="local")
    destination_setup.configure(destination, {"path": str(tmp_path / "x")}, by=admin)
    destination_setup.probe(destination)
    assert destination.pk is None
    assert not Destination.objects.exists()
