"""Text that is encrypted at rest: MultiFernet over settings.FIELD_KEYS.

The first key encrypts, all decrypt (rotation.py re-encrypts with the first). Stored form: "f1:" and
a Fernet token (github.com/fernet/spec). Encrypted columns can't be filtered on.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.signals import setting_changed
from django.db import models

if TYPE_CHECKING:
    _TextField = models.TextField[str, str]
else:
    _TextField = models.TextField

_MARK = "f1:"


class UndecryptableValue(ValueError):
    """None of FIELD_KEYS opens a stored value: the key that wrote it is missing."""


@lru_cache
def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_KEYS])


def _forget_keys(*, setting: str, **_: Any) -> None:
    if setting == "FIELD_KEYS":
        _fernet.cache_clear()


setting_changed.connect(_forget_keys)


def encrypt(clear: str) -> str:
    """The stored form of a text."""
    return _MARK + _fernet().encrypt(clear.encode()).decode()


def decrypt(stored: str) -> str:
    """The text of a stored form; UndecryptableValue if no key fits."""
    if not stored.startswith(_MARK):
        raise UndecryptableValue("A column that should be encrypted holds something else.")
    try:
        return _fernet().decrypt(stored[len(_MARK) :].encode()).decode()
    except InvalidToken as error:
        raise UndecryptableValue(
            "A stored secret can't be read: put the key that encrypted it back into FIELD_KEYS "
            "and restart everything. `manage.py keys check` counts what is concerned; if that key "
            "is lost, `manage.py keys forget` lets you enter those secrets anew."
        ) from error


def is_current(stored: str) -> bool:
    """Whether the first key wrote it."""
    try:
        Fernet(settings.FIELD_KEYS[0]).decrypt(stored.removeprefix(_MARK).encode())
    except InvalidToken:
        return False
    return stored.startswith(_MARK)


class EncryptedTextField(_TextField):
    """A TextField that is encrypted in the database and clear in memory; "" stays ""."""

    description = "Text encrypted at rest"

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        prepared = super().get_prep_value(value)
        return encrypt(prepared) if prepared else prepared

    def from_db_value(self, value: str | None, expression: Any, connection: Any) -> str | None:
        """Decrypt on the way out."""
        return decrypt(value) if value else value

    def get_lookup(self, lookup_name: str) -> Any:
        """Refuse filters, which could never match."""
        if lookup_name != "isnull":
            raise TypeError("An encrypted field can't be filtered on.")
        return super().get_lookup(lookup_name)
