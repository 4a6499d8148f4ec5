"""Names the application."""

from django.apps import AppConfig


class SyncappConfig(AppConfig):
    """The backup."""

    name = "syncapp"
    verbose_name = "Backup"
