"""What a request is for: a path, an address, or the relations that lead there from the API home."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import click

from foxy_auth import Environment, FoxyAuth
from foxy_auth._oauth.hal import link
from foxy_auth.cli.exit_status import ApiError
from foxy_auth.cli.request.exchange import error_of, exchange

HEADERS = {"Accept": "application/hal+json"}


def find_target(auth: FoxyAuth, words: Sequence[str]) -> str:
    """
    Return the address that *words* mean; relations are followed by a request each.

    Raises:
        click.UsageError: The address is not of this environment.

        ApiError: A relation is not there, or the API refuses.
    """
    url, relations, query = _read(auth.environment, words)
    check_own(auth.environment, url)
    for relation in relations:
        url = _follow(auth, url, relation)
    return f"{url}{'&' if '?' in url else '?'}{query}" if query else url


def check_own(environment: Environment, url: str) -> None:
    """Refuse an address of another origin, before anything is sent there."""
    if not environment.covers(url):
        raise click.UsageError(
            f"{url} is not an address of {environment.api}, and nothing was sent there. Choose another environment "
            "(--environment), or another program."
        )


def pages(auth: FoxyAuth, url: str, headers: Mapping[str, str]) -> Iterator[Mapping[str, Any]]:
    """Yield the page at *url* and those after it, as far as the links `next` lead."""
    seen = set[str]()
    following: str | None = url
    while following and following not in seen:
        check_own(auth.environment, following)
        seen.add(following)
        page = fetch(auth, following, headers)
        yield page
        following = None if _is_last(page) else link(page, "next", base=following)


def _is_last(page: Mapping[str, Any]) -> bool:
    """Tell whether *page* is the last one: there, the provider's link `next` leads to the same page again."""
    try:
        return int(page["offset"]) + int(page["returned_items"]) >= int(page["total_items"])
    except (KeyError, TypeError, ValueError):
        return False


def items(page: Mapping[str, Any]) -> list[Any]:
    """Return what is embedded in *page*, which is one of a collection."""
    embedded: Any = page.get("_embedded")
    if embedded is None and "total_items" not in page:
        raise ApiError("the response is not a collection; leave out --paginate")
    members = cast("dict[str, Any]", embedded).values() if isinstance(embedded, dict) else ()
    lists: list[list[Any]] = [member for member in members if isinstance(member, list)]
    return [item for one in lists for item in one]


def fetch(auth: FoxyAuth, url: str, headers: Mapping[str, str] = HEADERS) -> Mapping[str, Any]:
    """GET the resource at *url*."""
    with exchange(auth, "GET", url, headers=headers) as response:
        body = b"".join(response.chunks)
        if not response.is_success:
            raise error_of(response, body, auth)
    try:
        resource = json.loads(body)
    except ValueError:
        resource = None
    if not isinstance(resource, dict):
        raise ApiError(f"the response of {url} is not a resource in HAL, so there are no links to follow")
    return cast("dict[str, Any]", resource)


def _read(environment: Environment, words: Sequence[str]) -> tuple[str, list[str], str]:
    """Return where to begin, the relations to follow from there, and the query for what they lead to."""
    first, rest = words[0].partition("#")[0], [*words[1:]]
    if "://" in first:
        url = first
    elif first.startswith("/"):
        url = f"{environment.api.rstrip('/')}{first}"
    else:
        url, rest = environment.api, [first, *rest]
    path, _, query = "/".join(rest).partition("?")
    relations = [relation for relation in path.split("/") if relation]
    return url.replace(" ", "%20"), relations, query.replace(" ", "%20")


def _follow(auth: FoxyAuth, url: str, relation: str) -> str:
    resource = fetch(auth, url)
    target = link(resource, relation, base=url)
    if target is None:
        links: Any = resource.get("_links")
        names = sorted(cast("dict[str, Any]", links).keys() - {"curies"}) if isinstance(links, dict) else []
        raise ApiError(f"{url} has no link {relation}; it has {', '.join(names) or 'none'}{_hint(relation, names)}")
    check_own(auth.environment, target)
    return target


def _hint(relation: str, names: Sequence[str]) -> str:
    if f"fx:{relation}" in names:
        return f". Did you mean fx:{relation}?"
    return "" if ":" in relation else ". A path begins with /, such as /stores/1"
