"""Calls from outside that are no person's: Google's pushes.

Nobody logs in and no form has a token: each call proves itself by the secret that was given to
Google when the channel was opened. What it says is a hint, never a fact.
"""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from syncapp.engine import push


@csrf_exempt
@require_POST
def google_drive(request: HttpRequest) -> HttpResponse:
    """A change log has grown: 204; 404 for whatever is not a call that we asked for."""
    said = request.headers
    number = said.get("X-Goog-Message-Number", "")
    known = push.hear(
        said.get("X-Goog-Channel-ID", ""),
        said.get("X-Goog-Channel-Token", ""),
        said.get("X-Goog-Resource-State", ""),
        int(number) if number.isascii() and number.isdigit() and len(number) < 10 else 0,
    )
    return HttpResponse(status=204 if known else 404)
