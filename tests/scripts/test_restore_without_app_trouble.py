"""What the script says, and how it ends, where something is not as a person hopes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from syncapp.engine.segment_format import Name, PartWriter
from tests.engine.conftest import s3_server  # noqa: F401  (a fixture)
from tests.scripts.test_restore_without_app import SCRIPT
from tests.servers.shared import Info

SEEN = "2026-01-01T12:00:00Z"
Line = dict[str, Any]
Told = subprocess.CompletedProcess[str]


def segment(origin: Path, number: int, *lines: Line, kind: str = "full", after: int = 0) -> Path:
    """A segment of one part in a folder destination; what an object holds is its file's name."""
    path = origin / Name("drive", number, kind, 1, 1, 3).key
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as target:
        part = PartWriter(target, {"kind": kind, "number": number, "after": after})
        for line in lines:
            part.add(line)
        part.close()
    for line in lines:
        for one in line.get("versions", ()):
            for copy in one.get("copies", ()):
                (origin / copy["key"]).write_text(line["name"])
    return path


def file(name: str, **more: Any) -> Line:
    """A file in the root, stored at its name's first letters."""
    version = {
        "current": True, "state": "stored", "first_seen_at": SEEN,
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "copies": [{"to": 3, "key": f"key {name[:5].replace('/', '_')}"}],
    }  # fmt: skip
    return {
        "file": f"id {name}", "name": name, "content": "blob", "placed_at": SEEN,
        "first_seen_at": SEEN, "versions": [version], **more,
    }  # fmt: skip


def refused(name: str) -> Line:
    version = {"current": True, "state": "refused", "first_seen_at": SEEN}
    return file(name, versions=[version | {"error_message": "Google does not give it."}])


def run(origin: Path | str, target: Path, *more: str, **environment: str) -> Told:
    bare = ["-I"] if str(origin).startswith("s3:") else ["-I", "-S"]
    command = [sys.executable, *bare, str(SCRIPT), str(origin), str(target), *more]
    return subprocess.run(
        command, env={"PATH": os.environ["PATH"], **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def last(told: Told) -> str:
    """The last line that it said; there must be no traceback."""
    assert "Traceback" not in told.stderr
    return told.stderr.splitlines()[-1]


def names(target: Path) -> list[str]:
    return sorted(path.name for path in target.rglob("*") if path.is_file())


# --- Nothing was restored ---------------------------------------------------------------------


def test_a_folder_without_a_catalog_is_said_to_have_none(tmp_path: Path) -> None:
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert str(tmp_path) in last(told)
    assert "no catalog" in last(told)


def test_a_source_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"))
    told = run(tmp_path, tmp_path / "out", "--source", "nope")
    assert told.returncode == 1
    assert last(told) == "There is no source 'nope', but: drive"


@pytest.mark.parametrize("path", ["nope", "lett", "letter/more"])
def test_a_path_that_is_not_there_is_told(tmp_path: Path, path: str) -> None:
    segment(tmp_path, 1, file("letter"))
    told = run(tmp_path, tmp_path / "out", "--path", path)
    assert told.returncode == 1
    assert last(told) == f"There is no {path!r}: --list prints what there is"


def test_a_moment_before_the_first_file_is_told(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"))
    told = run(tmp_path, tmp_path / "out", "--at", "2025-12-31")
    assert told.returncode == 1
    assert last(told) == "No file was stored yet at that moment"


def test_deltas_without_a_full_segment_give_what_they_hold_and_no_success(tmp_path: Path) -> None:
    full = segment(tmp_path, 1, file("letter"))
    segment(tmp_path, 2, file("later"), kind="delta", after=1)
    full.unlink()
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert "the full segment is missing" in told.stderr
    assert "SOME OF THE CATALOG IS LOST" in last(told)
    assert names(tmp_path / "out") == ["later"]


# --- Damage -----------------------------------------------------------------------------------


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_a_damaged_full_segment_costs_nothing_while_the_one_before_leads_on(
    tmp_path: Path,
) -> None:
    segment(tmp_path, 1, file("first"))
    segment(tmp_path, 2, file("second"), kind="delta", after=1)
    damage(segment(tmp_path, 3, file("first"), file("second")))
    segment(tmp_path, 4, file("third"), kind="delta", after=2)
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 0, told.stderr
    assert "segment 3 can't be used" in told.stderr
    assert names(tmp_path / "out") == ["first", "second", "third"]


@pytest.mark.parametrize("which", [2, 3])
def test_a_damaged_delta_is_no_success_and_the_rest_comes_back(tmp_path: Path, which: int) -> None:
    segment(tmp_path, 1, file("first"))
    paths = {
        2: segment(tmp_path, 2, file("second"), kind="delta", after=1),
        3: segment(tmp_path, 3, file("third"), kind="delta", after=2),
    }
    damage(paths[which])
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert f"segment {which} can't be used" in told.stderr
    assert "SOME OF THE CATALOG IS LOST" in last(told)
    kept = {2: ["first", "third"], 3: ["first", "second"]}
    assert names(tmp_path / "out") == kept[which]


def test_nothing_of_a_damaged_segment_is_taken(tmp_path: Path) -> None:
    path = segment(tmp_path, 1, file("letter"))
    path.write_bytes(path.read_bytes()[:-20])
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert names(tmp_path / "out") == []
    assert last(told).endswith("0 not restored; SOME OF THE CATALOG IS LOST")


# --- Moments ----------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["01.11.2026", "yesterday", "2026-13-01", "2026-11-31", ""])
def test_what_is_no_time_is_refused(tmp_path: Path, text: str) -> None:
    segment(tmp_path, 1, file("letter"))
    told = run(tmp_path, tmp_path / "out", "--at", text)
    assert told.returncode == 2
    assert f"argument --at: {text!a} is no time like 2026-03-01T14:30" in last(told)


def test_a_time_in_the_future_is_refused(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"))
    now = datetime.now(UTC)
    for when in (now + timedelta(days=2), now + timedelta(minutes=5)):
        told = run(tmp_path, tmp_path / "out", "--at", when.isoformat())
        assert told.returncode == 2
        assert "in the future" in last(told)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("2026-01-01", True),  # the end of that day
        ("2025-12-31", False),
        ("2026-01-01T11:59:59.999999", False),
        ("2026-01-01T12:00", True),
        ("2026-01-01 12:00:00Z", True),
        ("2026-01-01T12:59+01:00", False),
        ("2026-01-01T13:00+01:00", True),
    ],
)
def test_a_date_is_its_end_and_a_time_is_in_utc_unless_it_has_an_offset(
    tmp_path: Path, text: str, there: bool
) -> None:
    segment(tmp_path, 1, file("letter"))
    told = run(tmp_path, tmp_path / "out", "--at", text, TZ="Asia/Tokyo")
    assert told.returncode == (0 if there else 1), told.stderr
    assert names(tmp_path / "out") == (["letter"] if there else [])


def test_today_is_taken_though_its_end_is_to_come(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"))
    told = run(tmp_path, tmp_path / "out", "--at", datetime.now(UTC).date().isoformat())
    assert told.returncode == 0, told.stderr


# --- What was never stored --------------------------------------------------------------------


def test_what_was_never_stored_is_told_apart_and_is_no_failure(tmp_path: Path) -> None:
    listed = file("site", content="unsupported", problem="unsupported", versions=[])
    listed["problem_message"] = "Google gives no content of it."
    segment(tmp_path, 1, file("letter"), refused("secret"), listed)
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 0, told.stderr
    assert "never stored: secret: Google does not give it.\n" in told.stderr
    assert "never stored: site: Google gives no content of it.\n" in told.stderr
    assert last(told) == "drive: 1 restored, 0 there already, 0 not restored, 2 never stored"


def test_what_the_catalog_does_not_know_as_stored_yet_is_a_failure(tmp_path: Path) -> None:
    """A copy of a destination that was made while a backup was at work."""
    waiting = refused("waiting")
    waiting["versions"][0].pop("error_message")
    segment(tmp_path, 1, file("letter"), waiting)
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert "not restored: waiting: not stored yet by this catalog" in told.stderr


def test_what_was_stored_and_is_not_here_is_a_failure(tmp_path: Path) -> None:
    elsewhere = file("elsewhere")
    elsewhere["versions"][0]["copies"] = [{"to": 4, "key": "elsewhere"}]
    lost = file("lost")
    segment(tmp_path, 1, file("letter"), elsewhere, lost)
    (tmp_path / "key lost").unlink()
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert "NOT restored: elsewhere: no copy of it is here" in told.stderr
    assert "NOT restored: lost: " in told.stderr
    assert last(told) == "drive: 1 restored, 0 there already, 2 not restored"


def test_a_reason_that_holds_a_hostile_name_steers_no_terminal(tmp_path: Path) -> None:
    hostile = refused("secret")
    hostile["versions"][0]["error_message"] = "Google refuses “\x1b[2J\u202eno”."
    segment(tmp_path, 1, file("letter"), hostile)
    told = run(tmp_path, tmp_path / "out")
    assert "never stored: secret: Google refuses “ [2J no”.\n" in told.stderr


# --- The target -------------------------------------------------------------------------------


def test_a_target_that_cannot_be_a_folder_is_told_in_one_line(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"), file("other"))
    (tmp_path / "taken").write_text("mine")
    told = run(tmp_path, tmp_path / "taken")
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert str(tmp_path / "taken") in last(told)


def test_another_file_of_the_name_is_kept_beside(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"))
    (tmp_path / "out" / "drive").mkdir(parents=True)
    (tmp_path / "out" / "drive" / "letter").write_text("mine")
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 0, told.stderr
    assert (tmp_path / "out" / "drive" / "letter").read_text() == "letter"
    assert (tmp_path / "out" / "drive" / "letter.before").read_text() == "mine"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has it")
def test_a_full_disk_ends_it_with_the_first_file(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"), file("other"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "drive.part").symlink_to("/dev/full")
    told = run(tmp_path, tmp_path / "out")
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert "No space left" in last(told)


def test_a_restore_prints_each_path_that_it_comes_to(tmp_path: Path) -> None:
    segment(tmp_path, 1, file("letter"), file("other"), refused("secret"))
    told = run(tmp_path, tmp_path / "out")
    assert told.stdout == "letter\nother\n"


# --- Names ------------------------------------------------------------------------------------


def test_paths_are_listed_as_a_person_can_give_them_again(tmp_path: Path) -> None:
    hidden = "a\u202egpj.txt"
    segment(tmp_path, 1, file("Käse"), file(hidden))
    told = run(tmp_path, tmp_path / "out", "--list")
    assert sorted(told.stdout.splitlines()) == ["Käse", "a\\u202egpj.txt"]
    assert not (tmp_path / "out").exists()
    for path in [*told.stdout.splitlines(), hidden]:
        given = run(tmp_path, tmp_path / path, "--path", path)
        assert given.stderr == "drive: 1 restored, 0 there already, 0 not restored\n"


def test_no_name_leads_out_of_the_target(tmp_path: Path) -> None:
    origin, target = tmp_path / "a" / "b" / "backup", tmp_path / "a" / "b" / "out"
    segment(
        origin, 1, file("../../x"), file(".."), file("y", extension="/../../../../y"),
        {"file": "up", "name": "..", "content": "folder", "placed_at": SEEN},
        file("z", parent="up"),
    )  # fmt: skip
    told = run(origin, target)
    assert told.returncode == 0, told.stderr
    inside = [path for path in target.rglob("*") if path.is_file()]
    outside = [p for p in tmp_path.rglob("*") if p.is_file() and origin not in p.parents]
    assert len(inside) == 4
    assert sorted(inside) == sorted(outside)


def test_a_list_that_is_cut_short_leaves_no_traceback(tmp_path: Path) -> None:
    segment(tmp_path, 1, *[file(f"{n:05} {'x' * 100}") for n in range(2000)])
    command = f"{sys.executable} -I -S {SCRIPT} {tmp_path} --list | head -1"
    told = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert told.stdout == f"00000 {'x' * 100}\n"
    assert "Traceback" not in told.stderr
    assert "Exception ignored" not in told.stderr


# --- Buckets ----------------------------------------------------------------------------------


@pytest.fixture
def keys(s3_server: Info) -> dict[str, str]:  # noqa: F811
    return {
        "AWS_ACCESS_KEY_ID": s3_server["access_key"],
        "AWS_SECRET_ACCESS_KEY": s3_server["secret_key"],
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": "/nonexistent",
    }


@pytest.mark.parametrize(
    ("address", "lacks", "said"),
    [
        ("s3://BUCKET/nothing", {}, "There is no catalog"),
        ("s3://no-such-bucket/p", {}, "NoSuchBucket"),
        ("s3://BUCKET/p", {"AWS_ACCESS_KEY_ID": "wrong"}, "InvalidAccessKeyId"),
        ("s3://BUCKET/p", {"AWS_SECRET_ACCESS_KEY": "wrong"}, "SignatureDoesNotMatch"),
        ("s3://BUCKET/p", {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}, "credentials"),
        ("s3://BUCKET/p", {"AWS_PROFILE": "nobody"}, "profile (nobody)"),
    ],
)
def test_a_bucket_that_gives_nothing_is_told_in_one_line(
    s3_server: Info,  # noqa: F811
    keys: dict[str, str],
    tmp_path: Path,
    address: str,
    lacks: dict[str, str],
    said: str,
) -> None:
    address = address.replace("BUCKET", s3_server["bucket"])
    more = ("--endpoint", s3_server["endpoint"])
    told = run(address, tmp_path / "out", *more, **{**keys, **lacks})
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert said in last(told)


def test_an_address_where_nothing_answers_is_told_in_one_line(
    keys: dict[str, str], tmp_path: Path
) -> None:
    told = run("s3://b/p", tmp_path / "out", "--endpoint", "http://127.0.0.1:1", **keys)
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert "Could not connect to the endpoint" in last(told)


def test_the_help_names_where_keys_come_from(tmp_path: Path) -> None:
    told = run("--help", tmp_path)
    assert told.returncode == 0
    for word in ("boto3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        assert word in told.stdout
