"""Who is asking, and where they go next."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect

from accounts.actions import is_ours
from accounts.models import User
from syncapp.errors import BackupError
from syncapp.models import Run


def person(request: HttpRequest) -> User:
    """Who is logged in; for views behind `login_required`."""
    return cast(User, request.user)


def back(request: HttpRequest, fallback: str = "dashboard") -> HttpResponseRedirect:
    """To the page that the form was on (`next`), never to another site."""
    target = request.POST.get("next", "")
    if is_ours(request, target):
        return HttpResponseRedirect(target)
    return redirect(fallback)


def started(
    request: HttpRequest, ask: Callable[[], tuple[Run, bool]], *, begins: str, already: str
) -> HttpResponseRedirect:
    """Ask for a run and tell the person whether it begins, is `already` under way, or why not."""
    try:
        _, new = ask()
    except BackupError as error:
        messages.error(request, error.message)
    else:
        messages.info(request, begins if new else already)
    return back(request)
