"""Shapes of the Hypertext Application Language, as the provider's API has them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from typing import Any

from flask import Response, request

Document = dict[str, Any]

CURIES = [{"name": "fx", "href": "https://api.foxycart.com/rels/{rel}", "templated": True}]
_PAGE, _LARGEST_PAGE = 20, 300  # members, the provider's cheat sheet
_logrefs = count(1_448_000_000)


def here(path: str) -> str:
    """Return the address of *path* under the name that the client called the server by."""
    return request.host_url.rstrip("/") + path


def link(path: str, title: str, **more: str) -> dict[str, str]:
    """Describe a link to *path* of this server."""
    return {"href": here(path), "title": title, **more}


def document(links: Mapping[str, object], fields: Mapping[str, object] | None = None) -> Document:
    """Put *links* and *fields* together as a resource."""
    return {"_links": {"curies": CURIES, **links}, **(fields or {})}


def collection(path: str, relation: str, members: Sequence[Document]) -> Document:
    """Put the *members* together that the query's `offset` and `limit` ask for."""
    offset = max(0, request.args.get("offset", 0, int))
    limit = min(max(1, request.args.get("limit", _PAGE, int)), _LARGEST_PAGE)
    page = members[offset : offset + limit]
    numbers = {"total_items": len(members), "returned_items": len(page), "limit": limit, "offset": offset}
    return {**document({"self": link(path, "This Collection")}, numbers), "_embedded": {relation: list(page)}}


def created(links: Mapping[str, Mapping[str, str]], what: str, fields: Mapping[str, object]) -> Response:
    """Answer that a resource was created, and where."""
    resource = document(links, {"message": f"{what} created successfully.", **fields})
    return answer(resource, 201, {"Location": links["self"]["href"]})


def timestamp(instant: float) -> str:
    """Spell an instant as the API does: ISO 8601 with an offset from UTC."""
    return datetime.fromtimestamp(instant, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def error_document(messages: Iterable[str]) -> Document:
    """Put *messages* together as an error: one entry each, and their number as `total`."""
    errors = [{"logref": f"id-{next(_logrefs)}", "message": message} for message in messages]
    return {"total": len(errors), "_links": {"curies": CURIES}, "_embedded": {"fx:errors": errors}}


def answer(resource: Document, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a resource, and with an empty 304 where the client has it already."""
    response = Response(json.dumps(resource), status, dict(headers or {}), content_type="application/hal+json")
    response.headers["Cache-Control"] = "private, must-revalidate"
    if status == 200 and request.method in {"GET", "HEAD"}:  # noqa: PLR2004 - the status of success
        response.add_etag(weak=True)
        response.make_conditional(request)
    return response


def refuse(status: int, *messages: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with an error; its content type is the one seen in recordings of the provider's sandbox."""
    content = json.dumps(error_document(messages))
    response = Response(content, status, dict(headers or {}), content_type="application/vnd.error+json")
    response.headers["Cache-Control"] = "no-cache"
    return response
