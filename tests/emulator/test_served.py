"""Resources that a test serves itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from emulator.conftest import Http
    from werkzeug.wrappers import Request

    from foxy_auth.emulator import Emulator

PATH = "/stores/1/transactions"
ITEMS = [{"id": number, "total_order": 10.5 * number} for number in range(45)]


def pages(http: Http, token: str, url: str) -> list[dict[str, Any]]:
    """Follow `next` as the provider's collections need it: the last page is its own `next`."""
    found: list[dict[str, Any]] = []
    while not found or found[-1]["offset"] + found[-1]["returned_items"] < int(found[-1]["total_items"]):
        found.append(http.api(token, url).json())
        url = found[-1]["_links"]["next"]["href"]
    return found


def test_collection(foxy: Emulator, http: Http) -> None:
    """A list is a collection, in pages of 20, to which the store links by relation."""
    foxy.serve(PATH, ITEMS)
    token = foxy.grant().access_token
    home = http.api(token).json()
    store = http.api(token, home["_links"]["fx:store"]["href"]).json()

    found = pages(http, token, store["_links"]["fx:transactions"]["href"])

    assert [item for page in found for item in page["_embedded"]["fx:transactions"]] == ITEMS
    assert [page["returned_items"] for page in found] == [20, 20, 5]
    assert {(page["total_items"], page["limit"]) for page in found} == {("45", 20)}


@pytest.mark.parametrize(
    ("query", "offsets"),
    [
        ("", ["", "offset=0", "offset=0", "offset=20", "offset=40"]),
        ("offset=40", ["offset=40", "offset=0", "offset=20", "offset=40", "offset=40"]),
        (
            "limit=30&offset=10",
            ["limit=30&offset=10", *(f"limit=30&offset={offset}" for offset in (0, 0, 40, 30))],
        ),
    ],
)
def test_links_of_a_page(foxy: Emulator, http: Http, query: str, offsets: list[str]) -> None:
    """A page has all five links, as the provider's samples have, and these keep the rest of the query."""
    foxy.serve(f"{foxy.url}{PATH}/", ITEMS)

    links = http.api(foxy.grant().access_token, f"{PATH}?{query}").json()["_links"]

    assert [urlsplit(links[name]["href"]).query for name in ("self", "first", "prev", "next", "last")] == offsets
    assert links["next"]["title"] == "Next Page of this Collection"


def test_pages(foxy: Emulator, http: Http) -> None:
    """A list of lists is given out page by page; the list may grow while it is served."""
    content = [[{"id": 1}, {"id": 2}], [{"id": 3}]]
    foxy.serve(PATH, content, rel="fx:orders")
    content.append([{"id": 4}, {"id": 5}])

    found = pages(http, foxy.grant().access_token, PATH)

    ids = [[item["id"] for item in page["_embedded"]["fx:orders"]] for page in found]
    assert ids == [[1, 2], [3, 4], [5]]


def test_empty_collection(foxy: Emulator, http: Http) -> None:
    """An empty list is one page without items."""
    foxy.serve(PATH, [])

    (page,) = pages(http, foxy.grant().access_token, PATH)

    assert (page["total_items"], page["_embedded"], page["_links"]["last"]["href"][-8:]) == (
        "0",
        {"fx:transactions": []},
        "offset=0",
    )


def test_resource(foxy: Emulator, http: Http) -> None:
    """A dict is a resource, with a link to itself beside its own links, and read only; the API home may link to it."""
    foxy.serve("/plan", {}, rel="fx:plan")
    foxy.serve("/transactions/5", {"id": 5, "_links": {"fx:store": {"href": foxy.store_url}}})
    token = foxy.grant().access_token

    resource = http.api(token, "/transactions/5").json()
    options, posted = (http.api(token, "/transactions/5", method) for method in ("OPTIONS", "POST"))

    links = {name: link["href"] for name, link in resource["_links"].items() if name != "curies"}
    assert (resource["id"], links) == (5, {"self": f"{foxy.url}/transactions/5", "fx:store": foxy.store_url})
    assert http.api(token).json()["_links"]["fx:plan"]["href"] == f"{foxy.url}/plan"
    assert (options.headers["Allow"], posted.status_code) == ("GET, HEAD, OPTIONS", 405)


def test_function(foxy: Emulator, http: Http) -> None:
    """A function gets each request, and returns a list, a dict, or what Flask takes."""
    orders: list[dict[str, Any]] = []

    def handle(request: Request) -> object:
        if request.method == "GET":
            return orders
        orders.append(request.get_json())
        return {"message": "created"}, 201

    foxy.serve(PATH, handle)
    token = foxy.grant().access_token
    created = http.api(token, PATH, "POST", json={"id": 7})

    assert (created.status_code, created.json()) == (201, {"message": "created"})
    assert http.api(token, PATH).json()["_embedded"] == {"fx:transactions": [{"id": 7}]}


@pytest.mark.parametrize("path", [PATH, "/transactions/5", "/stores/1", "/stores/1/integrations"])
def test_checks(foxy: Emulator, http: Http, path: str) -> None:
    """A resource needs a valid token of its store and the version header, also where there was one before."""
    foxy.serve(path, {"mine": True})
    token, expected = foxy.grant().access_token, {"mine": True}
    of_user = foxy.grant("user_full_access").access_token

    answers = [http.api(one, path) for one in (token, None, "0" * 40, of_user)]
    unversioned = http.request("GET", path, headers={"Authorization": f"Bearer {token}"})

    assert answers[0].json().items() >= expected.items()
    of_a_store = path.startswith("/stores/")
    assert [answer.status_code for answer in answers] == [200, 401, 401, 403 if of_a_store else 200]
    assert unversioned.status_code == 400


WRONG: list[tuple[str, Any, type[Exception], str]] = [
    ("stores/1/x", [], ValueError, "begins with a slash"),
    ("/stores/7/x", [], ValueError, "there is no store 7"),
    ("/x", "text", TypeError, "a list, a dict or a function, not str"),
    ("/x", [object()], TypeError, "not JSON serializable"),
]


@pytest.mark.parametrize(("path", "content", "error", "message"), WRONG)
def test_wrong_use(foxy: Emulator, path: str, content: Any, error: type[Exception], message: str) -> None:
    """R24: what cannot be served is refused at once."""
    with pytest.raises(error, match=message):
        foxy.serve(path, content)
