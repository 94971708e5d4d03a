"""Resources, collections and errors in the Hypertext Application Language (HAL), as in the provider's API."""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from itertools import count
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

Document = dict[str, Any]

CURIES: list[dict[str, str | bool]] = [{"name": "fx", "href": "https://api.foxycart.com/rels/{rel}", "templated": True}]
_PAGE, _LARGEST_PAGE = 20, 300  # members (the provider's cheat sheet)
_PAGES = {"first": "First", "prev": "Previous", "next": "Next", "last": "Last"}
_logrefs = count(1_448_000_000)


def url_of(path: str) -> str:
    """Return the URL of *path* under the host name that the client used."""
    return request.host_url.rstrip("/") + path


def link(path: str, title: str) -> dict[str, str]:
    """Return a link to *path* on this server."""
    return {"href": url_of(path), "title": title}


def document(links: Mapping[str, object], fields: Mapping[str, object] | None = None) -> Document:
    """Return a resource with *links* and *fields*."""
    return {"_links": {"curies": CURIES, **links}, **(fields or {})}


def collection(path: str, relation: str, members: Sequence[Document], *, limit: int | None = None) -> Response:
    """
    Respond with the *members* that `offset` and `limit` in the query select.

    As in the samples of the provider's pages, all four links are always there: the last page is its own `next`. There
    `total_items` is text, too.
    """
    total, offset = len(members), max(0, request.args.get("offset", 0, int))
    limit = min(max(1, request.args.get("limit", limit or _PAGE, int)), _LARGEST_PAGE)
    page = members[offset : offset + limit]
    following = offset + limit if offset + limit < total else offset
    offsets = (0, max(0, offset - limit), following, max(0, total - 1) // limit * limit)
    links = {
        name: link(f"{path}?{urlencode({**request.args, 'offset': start})}", f"{title} Page of this Collection")
        for (name, title), start in zip(_PAGES.items(), offsets, strict=True)
    }
    query = f"?{request.query_string.decode()}" if request.query_string else ""
    numbers = {"total_items": str(total), "returned_items": len(page), "limit": limit, "offset": offset}
    resource = document({"self": link(path + query, "This Collection"), **links}, numbers)
    return respond({**resource, "_embedded": {relation: list(page)}})


def respond(resource: Document, status: int = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """Respond with a resource; an empty 304 if the client has the current version."""
    response = Response(json.dumps(resource), status, dict(headers or {}), content_type="application/hal+json")
    response.headers["Cache-Control"] = "private, must-revalidate"
    if status == HTTPStatus.OK and request.method in {"GET", "HEAD"}:
        response.add_etag(weak=True)
        response.make_conditional(request)
        del response.headers["Date"]  # the server sets it
    return response


def created(links: Mapping[str, Mapping[str, str]], what: str, fields: Mapping[str, object]) -> Response:
    """Respond that a resource was created, with its URL in `Location`."""
    resource = document(links, {"message": f"{what} created successfully.", **fields})
    return respond(resource, HTTPStatus.CREATED, {"Location": links["self"]["href"]})


def error_document(*messages: str) -> Document:
    """Return an error with one entry per message."""
    errors = [{"logref": f"id-{next(_logrefs)}", "message": message} for message in messages]
    return {"total": len(errors), "_links": {"curies": CURIES}, "_embedded": {"fx:errors": errors}}


def error(status: int, *messages: str, headers: Mapping[str, str] | None = None) -> Response:
    """Respond with an error; the content type is the one recorded from the provider's sandbox."""
    headers = {"Cache-Control": "no-cache", **(headers or {})}
    content = json.dumps(error_document(*messages))
    return Response(content, status, headers, content_type="application/vnd.error+json")
