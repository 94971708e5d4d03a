"""Resources of a test's own: whatever it serves, behind the checks that all resources have."""

from __future__ import annotations

import re
from itertools import chain
from typing import Any, cast

from flask import Response, current_app, request
from werkzeug.exceptions import MethodNotAllowed

from foxy_auth.emulator.bearer import require_token
from foxy_auth.emulator.hal import Document, collection, document, link, respond
from foxy_auth.emulator.models import Served, db
from foxy_auth.emulator.stores import own_store

_OF_A_STORE = re.compile(r"/stores/(\d+)(/|$)")
_METHODS = ["GET", "HEAD", "OPTIONS"]


def serve_own() -> Response | None:
    """Respond with the resource that the test serves at this path; None if there is none."""
    path = request.path.rstrip("/")
    served = db.served.get(path)
    if served is None:
        return None
    if matched := _OF_A_STORE.match(path):
        own_store(int(matched[1]))
    else:
        require_token()
    if callable(served.content):
        return _respond(path, served, served.content(request))
    if request.method == "OPTIONS":
        return Response(headers={"Allow": ", ".join(_METHODS)})
    if request.method not in _METHODS:
        raise MethodNotAllowed(_METHODS)
    return _respond(path, served, served.content)


def _collection(path: str, served: Served, content: list[Any]) -> Response:
    """Respond with a part of *content*, which is items, or pages of items."""
    first: Any = next(iter(content), None)
    if isinstance(first, list):
        limit = served.limit or len(cast("list[Any]", first))  # type: ignore[redundant-cast] # not for pyright
        return collection(path, served.relation, list(chain.from_iterable(content)), limit=limit)
    return collection(path, served.relation, content, limit=served.limit)


def _respond(path: str, served: Served, content: Any) -> Response:
    if isinstance(content, list):
        return _collection(path, served, cast("list[Any]", content))  # type: ignore[redundant-cast] # not for pyright
    if isinstance(content, dict):
        fields = cast("Document", content)
        links = {"self": link(path, "This Resource"), **fields.get("_links", {})}
        return respond(document(links, {name: value for name, value in fields.items() if name != "_links"}))
    return current_app.make_response(content)
