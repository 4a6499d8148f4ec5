"""What people do by a button: POST alone, and only by somebody who is logged in.

Holds no rule of who may do what: that is each view's.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST

P = ParamSpec("P")
R = TypeVar("R", bound=HttpResponseBase)
View = Callable[Concatenate[HttpRequest, P], R]


def action(view: View[P, HttpResponse]) -> View[P, HttpResponse]:
    """Let a view do something. Who has to log in first comes to the button again, not to it.

    The view's own address would answer nothing but "405" there, since log-in goes on by GET.
    """
    posted = require_POST(view)

    @wraps(view)
    def guarded(request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs) -> HttpResponse:
        if request.user.is_authenticated:
            return posted(request, *args, **kwargs)
        messages.warning(request, "You were logged out, so nothing was done. Please try again.")
        return redirect_to_login(page_of(request) or resolve_url(settings.LOGIN_REDIRECT_URL))

    return guarded


def page_of(request: HttpRequest) -> str:
    """The page that a form was on: its `next`, else where the browser was."""
    pages = request.POST.get("next", ""), request.headers.get("Referer", "")
    return next((page for page in pages if is_ours(request, page)), "")


def is_ours(request: HttpRequest, page: str) -> bool:
    """Whether an address is one of this site, not of another."""
    return url_has_allowed_host_and_scheme(page, {request.get_host()}, request.is_secure())
