"""What people see where a page could not be made."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.decorators.csrf import requires_csrf_token

from accounts.fields import UndecryptableValue
from syncapp.engine import database


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """503 and a page that says so while the database is away, else 500; of its own where secrets
    can't be read. Must not ask the database anything.

    Django calls this in the handler of the error.
    """
    if isinstance(sys.exc_info()[1], UndecryptableValue):
        return HttpResponse(loader.get_template("500_keys.html").render(), status=500)
    if not database.is_away(sys.exc_info()[1]):
        return HttpResponse(loader.get_template("500.html").render(), status=500)
    headers = {"Retry-After": "10", "Cache-Control": "no-store"}
    body = loader.get_template("503.html").render()
    return HttpResponse(body, status=503, headers=headers)
