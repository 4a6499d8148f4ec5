"""Pages of Google accounts and of the first administrator.

Only a person's own Google accounts exist here: anybody else's answer 404.
"""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.providers.base import AuthProcess
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe

from accounts import scopes, setup, write_consent
from accounts.actions import action
from accounts.adapters import GoogleAdapter
from accounts.forms import AdministratorForm
from accounts.linking import unlink
from accounts.models import GoogleAccount, User

_callback = OAuth2CallbackView.adapter_view(GoogleAdapter)


@login_required
@require_safe
def google_accounts(request: HttpRequest) -> HttpResponse:
    """A person's Google accounts: state, permissions, what to do."""
    accounts = _own(request).order_by("email", "pk")
    callback = settings.PUBLIC_URL + reverse("google_callback")
    context = {
        "cards": [_card(account) for account in accounts],
        "client_missing": not settings.GOOGLE_CLIENT_ID,
        "callback_url": callback,
        # Google sends people back to where they came from, which must be registered there.
        "elsewhere": request.build_absolute_uri(reverse("google_callback")) != callback,
        "public_url": settings.PUBLIC_URL,
    }
    return render(request, "account/google_accounts.html", context)


def _card(account: GoogleAccount) -> dict[str, Any]:
    held = scopes.granted(account)
    return {
        "account": account,
        "connected": account.state == GoogleAccount.State.CONNECTED,
        "writing": scopes.WRITING,
        "may_write": scopes.may_write(account),
        "permissions": [(wanted, wanted.scope in held) for wanted in scopes.WANTED],
        "others": scopes.others(account),
    }


@action
def google_connect(request: HttpRequest) -> HttpResponse:
    """Off to Google's consent page; `account` in the form names the one to reconnect.

    allauth's own view would take scopes and parameters from the address, and log people in.
    """
    if not settings.GOOGLE_CLIENT_ID:
        messages.error(request, "Set GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET first.")
        return redirect("google_accounts")
    provider = get_adapter().get_provider(request, "google")
    auth_params = provider.get_auth_params()
    if known := request.POST.get("account", ""):
        account = _mine(request, int(known) if known.isdecimal() else 0)
        auth_params |= {"login_hint": account.email, "prompt": "consent"}
    answer: HttpResponse = provider.redirect(
        request, process=AuthProcess.CONNECT, auth_params=auth_params
    )
    return answer


@action
def google_write(request: HttpRequest, account_id: int) -> HttpResponse:
    """Off to Google to allow restoring into this account's Drive; `next` is where to come back."""
    account = _mine(request, account_id)
    wanted = request.POST.get("next", "")
    local = url_has_allowed_host_and_scheme(wanted, None, require_https=request.is_secure())
    after = wanted if local else reverse("google_accounts")
    if not settings.GOOGLE_CLIENT_ID or account.state != GoogleAccount.State.CONNECTED:
        messages.error(request, f"Reconnect {account.email} first.")
        return redirect("google_accounts")
    return write_consent.ask(request, get_adapter().get_provider(request, "google"), account, after)


@never_cache
def google_callback(request: HttpRequest) -> HttpResponse:
    """Back from Google. Whose session ended meanwhile logs in and starts again."""
    if not request.user.is_authenticated:
        return redirect("google_accounts")
    answer: HttpResponse = _callback(request)
    return answer


@login_required
def google_unlink(request: HttpRequest, account_id: int) -> HttpResponse:
    """Ask, then revoke and forget."""
    account = _mine(request, account_id)
    if request.method != "POST":
        return render(request, "account/google_unlink.html", {"account": account})
    outcome = unlink(account)
    messages.success(
        request,
        f"{account.email} is unlinked and its tokens are erased."
        + (" Its sources and backups stay." if outcome.kept else ""),
    )
    if outcome.problem:
        messages.warning(
            request,
            f"Google could not be told: {outcome.problem} Remove this app yourself at "
            "myaccount.google.com, Security, Your connections.",
        )
    return redirect("google_accounts")


def _own(request: HttpRequest) -> QuerySet[GoogleAccount]:
    return GoogleAccount.objects.filter(user_id=request.user.pk or 0)


def _mine(request: HttpRequest, account_id: int) -> GoogleAccount:
    return get_object_or_404(_own(request), pk=account_id)


@never_cache
@sensitive_post_parameters("password1", "password2")
def first_administrator(request: HttpRequest, token: str) -> HttpResponse:
    """The one-time page: make the first administrator and log in."""
    if not setup.is_good(token):
        return render(request, "account/setup_closed.html", status=403)
    form = AdministratorForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        user = _make_administrator(form)
        login(request, user, backend=settings.AUTHENTICATION_BACKENDS[0])
        return redirect(settings.LOGIN_REDIRECT_URL)
    return render(request, "account/setup.html", {"form": form})


def _make_administrator(form: AdministratorForm) -> User:
    with transaction.atomic():
        # Once more with the write lock held (SQLite): the link may be open in two browsers.
        if setup.administrator():
            raise Http404
        return form.save()
