"""The control endpoint `/_control/…`: tests change, break, count and compare through it.

Not part of Google; no bearer token. `control.py` is the typed client, README.md the reference.
"""

from __future__ import annotations

import re
from typing import Any

from emulator.drive_media import stream_whole
from emulator.faults import Fault
from emulator.http import (
    GoogleError,
    Request,
    Response,
    Route,
    invalid,
    json_response,
    not_found,
)
from emulator.manifest import entry, manifest_lines
from emulator.mutations import mutate
from emulator.tokens import DEAD_TOKEN
from emulator.world import Account, World

DEFAULT_SCOPES = (
    "openid",
    "https://www.googleapis.com/auth/userinfo.email",
    "https://www.googleapis.com/auth/drive.readonly",
    "https://www.googleapis.com/auth/forms.responses.readonly",
)


async def list_accounts(request: Request, world: World) -> Response:
    return json_response({"accounts": [_account_json(a) for a in world.accounts.values()]})


def _account_json(account: Account) -> dict[str, Any]:
    return {
        "sub": account.sub,
        "email": account.email,
        "name": account.name,
        "root_id": account.corpus.root.id,
        "items": account.corpus.items.count(),
        "drives": [
            {"id": d.id, "name": d.name, "items": d.corpus.items.count()}
            for d in account.drives.values()
        ],
    }


async def do_mutate(request: Request, world: World) -> Response:
    said = request.json()
    account = _account(world, str(said.get("account", "")))
    try:
        item = mutate(world, account, said)
    except (KeyError, ValueError, TypeError) as error:
        raise GoogleError(400, "invalid", f"{type(error).__name__}: {error}") from error
    if item is None:
        return json_response({"item": None})
    found = account.find(item.id)
    if found is None:
        raise not_found(item.id)
    return json_response({"item": await entry(world, account, *found)})


async def issue_token(request: Request, world: World) -> Response:
    said = request.json()
    account = _account(world, str(said.get("account", "")))
    return json_response(world.oauth.issue(account.sub, said.get("scopes") or DEFAULT_SCOPES))


async def change_tokens(request: Request, world: World, what: str) -> Response:
    """expire: access tokens only; revoke: everything; refuse and allow: refreshes."""
    said = request.json()
    sub = _account(world, str(said.get("account", ""))).sub
    count = 0
    if what == "expire":
        count = world.oauth.expire_access_tokens(sub)
    elif what == "revoke":
        count = world.oauth.revoke_account(sub)
    elif what == "refuse":
        world.oauth.refuse_refresh(
            sub, said.get("error", "invalid_grant"), said.get("description", DEAD_TOKEN)
        )
    else:
        world.oauth.allow_refresh(sub)
    return json_response({"count": count})


async def set_lifetimes(request: Request, world: World) -> Response:
    said = request.json()
    if "access_s" in said:
        world.oauth.set_access_lifetime(float(said["access_s"]))
    if "refresh_s" in said:
        lifetime = said["refresh_s"]
        world.oauth.set_refresh_lifetime(None if lifetime is None else float(lifetime))
    return json_response({})


async def list_faults(request: Request, world: World) -> Response:
    return json_response({"faults": [fault.as_json() for fault in world.faults]})


async def add_fault(request: Request, world: World) -> Response:
    try:
        fault: Fault = world.faults.add(request.json())
    except (TypeError, re.error) as error:
        raise GoogleError(400, "invalid", str(error)) from error
    return json_response(fault.as_json())


async def clear_faults(request: Request, world: World) -> Response:
    which = request.first("id")
    return json_response({"cleared": world.faults.clear(int(which) if which else None)})


async def counters(request: Request, world: World) -> Response:
    return json_response(world.counters.as_json())


async def reset_counters(request: Request, world: World) -> Response:
    world.counters.reset()
    world.quota.reset()
    return json_response({})


async def set_quota(request: Request, world: World) -> Response:
    units = request.json().get("units_per_minute")
    if not isinstance(units, int) or units < 0:
        raise invalid("units_per_minute")
    world.quota.units_per_minute = units
    world.quota.reset()
    return json_response({})


async def set_storage(request: Request, world: World) -> Response:
    """How many bytes an account may hold; null: no limit."""
    said = request.json()
    sub = _account(world, str(said.get("account", ""))).sub
    world.storage_limits.pop(sub, None)
    if said.get("limit") is not None:
        world.storage_limits[sub] = int(said["limit"])
    return json_response({})


async def expire_uploads(request: Request, world: World) -> Response:
    """Every upload session is forgotten."""
    count = len(world.uploads)
    world.uploads.clear()
    return json_response({"count": count})


async def stale_page_tokens(request: Request, world: World) -> Response:
    world.page_generation += 1
    return json_response({"generation": world.page_generation})


async def true_content(request: Request, world: World, file_id: str) -> Response:
    for account in world.accounts.values():
        found = account.find(file_id)
        if found is not None and found[1].content is not None:
            return stream_whole(found[1].mime_type, found[1].content)
    raise not_found(file_id)


async def manifest(request: Request, world: World) -> Response:
    account = _account(world, request.first("account"))
    headers = [("Content-Type", "application/x-ndjson")]
    return Response(200, headers, manifest_lines(world, account))


async def channels(request: Request, world: World) -> Response:
    shown = [
        {"id": c.id, "address": c.address, "sub": c.sub, "delivered": c.delivered}
        for c in world.channels.values()
    ]
    return json_response({"channels": shown})


def _account(world: World, email: str) -> Account:
    if not email:
        return next(iter(world.accounts.values()))
    account = world.account_by_email(email)
    if account is None:
        raise GoogleError(404, "notFound", f"No account {email}")
    return account


def _route(method: str, path: str, call: Any) -> Route:
    return Route(method, re.compile("/_control/" + path), call, "control")


ROUTES = [
    _route("GET", "accounts", list_accounts),
    _route("POST", "mutate", do_mutate),
    _route("POST", "tokens", issue_token),
    _route("POST", "tokens/(?P<what>expire|revoke|refuse|allow)", change_tokens),
    _route("POST", "lifetimes", set_lifetimes),
    _route("GET", "faults", list_faults),
    _route("POST", "faults", add_fault),
    _route("DELETE", "faults", clear_faults),
    _route("GET", "counters", counters),
    _route("DELETE", "counters", reset_counters),
    _route("POST", "quota", set_quota),
    _route("POST", "storage", set_storage),
    _route("POST", "uploads/expire", expire_uploads),
    _route("POST", "page-tokens/stale", stale_page_tokens),
    _route("GET", "content/(?P<file_id>[^/]+)", true_content),
    _route("GET", "manifest", manifest),
    _route("GET", "channels", channels),
]
