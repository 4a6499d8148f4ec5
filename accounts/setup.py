"""The first administrator: a signed one-time address, good for a day and while there is none."""

from __future__ import annotations

from django.conf import settings
from django.core import signing
from django.urls import reverse

from accounts.models import User

LINK_LIFE_S = 24 * 3600
_SALT = "accounts.setup"


def administrator() -> User | None:
    """Somebody who may do everything, if there is one."""
    return User.objects.filter(is_superuser=True).order_by("pk").first()


def setup_url() -> str:
    """The address of the page that makes the first administrator."""
    token = signing.dumps("administrator", salt=_SALT)
    return settings.PUBLIC_URL + reverse("account_setup", args=[token])


def is_good(token: str) -> bool:
    """Whether a token is ours, fresh, and still of use."""
    try:
        signing.loads(token, salt=_SALT, max_age=LINK_LIFE_S)
    except signing.BadSignature:
        return False
    return administrator() is None
