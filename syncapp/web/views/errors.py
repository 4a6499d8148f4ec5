"""What people see where a page could not be made."""

from __future__ import annotations

import sys

from django.http import HttpRequest, HttpResponse
from django.template import loader
from django.views.decorators.csrf import requires_csrf_token

from syncapp.engine import database


@requires_csrf_token
def server_error(request: HttpRequest) -> HttpResponse:
    """503 and a page that says so while the database is away, else 500. Must not ask it anything.

    Django calls this in the handler of the error.
    """
    if not database.is_away(sys.exc_info()[1]):
        return HttpResponse(loader.get_template("500.html").render(), status=500)
    headers = {"Retry-After": "10", "Cache-Control": "no-store"}
    body = loader.get_template("503.html").render()
    return HttpResponse(body, status=503, headers=headers)
