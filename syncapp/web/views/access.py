"""Who is asking, and where they go next."""

from __future__ import annotations

from typing import cast

from django.http import HttpRequest, HttpResponseRedirect
from django.shortcuts import redirect
from django.utils.http import url_has_allowed_host_and_scheme

from accounts.models import User


def person(request: HttpRequest) -> User:
    """Who is logged in; for views behind `login_required`."""
    return cast(User, request.user)


def back(request: HttpRequest, fallback: str = "dashboard") -> HttpResponseRedirect:
    """To the page that the form was on (`next`), never to another site."""
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, {request.get_host()}, request.is_secure()):
        return HttpResponseRedirect(target)
    return redirect(fallback)
