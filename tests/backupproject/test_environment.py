"""The environment's reader: what it refuses, how it says so, and what it never repeats."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import environ
import pytest
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

from backupproject import environment

ROOT = Path(__file__).resolve().parents[2]
GOOD = {"SECRET_KEY": "s" * 50, "FIELD_KEYS": Fernet.generate_key().decode()}


class Environment(environ.Env):  # type: ignore[misc]
    """An environment that is not the process's own."""

    def __init__(self, **values: str) -> None:
        super().__init__()
        self.ENVIRON = {**GOOD, **values}


def read(**values: str) -> dict[str, Any]:
    return environment.read(Environment(**values))


def refusal(name: str, value: str) -> str:
    with pytest.raises(ImproperlyConfigured) as refused:
        read(**{name: value})
    return str(refused.value)


BAD = [
    ("DEBUG", "maybe", "true or false"),
    ("PUBLIC_URL", "backup.example.org", "http:// or https://"),
    ("PUBLIC_URL", "ftp://backup.example.org", "http:// or https://"),
    ("PUBLIC_URL", "", "http:// or https://"),
    ("TIME_ZONE", "Mars/Olympus", "a time zone such as"),
    ("LOG_LEVEL", "LOUD", "DEBUG, INFO, WARNING, ERROR"),
    ("WORKERS", "0", "from 1 to 64"),
    ("WORKERS", "65", "from 1 to 64"),
    ("WORKERS", "two", "from 1 to 64"),
    ("WORKERS", "", "from 1 to 64"),
    ("FILES_IN_FLIGHT", "-1", "from 1 to 256"),
    ("LEASE_SECONDS", "2.5", "from 3 to 3600"),
    ("SPOOL_BUDGET", "100 parsecs", "a size such as"),
    ("SPOOL_BUDGET", "1M", "at least 64M"),
    ("SPOOL_MEMORY", "lots", "at least 16M"),
    ("ALLOW_PRIVATE_ENDPOINTS", "si", "true or false"),
    ("GOOGLE_TOKEN_URL", "oauth2.googleapis.com/token", "http:// or https://"),
    ("GOOGLE_DRIVE_URL", "file:///etc/passwd", "http:// or https://"),
    ("GOOGLE_FORMS_URL", "http://[::1", "http:// or https://"),
    ("GOOGLE_REVOKE_URL", "https://host:port/", "http:// or https://"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD)
def test_a_bad_value_is_refused_by_name_with_what_is_allowed(
    name: str, value: str, allowed: str
) -> None:
    message = refusal(name, value)

    assert message.startswith(f"{name}: “{value}” is not allowed; ")
    assert allowed in message


BAD_SECRETS = [
    ("SECRET_KEY", "hunter2", "at least 40 random characters"),
    ("FIELD_KEYS", "not-a-fernet-key", "Fernet keys"),
    ("FIELD_KEYS", ",", "at least one Fernet key"),
    ("DATABASE_URL", "mysql://root:hunter2@db/backup", "postgres://"),
    ("DATABASE_URL", "postgres://root:hunter2@db:port/backup", "postgres://"),
    ("DATABASE_URL", "postgres://root:hunter2@db", "postgres://"),
    ("REDIS_URL", "http://:hunter2@cache", "redis://"),
    ("REDIS_URL", "redis://:hunter2@cache:port", "redis://"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD_SECRETS)
def test_a_refused_secret_is_never_repeated(name: str, value: str, allowed: str) -> None:
    message = refusal(name, value)

    assert message.startswith(f"{name}: its value is not allowed; ")
    assert allowed in message
    assert value not in message
    assert "hunter2" not in message


@pytest.mark.parametrize("name", ["SECRET_KEY", "FIELD_KEYS"])
def test_a_missing_key_is_told_with_the_way_to_get_one(name: str) -> None:
    others = Environment()
    del others.ENVIRON[name]

    with pytest.raises(ImproperlyConfigured, match=f"{name} is not set.*make run"):
        environment.read(others)


def test_every_variable_has_a_good_default_or_is_a_key() -> None:
    values = read()

    assert set(values) == {variable.name for variable in environment.VARIABLES}
    required = {v.name for v in environment.VARIABLES if v.default is None}
    assert required == {"SECRET_KEY", "FIELD_KEYS"}


def test_sizes_are_read_in_units_of_1024() -> None:
    assert read(SPOOL_BUDGET="2G")["SPOOL_BUDGET"] == 2 * 1024**3
    assert read(SPOOL_BUDGET="512 MiB")["SPOOL_BUDGET"] == 512 * 1024**2
    assert read(SPOOL_BUDGET="67108864")["SPOOL_BUDGET"] == 64 * 1024**2


def test_lists_are_split_at_commas() -> None:
    hosts = read(ALLOWED_HOSTS="backup.example.org, 10.0.0.5,,")["ALLOWED_HOSTS"]

    assert hosts == ["backup.example.org", "10.0.0.5"]


def test_all_keys_of_a_rotation_are_read_newest_first() -> None:
    new, old = (Fernet.generate_key().decode() for _ in range(2))

    assert read(FIELD_KEYS=f"{new},{old}")["FIELD_KEYS"] == [new, old]


def test_postgres_is_read_from_its_address() -> None:
    database = read(DATABASE_URL="postgres://ada:pw@db.example.org:5433/backup")["DATABASE_URL"]

    assert database["ENGINE"] == "django.db.backends.postgresql"
    assert (database["HOST"], database["PORT"], database["NAME"]) == (
        "db.example.org",
        5433,
        "backup",
    )


def test_the_example_file_is_the_table_of_variables() -> None:
    assert (ROOT / ".env.example").read_text() == environment.example()


def test_the_example_shows_no_secret_and_every_name() -> None:
    text = environment.example()

    for variable in environment.VARIABLES:
        assert f"{variable.name}=" in text
        assert variable.help in text


def manage(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=own_environment(**settings),
        capture_output=True,
        text=True,
    )


def own_environment(**settings: str) -> dict[str, str]:
    """Nothing of the tests' own settings."""
    own = {v.name for v in environment.VARIABLES} | {"DJANGO_SETTINGS_MODULE"}
    env = {name: value for name, value in os.environ.items() if name not in own}
    return {**env, "ENV_FILE": "", **settings}


def test_the_program_refuses_to_start_in_one_line(tmp_path: Path) -> None:
    done = manage("check", **GOOD, DATA_DIR=str(tmp_path), WORKERS="many")

    assert done.returncode == 1
    assert done.stderr == (
        "Refusing to start: WORKERS: “many” is not allowed; allowed: a whole number from 1 to 64.\n"
    )


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings.env"
    file.write_text("\n".join(f"{name}={value}" for name, value in GOOD.items()) + "\nWORKERS=0\n")
    settings = {"ENV_FILE": str(file), "DATA_DIR": str(tmp_path)}

    assert "WORKERS" in manage("check", **settings).stderr
    assert manage("check", **settings, WORKERS="3").returncode == 0
