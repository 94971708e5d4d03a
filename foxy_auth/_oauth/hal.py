"""The API's resources, their links and errors (HAL) as values: no I/O, no clock, no state."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urljoin

from foxy_auth._oauth import VERSION_HEADER
from foxy_auth._oauth.messages import (
    MAX_RESOURCE,
    HttpRequest,
    HttpResponse,
    asks_to_try_later,
    clean,
    error_messages,
    json_object,
    retry_after,
    text_of,
)
from foxy_auth._secrets import Secret
from foxy_auth.errors import RegistrationError, TokenUnavailableError


def resource_request(
    url: str, *, api_version: str, fields: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
) -> HttpRequest:
    """GET the resource at *url*, or POST *fields* there, as JSON."""
    sent = {"Accept": "application/hal+json", VERSION_HEADER: api_version, **(headers or {})}
    if fields is None:
        return HttpRequest(url, sent, "", method="GET", max_bytes=MAX_RESOURCE)
    sent["Content-Type"] = "application/json"
    return HttpRequest(url, sent, json.dumps(fields), max_bytes=MAX_RESOURCE)


def read_resource(response: HttpResponse, *, hidden: Iterable[Secret] = ()) -> Mapping[str, Any]:
    """
    Read a resource; errors do not repeat what is to be *hidden*.

    Raises:
        RegistrationError: The API refused, in HAL or as OAuth does.

        TokenUnavailableError: 429 or 5xx.
    """
    fields = json_object(response.body)
    if 200 <= response.status < 300:  # noqa: PLR2004
        return fields
    reason = text_of(fields.get("error_description")) or text_of(fields.get("error"))
    messages = tuple(clean(message, hidden) for message in (*error_messages(fields), reason) if message)
    text = f"the API refused ({response.status}): {'; '.join(messages) or 'no explanation'}"
    if asks_to_try_later(response.status):
        raise TokenUnavailableError(f"{text}; try later", retry_after=retry_after(response.headers))
    raise RegistrationError(text, messages=messages, status=response.status)


def link(resource: Mapping[str, Any], relation: str, *, base: str) -> str | None:
    """Return the address that *resource* links to by *relation*, such as `fx:token`; None if there is no such link."""
    try:
        address = text_of(resource["_links"][relation]["href"])
    except (KeyError, TypeError):
        return None
    return absolute(address, base=base) if address else None


def absolute(address: str, *, base: str) -> str:
    """Resolve *address* against *base*; text that is not an address stays as it is."""
    try:
        return urljoin(base, address)
    except ValueError:
        return address
