"""Names the application."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """People and their Google accounts."""

    name = "accounts"
    verbose_name = "People and Google accounts"

    def ready(self) -> None:
        """Hear allauth's signals."""
        from accounts import linking  # noqa: F401
