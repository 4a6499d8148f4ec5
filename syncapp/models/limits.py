"""What all workers of all hosts share: paces, breakers, and push channels."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from accounts.fields import EncryptedTextField
from syncapp.models.setup import Source


class Pace(models.Model):
    """A token bucket that all processes draw from, in lumps. Units a second.

    `key` says what is limited ("google:account:3", "google:project", "read:source:2",
    "write:destination:5"); `ceiling` is the most it may be, `rate` what it is now.
    """

    key = models.CharField(max_length=100, unique=True)
    rate = models.FloatField()
    ceiling = models.FloatField()
    tokens = models.FloatField(default=0)
    filled_at = models.DateTimeField(default=timezone.now)
    slowed_at = models.DateTimeField(null=True)
    not_before = models.DateTimeField(null=True)  # the service asked for silence until then

    def __str__(self) -> str:
        return self.key


class Breaker(models.Model):
    """Whether something is let alone because it failed again and again.

    `key` is "destination:3" or "account:5". CLOSED works; OPEN lets nothing through until
    `retry_at`; then one try is let through (HALF_OPEN), and its end closes or opens it again.
    """

    class State(models.TextChoices):
        CLOSED = "closed", "Working"
        OPEN = "open", "Not reachable"
        HALF_OPEN = "half_open", "Being tried"

    key = models.CharField(max_length=100, unique=True)
    state = models.CharField(max_length=10, choices=State.choices, default=State.CLOSED)
    failures = models.PositiveIntegerField(default=0)  # in a row
    opened = models.PositiveIntegerField(default=0)  # times in a row that it opened
    opened_at = models.DateTimeField(null=True)
    retry_at = models.DateTimeField(null=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.key} {self.state}"


class Channel(models.Model):
    """A push channel of Google's for one change log (`scope`: "user" or a shared drive's id)."""

    source = models.ForeignKey(Source, on_delete=models.CASCADE, related_name="channels")
    scope = models.CharField(max_length=255)
    channel_id = models.CharField(max_length=64, unique=True)
    resource_id = models.CharField(max_length=255, blank=True)
    token = EncryptedTextField()
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True)
    last_message_at = models.DateTimeField(null=True)
    messages = models.PositiveIntegerField(default=0)

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="channel_by_expiry")]

    def __str__(self) -> str:
        return self.channel_id
