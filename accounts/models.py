"""Users and their Google accounts. Tokens are encrypted and shown by nothing."""

from __future__ import annotations

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.utils import timezone

from accounts.fields import EncryptedTextField


class User(AbstractUser):
    """A person who owns sources and destinations."""


class GoogleAccount(models.Model):
    """One linked Google account and the consent that it gave."""

    class State(models.TextChoices):
        CONNECTED = "connected", "Connected"
        RECONNECT = "reconnect", "Reconnect needed"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="google_accounts")
    uid = models.CharField("Google user id", max_length=64)
    email = models.EmailField()
    name = models.CharField(max_length=200, blank=True)
    scopes = models.JSONField("granted scopes", default=list)
    access_token = EncryptedTextField(blank=True, editable=False)
    refresh_token = EncryptedTextField(blank=True, editable=False)
    expires_at = models.DateTimeField(null=True, editable=False)
    # Counts every change of the tokens: a refresh that began before a new consent, an unlinking
    # or another refresh finds another number and leaves the row alone.
    token_version = models.PositiveIntegerField(default=0, editable=False)
    # A worker's claim on refreshing; others wait for its result instead of asking Google too.
    refreshing_until = models.DateTimeField(null=True, editable=False)
    state = models.CharField(max_length=16, choices=State.choices, default=State.CONNECTED)
    state_reason = models.TextField(blank=True)
    # The last consent: how long a refresh token lives counts from here.
    linked_at = models.DateTimeField(default=timezone.now, editable=False)
    refreshed_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["user", "uid"], name="google_account_once_per_user")
        ]

    def __str__(self) -> str:
        return self.email

    @property
    def in_use(self) -> bool:
        """Whether anything (a source) refers to it; upper layers are not known here by name."""
        names = (relation.get_accessor_name() for relation in self._meta.related_objects)
        return any(getattr(self, name).exists() for name in names if name)
