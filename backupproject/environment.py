"""Every environment variable the product reads: name, type, default, what it is for.

django-environ does the parsing; this file adds the refusal: a bad value raises
ImproperlyConfigured with the variable, what is wrong and what is allowed, and never echoes a
secret. `.env.example` is this table as text (tests hold the two together).
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import environ
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


class Refused(ValueError):
    """A value is not allowed; the message says what is."""


@dataclass(frozen=True)
class Variable:
    """One variable. `parse` gets the raw text and raises Refused; `default` is raw text too.

    A `default` of None makes it required.
    """

    name: str
    parse: Callable[[str], Any]
    default: str | None
    help: str
    secret: bool = False


def text(raw: str) -> str:
    """Any text."""
    return raw


def flag(raw: str) -> bool:
    """A yes or no."""
    lowered = raw.strip().lower()
    if lowered not in {"1", "0", "true", "false", "yes", "no", "on", "off", ""}:
        raise Refused("allowed: true or false")
    return lowered in {"1", "true", "yes", "on"}


def words(raw: str) -> list[str]:
    """Comma-separated words."""
    return [word.strip() for word in raw.split(",") if word.strip()]


def whole(least: int, most: int) -> Callable[[str], int]:
    """A whole number within bounds."""

    def parse(raw: str) -> int:
        if not re.fullmatch(r"\d+", raw.strip()) or not least <= int(raw) <= most:
            raise Refused(f"allowed: a whole number from {least} to {most}")
        return int(raw)

    return parse


def size(least: int) -> Callable[[str], int]:
    """Bytes, written as 500M, 100G or a plain number (units of 1024)."""

    def parse(raw: str) -> int:
        match = re.fullmatch(r"(\d+)\s*([KMGT]?)(?:i?B)?", raw.strip(), re.IGNORECASE)
        amount = int(match[1]) * _UNITS[match[2].upper()] if match else -1
        if amount < least:
            raise Refused(f"allowed: a size such as 500M or 100G, at least {least // 1024**2}M")
        return amount

    return parse


def url(*schemes: str, required: bool = True) -> Callable[[str], str]:
    """An absolute address with one of the schemes."""

    def parse(raw: str) -> str:
        if not raw and not required:
            return ""
        starts = " or ".join(f"{scheme}://" for scheme in schemes)
        try:
            parts = urlsplit(raw)
            known = parts.scheme in schemes and (parts.hostname or parts.scheme == "unix")
            _ = parts.port  # raises if it is no port
        except ValueError as error:
            raise Refused(f"allowed: a well-formed address that starts with {starts}") from error
        if not known:
            raise Refused(f"allowed: an address that starts with {starts}")
        return raw

    return parse


def choice(*allowed: str) -> Callable[[str], str]:
    """One word of a list."""

    def parse(raw: str) -> str:
        if raw not in allowed:
            raise Refused(f"allowed: {', '.join(allowed)}")
        return raw

    return parse


def time_zone(raw: str) -> str:
    """A name of the IANA time zone database."""
    if raw not in available_timezones():
        raise Refused("allowed: a time zone such as UTC or Europe/Paris")
    return raw


def long_secret(raw: str) -> str:
    """A key that can't be guessed."""
    if len(raw) < 40:
        raise Refused("allowed: at least 40 random characters; `make run` makes one for you")
    return raw


def fernet_keys(raw: str) -> list[str]:
    """Fernet keys, the first encrypts, all decrypt."""
    keys = words(raw)
    for key in keys:
        try:
            Fernet(key)
        except ValueError as error:
            raise Refused(
                "allowed: Fernet keys (44 characters each), comma-separated, newest first; "
                "`manage.py keys new` makes one"
            ) from error
    if not keys:
        raise Refused("allowed: at least one Fernet key; `make run` makes one for you")
    return keys


def database(raw: str) -> dict[str, Any]:
    """SQLite or PostgreSQL, as an address."""
    allowed = "allowed: sqlite:///PATH or postgres://USER:PASSWORD@HOST:PORT/NAME"
    try:
        parsed: dict[str, Any] = dict(environ.Env.db_url_config(raw))
    except (ValueError, ImproperlyConfigured) as error:
        raise Refused(allowed) from error
    engines = {"django.db.backends.sqlite3", "django.db.backends.postgresql"}
    if parsed.get("ENGINE") not in engines or not parsed.get("NAME"):
        raise Refused(allowed)
    return parsed


VARIABLES = (
    Variable("SECRET_KEY", long_secret, None, "Signs sessions and forms.", secret=True),
    Variable(
        "FIELD_KEYS",
        fernet_keys,
        None,
        "Encrypts tokens and keys in the database. To rotate: put a new key first, run "
        "`manage.py keys rotate`, then drop the old one.",
        secret=True,
    ),
    Variable("DEBUG", flag, "false", "Developer mode: never on a reachable server."),
    Variable("DATA_DIR", text, "var", "Folder for the database, temporary files and logs."),
    Variable(
        "DATABASE_URL",
        database,
        "",
        "sqlite:///PATH (default: DATA_DIR/backup.sqlite3) or postgres://…",
        secret=True,
    ),
    Variable(
        "REDIS_URL",
        url("redis", "rediss", "unix", required=False),
        "",
        "Queue broker and event bus when several hosts work together. Empty: the database.",
        secret=True,
    ),
    Variable(
        "PUBLIC_URL",
        url("http", "https"),
        "http://127.0.0.1:8000",
        "The address people open. With https, cookies are secure and HTTP is redirected.",
    ),
    Variable("ALLOWED_HOSTS", words, "", "More host names to answer to, comma-separated."),
    Variable(
        "TRUSTED_PROXIES",
        whole(0, 5),
        "0",
        "Reverse proxies in front, whose X-Forwarded-For is believed (failed log-ins are counted "
        "by address). More than 0 only if the program can't be reached around them.",
    ),
    Variable("TIME_ZONE", time_zone, "UTC", "Time zone in which pages show times."),
    Variable("LOG_LEVEL", choice("DEBUG", "INFO", "WARNING", "ERROR"), "INFO", "How much to log."),
    Variable("GOOGLE_CLIENT_ID", text, "", "OAuth client of your own Google Cloud project."),
    Variable("GOOGLE_CLIENT_SECRET", text, "", "Its secret.", secret=True),
    Variable(
        "GOOGLE_AUTHORIZE_URL",
        url("http", "https"),
        "https://accounts.google.com/o/oauth2/v2/auth",
        "Google's consent page. These addresses change only for tests.",
    ),
    Variable(
        "GOOGLE_TOKEN_URL",
        url("http", "https"),
        "https://oauth2.googleapis.com/token",
        "Google's token endpoint.",
    ),
    Variable(
        "GOOGLE_REVOKE_URL",
        url("http", "https"),
        "https://oauth2.googleapis.com/revoke",
        "Google's revocation endpoint.",
    ),
    Variable(
        "GOOGLE_CERTS_URL",
        url("http", "https"),
        "https://www.googleapis.com/oauth2/v1/certs",
        "Keys that sign Google's ID tokens.",
    ),
    Variable(
        "GOOGLE_IDENTITY_URL",
        url("http", "https"),
        "https://www.googleapis.com/oauth2/v2/userinfo",
        "Google's profile endpoint.",
    ),
    Variable(
        "GOOGLE_ID_TOKEN_ISSUER",
        url("http", "https"),
        "https://accounts.google.com",
        "Who signs Google's ID tokens.",
    ),
    Variable(
        "GOOGLE_DRIVE_URL",
        url("http", "https"),
        "https://www.googleapis.com/drive/v3/",
        "The Drive API.",
    ),
    Variable(
        "GOOGLE_FORMS_URL",
        url("http", "https"),
        "https://forms.googleapis.com/",
        "The Forms API.",
    ),
    Variable(
        "GOOGLE_UNITS_PER_MINUTE",
        whole(0, 10**9),
        "325000",
        "Google's quota units a minute for each account (a download costs 200). 0: no limit here.",
    ),
    Variable(
        "GOOGLE_UNITS_PER_MINUTE_PROJECT",
        whole(0, 10**9),
        "1000000",
        "Google's quota units a minute for the Google Cloud project. 0: no limit here.",
    ),
    Variable(
        "GOOGLE_WRITES_PER_SECOND",
        whole(0, 1000),
        "3",
        "Files, folders and permissions a second that a restore creates in one Drive. 0: no limit.",
    ),
    Variable("WORKERS", whole(1, 64), "2", "Worker processes on this host."),
    Variable("FILES_IN_FLIGHT", whole(1, 256), "16", "Files each worker moves at once."),
    Variable(
        "DOWNLOAD_STREAMS",
        whole(1, 16),
        "4",
        "Connections to Google that each worker shares among its big files (64 MB and more), where "
        "one connection gives only so much; each holds up to 12 MB. 1: one a file.",
    ),
    Variable("LEASE_SECONDS", whole(3, 3600), "60", "A dead worker's files are free after this."),
    Variable(
        "POLL_SECONDS",
        whole(5, 3600),
        "60",
        "How often the change log of a real-time source is read (ten times rarer while Google "
        "reports changes by push).",
    ),
    Variable(
        "PUSH",
        choice("auto", "on", "off"),
        "auto",
        "Let Google call PUBLIC_URL when something changes. auto: where that is a public https "
        "address; on: whatever it is.",
    ),
    Variable("SPOOL_DIR", text, "", "Temporary folder for bytes in flight (DATA_DIR/spool)."),
    Variable("SPOOL_BUDGET", size(64 * 1024**2), "100G", "Most temporary disk, all workers."),
    Variable("SPOOL_MEMORY", size(16 * 1024**2), "64M", "Most bytes in flight in one worker."),
    Variable(
        "ALLOW_PRIVATE_ENDPOINTS",
        flag,
        "false",
        "Let destinations point at private or loopback addresses (a NAS, a test server).",
    ),
    Variable(
        "LOCAL_DESTINATION_ROOTS",
        words,
        "",
        "Folders below which local destinations may lie. Empty: administrators only, anywhere.",
    ),
    Variable(
        "RESTORE_ROOTS",
        words,
        "",
        "Folders of this server to which files may be restored, each person to a folder there of "
        "the person's user name. Empty: administrators only, anywhere.",
    ),
)


def read(environment: environ.Env | None = None) -> dict[str, Any]:
    """All variables, parsed; the environment wins over `.env` beside manage.py.

    ENV_FILE names another file, or none if empty (tests and the demo have nobody's settings).
    """
    env = environment or environ.Env()
    if environment is None:
        file = os.environ.get("ENV_FILE", str(Path(__file__).parent.parent / ".env"))
        if file:
            environ.Env.read_env(file)
    return {variable.name: _value(env, variable) for variable in VARIABLES}


def _value(env: environ.Env, variable: Variable) -> Any:
    raw = env.str(variable.name, default=variable.default)
    if raw is None:
        raise ImproperlyConfigured(
            f"{variable.name} is not set. {variable.help} Put it into .env or the environment; "
            "`make run` writes a .env with fresh keys."
        )
    if raw == "" and variable.default == "":
        return variable.parse("") if variable.parse is not database else None
    try:
        return variable.parse(raw)
    except Refused as error:
        shown = "its value" if variable.secret else f"“{raw}”"
        raise ImproperlyConfigured(f"{variable.name}: {shown} is not allowed; {error}.") from error


def example() -> str:
    """The text of `.env.example`."""
    lines = ["# Settings. Copy to .env, or let `make run` write one with fresh keys.", ""]
    for variable in VARIABLES:
        lines += [f"# {variable.help}"]
        mark = "" if variable.default is None else "# "
        lines += [f"{mark}{variable.name}={variable.default or ''}", ""]
    return "\n".join(lines)
