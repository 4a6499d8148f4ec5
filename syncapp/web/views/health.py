"""For monitors: is the database there, is a worker alive. No log-in, no details."""

from __future__ import annotations

import logging

from django.db import DatabaseError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from syncapp.engine import runs

logger = logging.getLogger(__name__)


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """200 while pages can be served, 503 without a database; `worker` tells of the workers."""
    alive = _worker()
    return JsonResponse(
        {"database": alive is not None, "worker": bool(alive)}, status=503 if alive is None else 200
    )


@never_cache
@require_safe
def worker(request: HttpRequest) -> JsonResponse:
    """200 only while a worker is alive: what a monitor should watch."""
    alive = bool(_worker())
    return JsonResponse({"worker": alive}, status=200 if alive else 503)


def _worker() -> bool | None:
    """Whether a worker is alive; None if the database can't be asked."""
    try:
        return runs.worker_alive()
    except DatabaseError:
        logger.exception("health check failed")
        return None
