"""allauth's hooks: sign-up is closed; Google only ever links to somebody already logged in.

Follows docs.allauth.org, "Adapters". Holds no rule of ours beyond what allauth has no setting for.
"""

from __future__ import annotations

import logging
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialLogin, SocialToken
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.google.views import GoogleOAuth2Adapter
from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest, HttpResponseForbidden
from django.shortcuts import redirect
from django.urls import NoReverseMatch, reverse

from accounts import write_consent
from accounts.fields import decrypt, encrypt
from accounts.models import GoogleAccount

logger = logging.getLogger(__name__)

_SECRETS = ("token", "token_secret")
_CLIENT_ADVICE = (
    "Google does not accept this server's OAuth client: an administrator must check "
    "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET against Google Cloud, Credentials."
)
_START_AGAIN = "Start again from the page Google accounts; this page can't be reloaded."


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """People are made by an administrator."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Never."""
        return False


class GoogleAdapter(GoogleOAuth2Adapter):  # type: ignore[misc]
    """allauth's adapter, which forgets what was granted."""

    def parse_token(self, data: dict[str, Any]) -> SocialToken:
        """Keep `scope` of the answer: people can untick what was asked for."""
        token = super().parse_token(data)
        token.granted_scopes = data.get("scope", "").split()
        return token


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """A Google account links to a person; it does not make one, nor log one in."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: object) -> bool:
        """Never."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Refuse what is not a link, and a consent for writing that lacks something."""
        if sociallogin.state.get("process") != AuthProcess.CONNECT:
            raise ImmediateHttpResponse(
                HttpResponseForbidden("Logging in with Google is switched off.")
            )
        problem = write_consent.problem(sociallogin) if write_consent.asked(sociallogin) else ""
        if problem:
            messages.error(request, problem)
            after = sociallogin.get_redirect_url(request) or reverse("google_accounts")
            raise ImmediateHttpResponse(redirect(after))

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: SocialAccount) -> str:
        """On to setting up the source of a new account; else back to the list, which tells all."""
        mine = GoogleAccount.objects.filter(user_id=request.user.pk or 0, uid=socialaccount.uid)
        account = mine.filter(state=GoogleAccount.State.CONNECTED).first()
        if account is None or account.in_use:
            return reverse("google_accounts")
        try:
            return reverse("source_setup", args=[account.pk])
        except NoReverseMatch:
            return reverse("google_accounts")

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Log the kind of failure and give the page its advice; Google's text stays out of both."""
        logger.warning("google sign-in failed error=%s kind=%s", error, type(exception).__name__)
        client_refused = "_client" in str(exception or "")
        if extra_context is not None:
            extra_context["advice"] = _CLIENT_ADVICE if client_refused else _START_AGAIN

    def serialize_instance(self, instance: Any) -> dict[str, Any]:
        """What goes into the session while a password is asked for: tokens encrypted."""
        data: dict[str, Any] = super().serialize_instance(instance)
        if isinstance(instance, SocialToken):
            data |= {name: encrypt(data[name]) for name in _SECRETS if data.get(name)}
        if isinstance(instance, AbstractBaseUser):
            data.pop("password", None)
        return data

    def deserialize_instance(self, model: type[Any], data: dict[str, Any]) -> Any:
        """The way back."""
        if model is SocialToken:
            data = data | {name: decrypt(data[name]) for name in _SECRETS if data.get(name)}
        return super().deserialize_instance(model, data)
