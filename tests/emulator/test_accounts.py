"""Clients, users, stores and integrations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    import requests
    from emulator.conftest import Http

    from foxy_auth.emulator import Emulator

CLIENT = {
    "redirect_uri": "https://widgets.example/callback",
    "project_name": "Widgets for Foxy",
    "company_name": "Widgets Co",
    "contact_name": "Kim Example",
    "contact_email": "kim@widgets.example",
    "contact_phone": "555-0102",
}
USER = {"first_name": "Alex", "last_name": "Example", "email": "alex@shop.example"}
STORE = {
    "store_name": "Alex's Shop",
    "store_domain": "alexs-shop",
    "store_url": "https://shop.example",
    "store_email": "orders@shop.example",
    "postal_code": "55401",
    "region": "MN",
    "country": "US",
}
OLDER_NAMES = {"postal_code": "store_postal_code", "region": "store_state", "country": "store_country"}


def messages(response: requests.Response) -> list[str]:
    """Return the messages of a HAL error, after checking their number."""
    error = response.json()
    errors = [entry["message"] for entry in error["_embedded"]["fx:errors"]]
    assert error["total"] == len(errors)
    return errors


def token_of(http: Http, scope: str) -> str:
    """Return an access token of a new grant."""
    return http.foxy.grant(scope).access_token


def follow(http: Http, access_token: str | None, *relations: str) -> dict[str, Any]:
    """Follow links by relation from the API home, and return the resource at the end."""
    resource: dict[str, Any] = http.api(access_token).json()
    for relation in relations:
        resource = http.api(access_token, resource["_links"][relation]["href"]).json()
    return resource


# Registering a client


def test_create_client(foxy: Emulator, http: Http) -> None:
    """Registering a client returns its id, secret, URL and first token."""
    response = http.api(None, "/clients", "POST", json=CLIENT)

    created = response.json()
    token = created["token"]
    assert (response.status_code, created["message"]) == (201, "client 2 created successfully.")
    assert response.headers["Location"] == created["_links"]["self"]["href"] == f"{foxy.url}/clients/2"
    assert re.fullmatch("client_[0-9A-Za-z]{20}", created["client_id"])
    assert re.fullmatch("[0-9A-Za-z]{40}", created["client_secret"])
    assert (token["scope"], token["expires_in"], token["token_type"]) == ("client_full_access", 7200, "Bearer")
    assert foxy.is_live(token["access_token"])
    assert foxy.current_refresh_token == token["refresh_token"]


def test_chosen_client_id(http: Http) -> None:
    """A client may choose its id if it is not taken; its secret is always generated."""
    chosen = {**CLIENT, "client_id": "widgetsco123", "client_secret": "mine"}

    created = http.api(None, "/clients", "POST", data=chosen).json()
    again = http.api(None, "/clients", "POST", data=chosen)

    assert created["client_id"] == "widgetsco123"
    assert created["client_secret"] != "mine"
    assert (again.status_code, messages(again)) == (400, ["client_id has already been taken"])


def test_registration_without_credentials(foxy: Emulator, http: Http) -> None:
    """The response to a registration may omit id and secret; they are then found by following `fx:client`."""
    foxy.hide_new_client = True
    created = http.api(None, "/clients", "POST", json=CLIENT).json()

    found = follow(http, created["token"]["access_token"], "fx:client")

    assert {"client_id", "client_secret"}.isdisjoint(created)
    again = http.token(
        auth=(found["client_id"], found["client_secret"]),
        grant_type="refresh_token",
        refresh_token=created["token"]["refresh_token"],
    )
    assert again.json()["scope"] == "client_full_access"


def test_empty_registration(http: Http) -> None:
    """A registration without fields is refused with one message per required field."""
    response = http.api(None, "/clients", "POST", json={})

    assert response.status_code == 400
    assert messages(response) == [
        f"{name} can't be blank, {name} is too short (minimum is 1 characters)" for name in CLIENT
    ]


# Path, scope of the token, valid fields, invalid fields, message.
WRONG_FIELDS = [
    ("/clients", None, CLIENT, {"contact_email": "kim"}, "contact_email is not a valid email address."),
    ("/clients", None, CLIENT, {"project_name": "x" * 201}, "project_name is too long (maximum is 200 characters)"),
    ("/users", "client_full_access", USER, {"email": "robin@stores.example"}, "email has already been taken"),
    (
        "/users",
        "client_full_access",
        USER,
        {"first_name": "x" * 51},
        "first_name is too long (maximum is 50 characters)",
    ),
    ("/users/1/stores", "user_full_access", STORE, {"store_domain": "coffee"}, "store_domain is already in use"),
    (
        "/users/1/stores",
        "user_full_access",
        STORE,
        {"store_domain": "x-internal"},
        "store_domain may not end in -internal",
    ),
    (
        "/users/1/stores",
        "user_full_access",
        STORE,
        {"store_domain": "A B"},
        "store_domain may only contain lowercase letters, digits and hyphens",
    ),
    ("/users/1/stores", "user_full_access", STORE, {"country": "USA"}, "country is too long (maximum is 2 characters)"),
]


@pytest.mark.parametrize(("path", "scope", "valid", "wrong", "message"), WRONG_FIELDS)
def test_wrong_field(
    http: Http, *, path: str, scope: str | None, valid: dict[str, str], wrong: dict[str, str], message: str
) -> None:
    """An invalid field is named, and nothing is created."""
    token = token_of(http, scope) if scope else None

    refused = http.api(token, path, "POST", json={**valid, **wrong})
    created = http.api(token, path, "POST", json=valid)

    assert (refused.status_code, messages(refused)) == (400, [message])
    assert created.status_code == 201


@pytest.mark.parametrize("body", ["{", "[]"])
def test_bad_json(http: Http, body: str) -> None:
    """A body that is not a JSON object is refused."""
    response = http.api(None, "/clients", "POST", data=body, headers={"Content-Type": "application/json"})

    assert (response.status_code, len(messages(response))) == (400, 1)


def test_wrong_method_on_clients(http: Http) -> None:
    """Clients can be created but not listed."""
    response = http.api(None, "/clients")

    expected = 'No route found for "GET /clients": Method Not Allowed (Allow: OPTIONS, POST)'
    assert (response.status_code, messages(response), response.headers["Allow"]) == (405, [expected], "OPTIONS, POST")
    assert set(http.api(None, "/clients", "OPTIONS").headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_change_client(http: Http) -> None:
    """A client can be changed, except for its id and its secret."""
    token = token_of(http, "client_full_access")
    before = http.api(token, "/clients/1").json()

    sent = {"project_name": "Another", "client_id": "x", "client_secret": "x"}
    after = http.api(token, "/clients/1", "PATCH", json=sent).json()

    assert after == {**before, "project_name": "Another"}
    assert http.api(token, "/clients/1/attributes").json()["_embedded"] == {"fx:attributes": []}


def test_method_override(http: Http) -> None:
    """`X-HTTP-Method-Override` replaces the method of a POST."""
    token = token_of(http, "client_full_access")

    response = http.api(
        token, "/clients/1", "POST", data={"company_name": "New"}, headers={"X-HTTP-Method-Override": "PATCH"}
    )

    assert (response.status_code, response.json()["company_name"]) == (200, "New")
    assert http.foxy.calls[-1].method == "POST"


# Access

OTHERS = [
    ("/clients/2", "client_full_access", "The access token is not for client 2."),
    ("/users/2", "user_full_access", "The access token is not for user 2."),
    ("/users/2/stores", "user_full_access", "The access token is not for user 2."),
]


@pytest.mark.parametrize(("path", "scope", "message"), OTHERS)
def test_other_accounts(http: Http, path: str, scope: str, message: str) -> None:
    """Clients and users of other tokens are forbidden."""
    response = http.api(token_of(http, scope), path)

    assert (response.status_code, messages(response)) == (403, [message])


@pytest.mark.parametrize(
    "path", ["/clients/1", "/users/1", "/users/1/stores", "/stores/1/integrations", "/integrations/1"]
)
def test_wrong_scope(http: Http, path: str) -> None:
    """Each resource requires its own scope."""
    scopes = ["client_full_access", "user_full_access", "store_full_access"]

    statuses = sorted(http.api(token_of(http, scope), path).status_code for scope in scopes)

    assert (statuses[1:], statuses[0] in {200, 403}) == ([403, 403], True)


# Users and stores


def test_create_user(foxy: Emulator, http: Http) -> None:
    """A client creates a user and gets a token for it."""
    response = http.api(token_of(http, "client_full_access"), "/users", "POST", data=USER)

    created = response.json()
    assert (response.status_code, created["message"]) == (201, "user 2 created successfully.")
    assert response.headers["Location"] == f"{foxy.url}/users/2"
    user = follow(http, created["token"]["access_token"], "fx:user")
    assert (user["email"], user["_links"]["fx:stores"]["href"]) == ("alex@shop.example", f"{foxy.url}/users/2/stores")
    assert created["token"]["scope"] == "user_full_access"


def test_captcha(foxy: Emulator, http: Http) -> None:
    """Creating a user may require a captcha code."""
    foxy.require_captcha = True
    token = token_of(http, "client_full_access")

    refused = http.api(token, "/users", "POST", json=USER)
    created = http.api(token, "/users", "POST", json=USER, headers={"h-captcha-code": "10000000"})

    assert (refused.status_code, created.status_code) == (400, 201)
    assert messages(refused) == ["The h-captcha-code header is required."]


def test_change_user(http: Http) -> None:
    """A user can be changed, and may keep its email address."""
    token = token_of(http, "user_full_access")

    response = http.api(token, "/users/1", "PATCH", json={"email": "robin@stores.example", "is_merchant": True})

    assert (response.status_code, response.json()["is_merchant"]) == (200, "1")
    assert http.api(token, "/users/1/attributes").status_code == 200


@pytest.mark.parametrize("names", [{}, OLDER_NAMES], ids=["documented names", "older names"])
def test_create_store(http: Http, names: dict[str, str]) -> None:
    """A user creates a store, with the documented or the older field names, and gets a token for it."""
    token = token_of(http, "user_full_access")
    sent = {names.get(name, name): value for name, value in STORE.items()}

    response = http.api(token, "/users/1/stores", "POST", json=sent)

    created = response.json()
    assert (response.status_code, created["message"]) == (201, "store 3 created successfully.")
    assert created["token"]["scope"] == "store_full_access store_id_3"
    store = follow(http, created["token"]["access_token"], "fx:store")
    assert {name: store[name] for name in STORE} == STORE
    listed = follow(http, token, "fx:stores")
    assert [member["store_name"] for member in listed["_embedded"]["fx:stores"]][-1] == "Alex's Shop"
    assert (listed["total_items"], listed["returned_items"]) == ("3", 3)


def test_lone_surrogate(foxy: Emulator, http: Http) -> None:
    """A lone surrogate in JSON is replaced, in the API and on the consent page."""
    user, sent = token_of(http, "user_full_access"), {**STORE, "store_name": "Half \ud83e"}

    created = http.api(user, "/users/1/stores", "POST", json=sent).json()
    asked = {"response_type": "code", "client_id": foxy.client_id, "scope": "store_full_access", "state": "s"}
    page = http.request("GET", f"/authorize?{urlencode(asked)}")

    assert follow(http, created["token"]["access_token"], "fx:store")["store_name"] == "Half ?"
    assert (page.status_code, "<b>Half ?</b>" in page.text) == (200, True)


def test_paging(http: Http) -> None:
    """`offset` and `limit` select a part of a collection."""
    listed = http.api(token_of(http, "user_full_access"), "/users/1/stores?offset=1&limit=5").json()

    assert [listed[name] for name in ("total_items", "returned_items", "limit", "offset")] == ["2", 1, 5, 1]
    assert [store["store_name"] for store in listed["_embedded"]["fx:stores"]] == ["Example Coffee"]


REPORTS = [
    ("email_exists", {"email": "robin@stores.example"}, 200),
    ("email_exists", {"email": "nobody@stores.example"}, 404),
    ("store_domain_exists", {"store_domain": "coffee"}, 200),
    ("store_domain_exists", {"store_domain": "tea"}, 404),
]


@pytest.mark.parametrize(("report", "asked", "status"), REPORTS)
def test_reports(http: Http, report: str, asked: dict[str, str], status: int) -> None:
    """The reports tell whether an email address or a store domain exists."""
    token = token_of(http, "client_full_access")
    link = follow(http, token, "fx:reporting")["_links"][f"fx:reporting_{report}"]

    responses = [http.api(access_token, link["href"], params=asked) for access_token in (token, None)]

    assert [response.status_code for response in responses] == [status, 401]


def test_helpers(http: Http) -> None:
    """The remaining links of the API home work."""
    token = token_of(http, "store_full_access")

    assert http.api(None, "/property_helpers").status_code == 200
    assert http.api(token, "/encode", "POST", data="<a>").json()["result"] == "<a>"
    assert http.api(token, "/stores/1/attributes").status_code == 200


# Integrations


def test_create_integration(foxy: Emulator, http: Http) -> None:
    """Creating an integration returns a client and its tokens in one flat response."""
    response = http.store(token_of(http, "store_full_access"), "/integrations", "POST", json={"project_name": "Books"})

    created = response.json()
    assert (response.status_code, response.headers["Location"]) == (201, created["_links"]["self"]["href"])
    auth = (created["client_id"], created["client_secret"])
    refreshed = http.token(auth=auth, grant_type="refresh_token", refresh_token=created["refresh_token"]).json()
    assert refreshed["scope"] == "store_full_access store_id_1"
    assert foxy.is_live(created["access_token"])


def test_integration(foxy: Emulator, http: Http) -> None:
    """An integration shows who has access and who granted it."""
    token = foxy.grant()

    listed = follow(http, token.access_token, "fx:store", "fx:integrations")["_embedded"]["fx:integrations"]
    shown = http.api(token.access_token, listed[0]["_links"]["self"]["href"]).json()

    assert [shown] == listed
    assert (shown["client_id"], shown["scope"]) == (foxy.client_id, token.scope)
    assert shown["expires"] == (token.obtained_at or 0) + 315_360_000
    assert (shown["added_by_name"], shown["project_name"]) == ("Robin Example", "Example Integration")
    assert set(shown["_links"]) == {"curies", "self", "fx:user", "fx:store", "fx:client"}


def test_delete_integration(foxy: Emulator, http: Http) -> None:
    """Deleting an integration revokes all tokens of the same client, user and scope, and no others."""
    kept = foxy.grant("user_full_access")
    revoked = [foxy.grant() for _ in range(2)]
    created = http.store(revoked[0].access_token, "/integrations", "POST", json={"project_name": "Books"}).json()
    listed = follow(http, revoked[0].access_token, "fx:store", "fx:integrations")["_embedded"]["fx:integrations"]

    response = http.api(revoked[1].access_token, listed[0]["_links"]["self"]["href"], "DELETE")

    assert response.status_code == 200
    assert foxy.live_access_tokens == [kept.access_token, created["access_token"]]
    assert [http.refresh(token.refresh_token).status_code for token in revoked] == [400, 400]
    assert http.store(revoked[0].access_token).json()["error_description"] == "The access token provided is invalid"


def test_unknown_and_other_integration(foxy: Emulator, http: Http) -> None:
    """An unknown integration is not found; one of another store is forbidden."""
    token = foxy.grant().access_token
    sent_to = foxy.authorize(
        f"{foxy.url}/authorize?response_type=code&client_id={foxy.client_id}&scope=store_full_access&state=1", store=2
    )
    http.exchange(dict(parse_qsl(urlsplit(sent_to).query))["code"])

    responses = [http.api(token, f"/integrations/{number}") for number in (99, 2)]

    assert [response.status_code for response in responses] == [404, 403]


# By links


def test_third_party_by_links(foxy: Emulator, http: Http) -> None:
    """A third-party integration gets to its store by following links from the API home."""
    home = http.api(None).json()["_links"]
    client = http.api(None, home["fx:create_client"]["href"], "POST", json=CLIENT).json()
    asked = {"response_type": "code", "client_id": client["client_id"], "scope": "store_full_access", "state": "1"}
    back = dict(parse_qsl(urlsplit(foxy.authorize(f"{foxy.url}/authorize?{urlencode(asked)}", store=2)).query))

    auth = (client["client_id"], client["client_secret"])
    fields = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": CLIENT["redirect_uri"]}
    token = http.request("POST", home["fx:token"]["href"], auth=auth, data=fields).json()
    fields = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    refreshed = http.request("POST", home["fx:token"]["href"], auth=auth, data=fields).json()

    store = follow(http, refreshed["access_token"], "fx:store")
    assert store["store_name"] == "Example Coffee"
    integrations = follow(http, refreshed["access_token"], "fx:store", "fx:integrations")["_embedded"][
        "fx:integrations"
    ]
    assert [integration["project_name"] for integration in integrations] == ["Widgets for Foxy"]


def test_white_label_by_links(http: Http) -> None:
    """A white-label integration creates client, user and store, each with the token of the previous response."""
    home = http.api(None).json()["_links"]
    client = http.api(None, home["fx:create_client"]["href"], "POST", json=CLIENT).json()["token"]["access_token"]
    create_user = http.api(client).json()["_links"]["fx:create_user"]["href"]
    user = http.api(client, create_user, "POST", json=USER).json()["token"]["access_token"]
    create_store = http.api(user).json()["_links"]["fx:stores"]["href"]
    store = http.api(user, create_store, "POST", json=STORE).json()["token"]["access_token"]

    assert follow(http, store, "fx:store")["store_name"] == "Alex's Shop"
