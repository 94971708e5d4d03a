"""Clients, users, stores and integrations: created, looked after, refused, and taken back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    import requests
    from emulator.conftest import Caller

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


def messages(answer: requests.Response) -> list[str]:
    """Read the messages of a HAL error, after checking that it counts them."""
    error = answer.json()
    errors = [entry["message"] for entry in error["_embedded"]["fx:errors"]]
    assert error["total"] == len(errors)
    return errors


def token_of(call: Caller, scope: str) -> str:
    """Get an access token of a new grant."""
    return call.foxy.grant(scope).access_token


def follow(call: Caller, access_token: str | None, *relations: str) -> dict[str, Any]:
    """Follow links by relation from the API home and return the resource at the end."""
    resource: dict[str, Any] = call.api(access_token).json()
    for relation in relations:
        resource = call.api(access_token, resource["_links"][relation]["href"]).json()
    return resource


# Registering a client


def test_create_client(foxy: Emulator, call: Caller) -> None:
    """A registration answers id, secret and a first token, and where the client is."""
    answer = call.api(None, "/clients", "POST", json=CLIENT)

    created = answer.json()
    token = created["token"]
    assert (answer.status_code, created["message"]) == (201, "client 2 created successfully.")
    assert answer.headers["Location"] == created["_links"]["self"]["href"] == f"{foxy.url}/clients/2"
    assert re.fullmatch("client_[0-9A-Za-z]{20}", created["client_id"])
    assert re.fullmatch("[0-9A-Za-z]{40}", created["client_secret"])
    assert (token["scope"], token["expires_in"], token["token_type"]) == ("client_full_access", 7200, "Bearer")
    assert foxy.is_live(token["access_token"])
    assert foxy.current_refresh_token == token["refresh_token"]


def test_chosen_client_id(call: Caller) -> None:
    """A client may choose its id, once; its secret is always made for it."""
    chosen = {**CLIENT, "client_id": "widgetsco123", "client_secret": "mine"}

    created = call.api(None, "/clients", "POST", data=chosen).json()
    again = call.api(None, "/clients", "POST", data=chosen)

    assert created["client_id"] == "widgetsco123"
    assert created["client_secret"] != "mine"
    assert (again.status_code, messages(again)) == (400, ["client_id has already been taken"])


def test_older_answer_to_a_registration(foxy: Emulator, call: Caller) -> None:
    """Id and secret may be missing from the answer; they are then found behind `fx:client`."""
    foxy.hide_new_client = True
    created = call.api(None, "/clients", "POST", json=CLIENT).json()

    found = follow(call, created["token"]["access_token"], "fx:client")

    assert {"client_id", "client_secret"}.isdisjoint(created)
    again = call.token(
        auth=(found["client_id"], found["client_secret"]),
        grant_type="refresh_token",
        refresh_token=created["token"]["refresh_token"],
    )
    assert again.json()["scope"] == "client_full_access"


def test_empty_registration(call: Caller) -> None:
    """A registration without fields is refused with one message per field."""
    answer = call.api(None, "/clients", "POST", json={})

    assert answer.status_code == 400
    assert messages(answer) == [
        f"{name} can't be blank, {name} is too short (minimum is 1 characters)" for name in CLIENT
    ]


# Where, of which kind the token is, what is sent instead of good fields, and what is said about it.
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


@pytest.mark.parametrize(("path", "scope", "good", "wrong", "message"), WRONG_FIELDS)
def test_wrong_field(
    call: Caller, *, path: str, scope: str | None, good: dict[str, str], wrong: dict[str, str], message: str
) -> None:
    """A wrong field is named, and nothing is created."""
    token = token_of(call, scope) if scope else None

    refused = call.api(token, path, "POST", json={**good, **wrong})
    created = call.api(token, path, "POST", json=good)

    assert (refused.status_code, messages(refused)) == (400, [message])
    assert created.status_code == 201


@pytest.mark.parametrize("body", ["{", "[]", '"text"'])
def test_bad_json(call: Caller, body: str) -> None:
    """A body that is no JSON object is refused."""
    answer = call.api(None, "/clients", "POST", data=body, headers={"Content-Type": "application/json"})

    assert (answer.status_code, len(messages(answer))) == (400, 1)


def test_wrong_method_on_clients(call: Caller) -> None:
    """Clients can be created and not listed."""
    answer = call.api(None, "/clients")

    expected = 'No route found for "GET /clients": Method Not Allowed (Allow: OPTIONS, POST)'
    assert (answer.status_code, messages(answer), answer.headers["Allow"]) == (405, [expected], "OPTIONS, POST")
    assert set(call.api(None, "/clients", "OPTIONS").headers["Allow"].split(", ")) == {"OPTIONS", "POST"}


def test_change_client(call: Caller) -> None:
    """A client can change what it says about itself, and neither its id nor its secret."""
    token = token_of(call, "client_full_access")
    before = call.api(token, "/clients/1").json()

    sent = {"project_name": "Another", "client_id": "x", "client_secret": "x"}
    after = call.api(token, "/clients/1", "PATCH", json=sent).json()

    assert after == {**before, "project_name": "Another"}
    assert call.api(token, "/clients/1/attributes").json()["_embedded"] == {"fx:attributes": []}


def test_method_override(call: Caller) -> None:
    """A POST can stand for another method."""
    token = token_of(call, "client_full_access")

    answer = call.api(
        token, "/clients/1", "POST", data={"company_name": "New"}, headers={"X-HTTP-Method-Override": "PATCH"}
    )

    assert (answer.status_code, answer.json()["company_name"]) == (200, "New")
    assert call.foxy.calls[-1].method == "POST"


# What belongs to whom

FOREIGN = [
    ("/clients/2", "client_full_access", "The access token is not for client 2."),
    ("/users/2", "user_full_access", "The access token is not for user 2."),
    ("/users/2/stores", "user_full_access", "The access token is not for user 2."),
]


@pytest.mark.parametrize(("path", "scope", "message"), FOREIGN)
def test_foreign_resource(call: Caller, path: str, scope: str, message: str) -> None:
    """What belongs to somebody else is refused."""
    answer = call.api(token_of(call, scope), path)

    assert (answer.status_code, messages(answer)) == (403, [message])


@pytest.mark.parametrize(
    "path", ["/clients/1", "/users/1", "/users/1/stores", "/stores/1/integrations", "/integrations/1"]
)
def test_wrong_scope(call: Caller, path: str) -> None:
    """Each resource needs its own scope."""
    scopes = ["client_full_access", "user_full_access", "store_full_access"]

    statuses = sorted(call.api(token_of(call, scope), path).status_code for scope in scopes)

    assert (statuses[1:], statuses[0] in {200, 403}) == ([403, 403], True)


# White label: user and store


def test_create_user(foxy: Emulator, call: Caller) -> None:
    """A client creates a user and gets a token for it."""
    answer = call.api(token_of(call, "client_full_access"), "/users", "POST", data=USER)

    created = answer.json()
    assert (answer.status_code, created["message"]) == (201, "user 2 created successfully.")
    assert answer.headers["Location"] == f"{foxy.url}/users/2"
    user = follow(call, created["token"]["access_token"], "fx:user")
    assert (user["email"], user["_links"]["fx:stores"]["href"]) == ("alex@shop.example", f"{foxy.url}/users/2/stores")
    assert created["token"]["scope"] == "user_full_access"


def test_captcha(foxy: Emulator, call: Caller) -> None:
    """Creating a user may need the code of a captcha."""
    foxy.require_captcha = True
    token = token_of(call, "client_full_access")

    refused = call.api(token, "/users", "POST", json=USER)
    created = call.api(token, "/users", "POST", json=USER, headers={"h-captcha-code": "10000000"})

    assert (refused.status_code, created.status_code) == (400, 201)
    assert messages(refused) == ["The h-captcha-code header is required."]


def test_change_user(call: Caller) -> None:
    """A user changes its own fields, its own address included."""
    token = token_of(call, "user_full_access")

    answer = call.api(token, "/users/1", "PATCH", json={"email": "robin@stores.example", "is_merchant": True})

    assert (answer.status_code, answer.json()["is_merchant"]) == (200, "1")
    assert call.api(token, "/users/1/attributes").status_code == 200


@pytest.mark.parametrize("names", [{}, OLDER_NAMES], ids=["documented names", "older names"])
def test_create_store(call: Caller, names: dict[str, str]) -> None:
    """A user creates a store, under the documented field names or the older ones, and gets a token for it."""
    token = token_of(call, "user_full_access")
    sent = {names.get(name, name): value for name, value in STORE.items()}

    answer = call.api(token, "/users/1/stores", "POST", json=sent)

    created = answer.json()
    assert (answer.status_code, created["message"]) == (201, "store 3 created successfully.")
    assert created["token"]["scope"] == "store_full_access store_id_3"
    store = follow(call, created["token"]["access_token"], "fx:store")
    assert {name: store[name] for name in STORE} == STORE
    listed = follow(call, token, "fx:stores")
    assert [member["store_name"] for member in listed["_embedded"]["fx:stores"]][-1] == "Alex's Shop"
    assert (listed["total_items"], listed["returned_items"]) == (3, 3)


def test_half_a_character(foxy: Emulator, call: Caller) -> None:
    """JSON can name half of a character; such a store is created, and shown by the API and to users."""
    user, sent = token_of(call, "user_full_access"), {**STORE, "store_name": "Half \ud83e"}

    created = call.api(user, "/users/1/stores", "POST", json=sent).json()
    asked = {"response_type": "code", "client_id": foxy.client_id, "scope": "store_full_access", "state": "s"}
    page = call.request("GET", f"/authorize?{urlencode(asked)}")

    assert follow(call, created["token"]["access_token"], "fx:store")["store_name"] == "Half ?"
    assert (page.status_code, "<b>Half ?</b>" in page.text) == (200, True)


def test_paging(call: Caller) -> None:
    """A collection shows the part that is asked for."""
    listed = call.api(token_of(call, "user_full_access"), "/users/1/stores?offset=1&limit=5").json()

    assert [listed[name] for name in ("total_items", "returned_items", "limit", "offset")] == [2, 1, 5, 1]
    assert [store["store_name"] for store in listed["_embedded"]["fx:stores"]] == ["Example Coffee"]


REPORTS = [
    ("email_exists", {"email": "robin@stores.example"}, 200),
    ("email_exists", {"email": "nobody@stores.example"}, 404),
    ("store_domain_exists", {"store_domain": "coffee"}, 200),
    ("store_domain_exists", {"store_domain": "tea"}, 404),
]


@pytest.mark.parametrize(("report", "asked", "status"), REPORTS)
def test_reports(call: Caller, report: str, asked: dict[str, str], status: int) -> None:
    """A client can ask whether an address or a store domain is taken: it follows a link and adds a query."""
    token = token_of(call, "client_full_access")
    link = follow(call, token, "fx:reporting")["_links"][f"fx:reporting_{report}"]

    answers = [call.api(access_token, link["href"], params=asked) for access_token in (token, None)]

    assert [answer.status_code for answer in answers] == [status, 401]


def test_helpers(call: Caller) -> None:
    """The remaining links of the home page lead somewhere."""
    token = token_of(call, "store_full_access")

    assert call.api(None, "/property_helpers").status_code == 200
    assert call.api(token, "/encode", "POST", data="<a>").json()["result"] == "<a>"
    assert call.api(token, "/stores/1/attributes").status_code == 200


# Integrations


def test_create_integration(foxy: Emulator, call: Caller) -> None:
    """A store makes an integration of its own: a client and its tokens, all in one flat answer."""
    answer = call.store(token_of(call, "store_full_access"), "/integrations", "POST", json={"project_name": "Books"})

    created = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, created["_links"]["self"]["href"])
    auth = (created["client_id"], created["client_secret"])
    refreshed = call.token(auth=auth, grant_type="refresh_token", refresh_token=created["refresh_token"]).json()
    assert refreshed["scope"] == "store_full_access store_id_1"
    assert foxy.is_live(created["access_token"])


def test_integration(foxy: Emulator, call: Caller) -> None:
    """An integration tells who has access, since when, and who gave it."""
    token = foxy.grant()

    listed = follow(call, token.access_token, "fx:store", "fx:integrations")["_embedded"]["fx:integrations"]
    shown = call.api(token.access_token, listed[0]["_links"]["self"]["href"]).json()

    assert [shown] == listed
    assert (shown["client_id"], shown["scope"]) == (foxy.client_id, token.scope)
    assert shown["expires"] == (token.obtained_at or 0) + 315_360_000
    assert (shown["added_by_name"], shown["project_name"]) == ("Robin Example", "Example Integration")
    assert set(shown["_links"]) == {"curies", "self", "fx:user", "fx:store", "fx:client"}


def test_delete_integration(foxy: Emulator, call: Caller) -> None:
    """Deleting an integration ends all tokens of that client, user and scope, and no other."""
    kept = foxy.grant("user_full_access")
    gone = [foxy.grant() for _ in range(2)]
    created = call.store(gone[0].access_token, "/integrations", "POST", json={"project_name": "Books"}).json()
    listed = follow(call, gone[0].access_token, "fx:store", "fx:integrations")["_embedded"]["fx:integrations"]

    answer = call.api(gone[1].access_token, listed[0]["_links"]["self"]["href"], "DELETE")

    assert answer.status_code == 200
    assert foxy.live_access_tokens == [kept.access_token, created["access_token"]]
    assert [call.refresh(token.refresh_token).status_code for token in gone] == [400, 400]
    assert call.store(gone[0].access_token).json()["error_description"] == "The access token provided is invalid"


def test_unknown_and_foreign_integration(foxy: Emulator, call: Caller) -> None:
    """An integration that is not there, or is another store's, is refused."""
    token = foxy.grant().access_token
    sent_to = foxy.authorize(
        f"{foxy.url}/authorize?response_type=code&client_id={foxy.client_id}&scope=store_full_access&state=1", store=2
    )
    call.exchange(dict(parse_qsl(urlsplit(sent_to).query))["code"])

    answers = [call.api(token, f"/integrations/{number}") for number in (99, 2)]

    assert [answer.status_code for answer in answers] == [404, 403]


# By links alone


def test_third_party_by_links_alone(foxy: Emulator, call: Caller) -> None:
    """Registering, authorizing, exchanging, refreshing and calling works by following links from the API home."""
    home = call.api(None).json()["_links"]
    client = call.api(None, home["fx:create_client"]["href"], "POST", json=CLIENT).json()
    asked = {"response_type": "code", "client_id": client["client_id"], "scope": "store_full_access", "state": "1"}
    back = dict(parse_qsl(urlsplit(foxy.authorize(f"{foxy.url}/authorize?{urlencode(asked)}", store=2)).query))

    auth = (client["client_id"], client["client_secret"])
    fields = {"grant_type": "authorization_code", "code": back["code"], "redirect_uri": CLIENT["redirect_uri"]}
    token = call.request("POST", home["fx:token"]["href"], auth=auth, data=fields).json()
    fields = {"grant_type": "refresh_token", "refresh_token": token["refresh_token"]}
    refreshed = call.request("POST", home["fx:token"]["href"], auth=auth, data=fields).json()

    store = follow(call, refreshed["access_token"], "fx:store")
    assert store["store_name"] == "Example Coffee"
    integrations = follow(call, refreshed["access_token"], "fx:store", "fx:integrations")["_embedded"][
        "fx:integrations"
    ]
    assert [integration["project_name"] for integration in integrations] == ["Widgets for Foxy"]


def test_white_label_by_links_alone(call: Caller) -> None:
    """A client makes a user, the user a store, and each answer's token opens the next step."""
    home = call.api(None).json()["_links"]
    client = call.api(None, home["fx:create_client"]["href"], "POST", json=CLIENT).json()["token"]["access_token"]
    create_user = call.api(client).json()["_links"]["fx:create_user"]["href"]
    user = call.api(client, create_user, "POST", json=USER).json()["token"]["access_token"]
    create_store = call.api(user).json()["_links"]["fx:stores"]["href"]
    store = call.api(user, create_store, "POST", json=STORE).json()["token"]["access_token"]

    assert follow(call, store, "fx:store")["store_name"] == "Alex's Shop"
