"""Forms API v1: forms.get, forms.responses.get and forms.responses.list.

Reads only; the content is `form_content.py`. Scopes, parameters and paging follow the discovery
document forms.v1; errors are of the google.rpc shape, without Drive's `errors` list.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from emulator import form_content
from emulator.http import STATUS_NAMES, GoogleError, Request, Response, Route, json_response
from emulator.items import GOOGLE, Item

if TYPE_CHECKING:
    from emulator.world import World

FORM = GOOGLE + "form"
MAX_PAGE = 5000

_AUTH = "https://www.googleapis.com/auth/"
_BODY_SCOPES = frozenset(
    _AUTH + name
    for name in ("drive", "drive.file", "drive.readonly", "forms.body", "forms.body.readonly")
)
_RESPONSE_SCOPES = frozenset(
    _AUTH + name for name in ("drive", "drive.file", "forms.responses.readonly")
)
_FILTER = re.compile(r"\s*timestamp\s*(>=|>)\s*(\S+?)Z\s*")


class RpcError(GoogleError):
    """A refusal as the newer Google APIs write it: code, message, status, details."""

    def __init__(
        self, status: int, message: str, details: list[dict[str, Any]] | None = None
    ) -> None:
        super().__init__(status, STATUS_NAMES[status], message)
        error = {"code": status, "message": message, "status": STATUS_NAMES[status]}
        body = {"error": error | ({"details": details} if details else {})}
        self.response = json_response(body, status)


async def get_form(request: Request, world: World, form_id: str) -> Response:
    """GET /v1/forms/{formId}."""
    item = _form(request, world, form_id, "Get", _BODY_SCOPES)
    return json_response(form_content.form_body(item))


async def get_response(request: Request, world: World, form_id: str, response_id: str) -> Response:
    """GET /v1/forms/{formId}/responses/{responseId}."""
    item = _form(request, world, form_id, "GetResponse", _RESPONSE_SCOPES)
    for number in range(form_content.response_count(item)):
        if form_content.response_id(item, number) == response_id:
            return json_response(form_content.form_response(item, number) | {"formId": item.id})
    raise RpcError(404, "Requested entity was not found.")


async def list_responses(request: Request, world: World, form_id: str) -> Response:
    """GET /v1/forms/{formId}/responses; an empty list is an empty object, as at Google."""
    item = _form(request, world, form_id, "ListResponses", _RESPONSE_SCOPES)
    wanted = request.first("filter")
    numbers = _matching(item, wanted)
    start = _start(request.first("pageToken"), item.id, wanted)
    end = start + _page_size(request.first("pageSize"))
    answer: dict[str, Any] = {}
    if numbers[start:end]:
        page = numbers[start:end]
        answer["responses"] = [form_content.form_response(item, number) for number in page]
    if end < len(numbers):
        answer["nextPageToken"] = _token(end, item.id, wanted)
    return json_response(answer)


def _form(
    request: Request, world: World, form_id: str, method: str, allowed: frozenset[str]
) -> Item:
    """The Form's file, if the caller's token and eyes reach it."""
    kind, _, token = request.headers.get("authorization", "").partition(" ")
    account = world.oauth.account_for(token) if kind.lower() == "bearer" else None
    if account is None:
        raise RpcError(401, "Request had invalid authentication credentials.")
    if allowed.isdisjoint(world.oauth.scopes_for(token)):
        raise RpcError(403, "Request had insufficient authentication scopes.", _lacking(method))
    found = account.find(form_id)
    if found is None or found[1].mime_type != FORM:
        raise RpcError(404, "Requested entity was not found.")
    return found[1]


def _lacking(method: str) -> list[dict[str, Any]]:
    metadata = {
        "service": "forms.googleapis.com",
        "method": f"google.apps.forms.v1.FormsService.{method}",
    }
    info = {"reason": "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "domain": "googleapis.com"}
    return [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", **info, "metadata": metadata}]


def _matching(item: Item, wanted: str) -> list[int]:
    """The numbers of the responses that a filter leaves."""
    numbers = range(form_content.response_count(item))
    if not wanted:
        return list(numbers)
    match = _FILTER.fullmatch(wanted)
    if match is None:
        raise RpcError(400, "Invalid filter.")
    limit = _parse_ms(match[2])
    if match[1] == ">":
        return [n for n in numbers if form_content.submitted_ms(item, n) > limit]
    return [n for n in numbers if form_content.submitted_ms(item, n) >= limit]


def _parse_ms(text: str) -> float:
    try:  # Python reads microseconds at most; Google accepts nanoseconds
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d{1,3}$", r"\1", text))
    except ValueError as error:
        raise RpcError(400, "Invalid timestamp in filter.") from error
    return moment.replace(tzinfo=UTC).timestamp() * 1000


def _page_size(text: str) -> int:
    if not re.fullmatch(r"\d*", text):
        raise RpcError(400, f"Invalid value for page_size: {text}")
    return min(int(text or 0) or MAX_PAGE, MAX_PAGE)


def _token(position: int, form_id: str, wanted: str) -> str:
    """A page token, good for this form and filter only."""
    seal = hashlib.sha256(f"{position}/{form_id}/{wanted}".encode()).hexdigest()[:16]
    return base64.urlsafe_b64encode(f"{position}.{seal}".encode()).decode().rstrip("=")


def _start(token: str, form_id: str, wanted: str) -> int:
    if not token:
        return 0
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        position = int(text.partition(".")[0])
    except (binascii.Error, ValueError) as error:
        raise RpcError(400, "Invalid page token.") from error
    if _token(position, form_id, wanted) != token:
        raise RpcError(400, "Invalid page token.")
    return position


_PATH = r"/v1/forms/(?P<form_id>[^/]+)"
ROUTES = [
    Route("GET", re.compile(_PATH), get_form, "forms.get"),
    Route("GET", re.compile(_PATH + "/responses"), list_responses, "forms.responses.list"),
    Route(
        "GET",
        re.compile(_PATH + r"/responses/(?P<response_id>[^/]+)"),
        get_response,
        "forms.responses.get",
    ),
]
