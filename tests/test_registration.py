"""Registering clients and creating users, stores and integrations, each with the token of the one before."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from textwrap import dedent
from threading import Event
from typing import TYPE_CHECKING, Any

import anyio
import anyio.to_thread
import httpx
import httpx2
import pytest
import requests
from support.browser import Browser
from support.opaque_addresses import OpaqueAddresses

from foxy_auth import (
    STORE_FULL_ACCESS,
    USER_FULL_ACCESS,
    Created,
    FoxyAuth,
    LoginRequiredError,
    OAuthClient,
    Registration,
    RegistrationError,
    Token,
    TokenUnavailableError,
    acreate_integration,
    acreate_store,
    acreate_user,
    aregister_client,
    create_integration,
    create_store,
    create_user,
    new_client_id,
    register_client,
)
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from foxy_auth.emulator import Emulator

TIMEOUT = 30.0  # seconds for a response

CLIENT: dict[str, Any] = {
    "redirect_uri": "https://www.example.com/oauth",
    "project_name": "Fake Widgets",
    "company_name": "Fake Widgets & Co",
    "contact_name": "Ann Lee",
    "contact_email": "ann@example.com",
    "contact_phone": "555-0100",
}
FURTHER: dict[str, Any] = {
    "project_description": "Sells w\u00eddgets.",
    "company_url": "https://www.example.com",
    "company_logo": "https://www.example.com/logo.png",
    "javascript_origin_uri": "https://www.example.com",
}
USER: dict[str, Any] = {"first_name": "Ann", "last_name": "Lee", "email": "ann@example.com"}
STORE: dict[str, Any] = {
    "store_name": "Fake Shop",
    "store_domain": "fake-shop",
    "store_url": "https://shop.example.com",
    "store_email": "shop@example.com",
    "postal_code": "55401",
    "region": "MN",
    "country": "US",
}


def register(foxy: Emulator, **options: Any) -> Registration:
    """Register a client with the required fields, unless *options* replace them."""
    return register_client(**{**CLIENT, "environment": foxy.environment, **options})


def client_auth(foxy: Emulator) -> FoxyAuth:
    """Return the auth object of the emulator's first client."""
    client = OAuthClient(foxy.client_id, foxy.client_secret, environment=foxy.environment)
    return FoxyAuth.from_client_credentials(client)


def auth_of(foxy: Emulator, scope: str) -> FoxyAuth:
    """Return the auth object of a grant of the emulator's first user."""
    client = OAuthClient(foxy.client_id, foxy.client_secret, environment=foxy.environment)
    return client.auth(foxy.grant(scope))


def get(auth: FoxyAuth, url: str) -> dict[str, Any]:
    """Get a resource."""
    response = requests.get(url, auth=auth, timeout=TIMEOUT)
    assert response.ok, response.text
    return dict(response.json())


def follow(foxy: Emulator, auth: FoxyAuth, *relations: str) -> dict[str, Any]:
    """Get the resource to which *relations* lead from the API home."""
    resource = get(auth, foxy.url)
    for relation in relations:
        resource = get(auth, resource["_links"][relation]["href"])
    return resource


# --- ids -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["widgetsco", "Widgets-Co_2.0", "w"])
def test_a_client_id_is_a_prefix_and_thirty_random_characters(prefix: str) -> None:
    """TERM: "you would append a random string of characters after your prefix", 30 letters and digits of them."""
    import random

    random.seed(1)
    ids = [new_client_id(prefix)]
    random.seed(1)
    ids += [new_client_id(prefix) for _ in range(200)]

    assert len(set(ids)) == 201
    assert {len(one) for one in ids} == {len(prefix) + 30}
    assert {character for one in ids for character in one.removeprefix(prefix)} == {
        *"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    }


@pytest.mark.parametrize("prefix", [None, b"w", 7, "", "a:b", "a b", "\u00e9", "a/b", "\u0663", "w\n"], ids=repr)
def test_an_unusable_prefix(prefix: Any) -> None:
    """R24: a colon would break Basic authentication; other characters are refused as well."""
    with pytest.raises((TypeError, ValueError), match="prefix takes"):
        new_client_id(prefix)


# --- clients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "library", [requests.Session, httpx.Client, httpx2.Client], ids=["requests", "httpx", "httpx2"]
)
def test_registering_a_client(foxy: Emulator, library: Callable[[], Any]) -> None:
    """TERM: a client stores "identifying information about your integration"; it comes with id, secret and token."""
    with library() as http:
        made = register(foxy, http=http, **FURTHER)
        kept = follow(foxy, made.auth, "fx:client")

    assert {name: kept[name] for name in [*CLIENT, *FURTHER]} == CLIENT | FURTHER
    assert (kept["client_id"], kept["client_secret"]) == (made.client.client_id, made.client.client_secret)
    assert made.client.redirect_uri == CLIENT["redirect_uri"]
    assert made.url == kept["_links"]["self"]["href"]
    assert made.token.scopes == {"client_full_access"}
    assert made.token.life == 7200
    assert made.token.refresh_token


def test_a_registration_is_kept_as_its_docstring_says(
    foxy: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """R27: only its owner can read the file; what is read from it signs requests, refreshes, and shows no secret."""
    made = register(foxy)
    monkeypatch.chdir(tmp_path)
    example = re.search("```python\n(.*?)```", str(Registration.__doc__), re.DOTALL)
    assert example
    exec(dedent(example[1]), {"registration": made})  # noqa: S102 - our own docstring
    (file,) = tmp_path.iterdir()
    kept = Registration.from_dict(json.loads(file.read_text(encoding="utf-8")))
    foxy.revoke_access_tokens()

    assert file.stat().st_mode & 0o777 == 0o600
    assert follow(foxy, kept.auth, "fx:client")["client_id"] == made.client.client_id
    assert kept.auth.token != kept.token == made.token
    assert kept.to_dict() == made.to_dict()
    assert kept.auth.environment == kept.client.environment == foxy.environment
    assert not [text for text in (made.client.client_secret, made.token.access_token) if text in repr(kept)]


def test_a_kept_registration_leaves_a_newer_token_in_its_store(foxy: Emulator) -> None:
    """R11: the first token serves only until the store has a record, and never replaces it."""
    made = register(foxy)
    store = MemoryStore()
    store.save(newer := made.auth.refresh())
    kept = Registration.from_dict(made.to_dict(), store=store)

    assert kept.auth.refresh(made.token) == newer == store.load()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"client_secret": ...}, "needs the field client_secret", id="no secret"),
        pytest.param({"token": ..., "environment": ...}, "needs the field environment and token", id="two"),
        pytest.param({"client_secret": 7}, "client_secret takes text, not int", id="secret"),
        pytest.param({"redirect_uri": "no address"}, "redirect_uri must be", id="redirect URI"),
        pytest.param({"environment": "https://api.foxycart.com"}, "environment takes a mapping", id="environment"),
        pytest.param({"environment": {"api": "http://api.foxycart.com"}}, "must be https", id="plain http"),
        pytest.param({"environment": {"api": "https://a.example", "origins": 7}}, "a collection", id="origins"),
        pytest.param({"token": "fake-access-token"}, "takes a mapping, not str", id="token"),
        pytest.param({"url": 7}, "url takes text, not int", id="URL"),
    ],
)
def test_what_is_no_registration(foxy: Emulator, changes: dict[str, Any], message: str) -> None:
    """R24: a kept registration that was edited wrongly is refused by a sentence that names the field."""
    kept = {**register(foxy).to_dict(), **changes}
    fields = {name: value for name, value in kept.items() if value is not ...}

    with pytest.raises((TypeError, ValueError), match=message):
        Registration.from_dict(fields)
    with pytest.raises(TypeError, match="from_dict takes a mapping, not list"):
        Registration.from_dict([fields])  # type: ignore[arg-type]


def test_registering_needs_no_token(foxy: Emulator) -> None:
    """3P: the requests are anonymous and name the version; there are only two if the response has the id."""
    register(foxy)

    assert [(call.method, call.path) for call in foxy.calls] == [("GET", "/"), ("POST", "/clients")]
    assert not [call for call in foxy.calls if "Authorization" in call.headers]
    assert {call.headers["FOXY-API-VERSION"] for call in foxy.calls} == {"1"}
    assert foxy.calls[-1].headers["Content-Type"] == "application/json"


def test_an_id_of_ones_own(foxy: Emulator) -> None:
    """TERM: the id can "be set as a specific value or generated automatically by Foxy"."""
    client_id = new_client_id("widgetsco")
    own, generated = register(foxy, client_id=client_id), register(foxy)

    assert own.client.client_id == client_id
    assert generated.client.client_id not in {"", client_id}
    assert own.client.client_secret != generated.client.client_secret


def test_several_redirect_uris(foxy: Emulator) -> None:
    """Several may be registered, separated by spaces; the client is then made without one."""
    made = register(foxy, redirect_uri="https://a.example/oauth https://b.example/oauth")

    assert made.client.redirect_uri is None
    assert follow(foxy, made.auth, "fx:client")["redirect_uri"] == "https://a.example/oauth https://b.example/oauth"


def test_id_and_secret_are_read_from_the_client_if_the_response_has_none(foxy: Emulator) -> None:
    """TERM: a recorded response has neither id nor secret; the client's own resource, `fx:client`, does."""
    foxy.hide_new_client = True
    kept: list[Token] = []
    made = register(foxy, on_token=kept.append)
    foxy.clear_calls()

    assert follow(foxy, made.auth, "fx:client")["client_secret"] == made.client.client_secret
    assert made.auth.refresh().access_token != made.token.access_token
    assert kept[0] == made.token


@pytest.mark.parametrize(
    ("self_link", "location", "path"),
    [
        pytest.param("/clients/7", None, "/clients/7", id="relative link"),
        pytest.param(None, "/clients/7", "/clients/7", id="relative header"),
        pytest.param("/clients/7", "/clients/8", "/clients/7", id="link before header"),
        pytest.param(None, None, None, id="neither"),
    ],
)
def test_the_address_is_absolute(foxy: Emulator, self_link: str | None, location: str | None, path: str | None) -> None:
    """RFC 9110, section 10.2.2: the address is in the link `self` or the header Location, and may be relative."""
    secrets = {"client_id": "FakeClient", "client_secret": "FakeSecret"}
    links = {"_links": {"self": {"href": self_link}}} if self_link else {}
    body = {**links, **secrets, "token": foxy.grant("client_full_access").to_dict()}
    foxy.fail(201, body=body, headers={"Location": location} if location else {}, path="/clients")

    assert register(foxy).url == (path and foxy.url + path)


def test_a_taken_id(foxy: Emulator) -> None:
    """TERM: an id is unique, so one that is taken is refused."""
    with pytest.raises(RegistrationError, match="client_id has already been taken") as caught:
        register(foxy, client_id=foxy.client_id)

    assert caught.value.messages == ("client_id has already been taken",)
    assert caught.value.status == 400


def test_every_fault_is_listed(foxy: Emulator) -> None:
    """A HAL error has an entry for each fault, and the error a message."""
    with pytest.raises(RegistrationError) as caught:
        register(foxy, project_name="", contact_email="nobody", contact_phone="x" * 201)

    assert caught.value.messages == (
        "project_name can't be blank, project_name is too short (minimum is 1 characters)",
        "contact_email is not a valid email address.",
        "contact_phone is too long (maximum is 200 characters)",
    )
    assert all(message in str(caught.value) for message in caught.value.messages)


def test_a_missing_field_is_named(foxy: Emulator) -> None:
    """R24: each required field that is empty is named by the API; None and unknown names are refused at once."""
    for name in CLIENT:
        with pytest.raises(RegistrationError, match=f"{name} can't be blank"):
            register(foxy, **{name: ""})
        with pytest.raises(TypeError, match=f"{name} takes text, not NoneType"):
            register(foxy, **{name: None})
    with pytest.raises(TypeError, match="project"):
        register(foxy, project="x")


@pytest.mark.parametrize(
    ("status", "body", "messages"),
    [
        pytest.param(400, {"error": "invalid_request", "error_description": "No."}, ("No.",), id="OAuth"),
        pytest.param(403, {"error": "insufficient_scope"}, ("insufficient_scope",), id="OAuth without description"),
        pytest.param(
            400,
            {"total": 2, "_embedded": {"fx:errors": [{"logref": "id-1", "message": "a"}, {"message": "b", "code": 1}]}},
            ("a", "b"),
            id="HAL",
        ),
        pytest.param(
            400,
            {"_embedded": {"fx:errors": [{"message": "a"}, {"logref": "id-2"}, {"message": None}, {"message": 7}]}},
            ("a",),
            id="HAL with gaps",
        ),
        pytest.param(400, {"_embedded": {"fx:errors": [{"message": "a"}] * 1000}}, ("a",) * 50, id="HAL without end"),
        pytest.param(400, {"_embedded": {"fx:errors": "No."}}, (), id="HAL of another form"),
        pytest.param(400, [{"message": "No."}], (), id="a list"),
        pytest.param(404, "<html>", (), id="HTML"),
        pytest.param(302, "", (), id="redirect"),
    ],
)
def test_the_messages_of_a_refusal(foxy: Emulator, status: int, body: object, messages: tuple[str, ...]) -> None:
    """R14: a refusal is a `RegistrationError` with the messages of HAL or OAuth, whatever else comes."""
    foxy.fail(status, body=body, path="/clients")
    with pytest.raises(RegistrationError, match=f"the API refused \\({status}\\)") as caught:
        register(foxy)

    assert caught.value.messages == messages
    assert caught.value.status == status


@pytest.mark.parametrize("status", [429, 500, 503])
def test_an_unavailable_api_is_not_a_refusal(foxy: Emulator, status: int) -> None:
    """R13: 429 and 5xx mean: try later, after the seconds that the API asks for."""
    foxy.fail(status, headers={"Retry-After": "7"}, path="/clients")
    with pytest.raises(TokenUnavailableError, match="try later") as caught:
        register(foxy)

    assert caught.value.retry_after == 7
    assert [call.path for call in foxy.calls] == ["/", "/clients"]


def test_a_lost_response_is_not_requested_again(foxy: Emulator) -> None:
    """R13: the client may exist, so a second one is not registered."""
    foxy.drop(path="/clients", after=True)
    with pytest.raises(TokenUnavailableError):
        register(foxy)

    assert [call.path for call in foxy.calls] == ["/", "/clients"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"message": "client 7 created successfully."}, id="no token"),
        pytest.param({"token": {"access_token": ""}}, id="empty token"),
        pytest.param({"token": None}, id="null"),
        pytest.param({"token": "FakeToken"}, id="text"),
        pytest.param({"token": {"access_token": "FakeToken", "token_type": "mac"}}, id="no bearer token"),
        pytest.param("<html>", id="HTML"),
    ],
)
def test_a_creation_that_brings_no_token(foxy: Emulator, body: object) -> None:
    """R14: something that was created without a token is told as such, because a retry would create another."""
    foxy.fail(201, body=body, path="/clients")
    with pytest.raises(RegistrationError, match="its response has no token") as caught:
        register(foxy)

    assert caught.value.status == 201


@pytest.mark.parametrize("kind", ["client", "integration"])
@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param({"client_secret": None}, id="no secret"),
        pytest.param({"client_id": 4711}, id="number as id"),
        pytest.param({"client_id": "a:b"}, id="colon in the id"),
        pytest.param({"client_id": "FakeClient "}, id="space after the id"),
        pytest.param({"client_secret": "FakeSecret\u00e4"}, id="secret not ASCII"),
    ],
)
def test_an_unusable_id_or_secret(foxy: Emulator, kind: str, unusable: dict[str, Any]) -> None:
    """R9: with an id or secret that cannot be used, the new token still goes to `on_token`; R23: no error has it."""
    create: Callable[..., Any] = {
        "client": partial(register, foxy),
        "integration": partial(create_integration, auth_of(foxy, STORE_FULL_ACCESS), project_name="Books"),
    }[kind]
    token = foxy.grant("client_full_access").to_dict()
    fields = {"client_id": "FakeClient", "client_secret": "FakeSecret", **unusable}
    foxy.fail(201, body={**fields, "token": token}, path="/clients")
    foxy.fail(201, body={**fields, **token}, path="/stores/1/integrations")
    foxy.fail(200, body=fields, path="/clients/1")
    kept: list[Token] = []
    with pytest.raises(RegistrationError, match="and its token went to on_token") as caught:
        create(on_token=kept.append)

    assert caught.value.status == 201
    assert "FakeSecret" not in str(caught.value)
    assert [one.access_token for one in kept] == [token["access_token"]]


@pytest.mark.parametrize("status", [401, 500])
def test_a_client_whose_resource_cannot_be_read(foxy: Emulator, status: int) -> None:
    """R9: if the new client's resource cannot be read, the new token still goes to `on_token`."""
    foxy.hide_new_client = True
    foxy.fail(status, body={"error": "odd"}, path="/clients/2")
    kept: list[Token] = []
    with pytest.raises(RegistrationError, match=rf"its client id and secret could not be read \(.*{status}") as caught:
        register(foxy, on_token=kept.append)

    assert caught.value.status == 201
    assert foxy.is_live(kept[0].access_token)


# --- users ---------------------------------------------------------------------------------------------------------


def test_creating_a_user(foxy: Emulator) -> None:
    """TERM: client_full_access "allows the creation of users"; the response brings a token for the user."""
    fields = {**USER, "phone": "555-0101", "affiliate_id": 7, "is_programmer": True, "is_designer": False}
    user = create_user(client_auth(foxy), **fields, is_front_end_developer=True, is_merchant=False)
    kept = follow(foxy, user.auth, "fx:user")

    assert {name: kept[name] for name in USER} == USER
    assert [kept[name] for name in ("phone", "affiliate_id", "is_programmer", "is_designer")] == [
        "555-0101",
        "7",
        "1",
        "0",
    ]
    assert user.token.scopes == {USER_FULL_ACCESS}
    assert user.url == kept["_links"]["self"]["href"]


def test_a_captcha_is_sent_along(foxy: Emulator) -> None:
    """The provider requires `h-captcha-code` of those whom it has not exempted."""
    foxy.require_captcha = True
    auth = client_auth(foxy)
    with pytest.raises(RegistrationError, match="h-captcha-code header is required"):
        create_user(auth, **USER)
    create_user(auth, **USER, captcha_code="FakeCaptcha")

    assert foxy.calls[-1].headers["h-captcha-code"] == "FakeCaptcha"


def test_a_taken_address(foxy: Emulator) -> None:
    """A user's email address is the login, so it is unique."""
    auth = client_auth(foxy)
    create_user(auth, **USER)
    with pytest.raises(RegistrationError) as caught:
        create_user(auth, **{**USER, "last_name": ""})

    assert len(caught.value.messages) == 2
    assert "email has already been taken" in caught.value.messages


@pytest.mark.parametrize("scope", [USER_FULL_ACCESS, STORE_FULL_ACCESS])
def test_only_a_client_creates_users(foxy: Emulator, scope: str) -> None:
    """TERM: the API home of another scope has no link `fx:create_user`, and the error asks for the right one."""
    with pytest.raises(RegistrationError, match=r"no link fx:create_user here; does the token have the right scope\?"):
        create_user(auth_of(foxy, scope), **USER)

    assert [call.method for call in foxy.calls] == ["GET"]


# --- stores --------------------------------------------------------------------------------------------------------


def test_creating_a_store(foxy: Emulator) -> None:
    """TERM: user_full_access serves "creating a new store to be linked to the user"; it brings the store's token."""
    store = create_store(auth_of(foxy, USER_FULL_ACCESS), **STORE, timezone="America/Chicago")
    kept = follow(foxy, store.auth, "fx:store")

    assert {name: kept[name] for name in STORE} == STORE
    assert store.url == kept["_links"]["self"]["href"]
    assert store.token.scopes == {STORE_FULL_ACCESS, f"store_id_{store.token.store_id}"}
    assert kept["_links"]["self"]["href"].endswith(f"/{store.token.store_id}")


def test_users_and_stores_are_many_to_many(foxy: Emulator) -> None:
    """TERM: "a user can be granted access to many stores"; each store has a token of its own."""
    auth = auth_of(foxy, USER_FULL_ACCESS)
    stores = [create_store(auth, **{**STORE, "store_domain": f"shop-{number}"}) for number in range(2)]

    assert len({store.token.store_id for store in stores}) == 2
    assert [get(store.auth, store.url or "")["store_domain"] for store in stores] == ["shop-0", "shop-1"]


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        pytest.param("coffee", "already in use", id="taken"),
        pytest.param("fake-internal", "may not end in -internal", id="reserved"),
        pytest.param("", "can't be blank", id="blank"),
    ],
)
def test_a_domain_that_is_refused(foxy: Emulator, domain: str, message: str) -> None:
    """A store's domain is refused with the provider's message."""
    with pytest.raises(RegistrationError, match=message):
        create_store(auth_of(foxy, USER_FULL_ACCESS), **{**STORE, "store_domain": domain})


# --- integrations --------------------------------------------------------------------------------------------------


def test_creating_an_integration(foxy: Emulator) -> None:
    """What "Get Token" does in Foxy's admin: a client and a token for one store; its deletion ends both."""
    owner = auth_of(foxy, STORE_FULL_ACCESS)
    kept: list[Token] = []
    made = create_integration(owner, project_name="Books", project_description="Keeps them.", on_token=kept.append)
    store = follow(foxy, made.auth, "fx:store")
    refreshed = made.auth.refresh()
    ended = requests.delete(made.url or "", auth=owner, timeout=TIMEOUT)
    with pytest.raises(LoginRequiredError):
        made.auth.refresh()

    assert store["_links"]["self"]["href"] == foxy.store_url
    assert made.client.client_id not in {"", foxy.client_id}
    assert kept == [made.token, refreshed]
    assert ended.ok


@pytest.mark.parametrize("library", [requests.Session, httpx.Client], ids=["requests", "httpx"])
def test_a_store_of_many_attributes_has_integrations(foxy: Emulator, library: Callable[[], Any]) -> None:
    """R14: a store may embed many attributes of its owner's."""
    attributes = [{"name": f"name-{number}", "value": "x" * 1000} for number in range(80)]
    links = {"fx:integrations": {"href": f"{foxy.store_url}/integrations"}}
    foxy.fail(200, body={"_links": links, "_embedded": {"fx:attributes": attributes}}, path=foxy.store_url)
    with library() as http:
        client = OAuthClient(foxy.client_id, foxy.client_secret, environment=foxy.environment, http=http)
        made = create_integration(client.auth(foxy.grant(STORE_FULL_ACCESS)), project_name="Books")

    assert foxy.is_live(made.token.access_token)


def test_only_a_store_has_integrations(foxy: Emulator) -> None:
    """The API home of another scope links to no store."""
    with pytest.raises(RegistrationError, match="no link fx:store here"):
        create_integration(auth_of(foxy, USER_FULL_ACCESS), project_name="Books")


# --- all of them ----------------------------------------------------------------------------------------


def test_every_address_is_found_by_links(foxy: Emulator) -> None:
    """3P, TERM: client, user, store, integration, consent, refresh, request: every address is found by links."""
    with OpaqueAddresses(foxy) as maze, Browser() as browser:
        made = register_client(**CLIENT, environment=maze.environment)
        user = create_user(made.auth, **USER)
        store = create_store(user.auth, **STORE)
        integration = create_integration(store.auth, project_name="Books")
        request = made.client.authorization_request(STORE_FULL_ACCESS)
        token = made.client.fetch_token(browser.decide(request.url), request=request)
        auths = [made.auth, user.auth, store.auth, integration.auth, made.client.auth(token)]
        for auth in auths:
            auth.refresh()
        homes = [get(auth, maze.home) for auth in auths]

    assert maze.lost == []
    assert [
        next(name for name in ("fx:client", "fx:store", "fx:user") if name in home["_links"]) for home in homes
    ] == ["fx:client", "fx:user", "fx:store", "fx:store", "fx:store"]


@pytest.mark.parametrize("path", ["/", "/clients/2"])
def test_a_link_to_another_origin_is_not_followed(foxy: Emulator, path: str) -> None:
    """R1: the client's fields and its token go to the environment's origins only."""
    foxy.hide_new_client = True
    links = {name: {"href": f"{foxy.elsewhere.url}/x"} for name in ("fx:create_client", "fx:client")}
    if path != "/":
        links["fx:create_client"] = {"href": f"{foxy.url}/clients"}
    foxy.fail(200, body={"_links": links}, path="/", times=2)
    with pytest.raises(RegistrationError, match="leads to another origin; nothing was sent there"):
        register(foxy)

    assert foxy.elsewhere.calls == []


def test_an_expired_token_is_refreshed_on_the_way(foxy: Emulator) -> None:
    """R5: an expired token is refreshed before the store is created, once."""
    auth = auth_of(foxy, USER_FULL_ACCESS)
    foxy.expire_access_tokens()
    create_store(auth, **STORE)

    assert len(foxy.token_calls) == 1
    assert [call.status for call in foxy.calls if call.path.endswith("/stores")] == [201]


def test_a_revoked_grant_requires_a_login(foxy: Emulator) -> None:
    """R12: the auth object's own error is raised."""
    auth = auth_of(foxy, USER_FULL_ACCESS)
    foxy.revoke_access_tokens()
    foxy.revoke_refresh_tokens()
    with pytest.raises(LoginRequiredError):
        create_store(auth, **STORE)


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_every_token_refreshes_by_itself(foxy: Emulator, library: str) -> None:
    """R19: each new token has an auth object of its own, which refreshes it and calls `on_token`."""
    kept: list[list[Token]] = [[], [], []]
    made = register(foxy, on_token=kept[0].append)
    user = create_user(made.auth, **USER, on_token=kept[1].append)
    store = create_store(user.auth, **STORE, on_token=kept[2].append)
    first, auths = [made.token, user.token, store.token], [made.auth, user.auth, store.auth]
    foxy.expire_access_tokens()
    foxy.clear_calls()
    send: Any = {"requests": requests.get, "httpx": httpx.get}[library]
    statuses = [send(foxy.url, auth=auth, timeout=TIMEOUT).status_code for auth in auths]

    assert statuses == [200, 200, 200]
    assert len(foxy.token_calls) == 3
    assert kept == [[token, auth.token] for token, auth in zip(first, auths, strict=True)]


def test_tokens_are_delivered_one_by_one(foxy: Emulator) -> None:
    """R19: each of three tokens goes to its own `on_token` before the next step begins."""
    kept: list[tuple[str, str, int]] = []

    def keep(name: str, token: Token) -> None:
        kept.append((name, token.scope.split()[0], len(foxy.calls)))

    made = register(foxy, on_token=partial(keep, "client"))
    user = create_user(made.auth, **USER, on_token=partial(keep, "user"))
    create_store(user.auth, **STORE, on_token=partial(keep, "store"))

    assert kept == [
        ("client", "client_full_access", 2),
        ("user", "user_full_access", 4),
        ("store", "store_full_access", 6),
    ]


FIELDS: dict[Callable[..., Any], dict[str, Any]] = {
    register_client: {**CLIENT, **FURTHER},
    create_user: {**USER, "phone": "555-0101", "captcha_code": "FakeCaptcha"},
    create_store: STORE,
    create_integration: {"project_name": "Books", "project_description": "Keeps them."},
}


@pytest.mark.parametrize("create", [create_user, create_store, create_integration])
def test_an_auth_argument_of_another_type(create: Callable[..., Any]) -> None:
    """R24: only a `FoxyAuth` creates something, and R23: the error shows no secret."""
    for auth in (None, "FakeToken", ("id", "FakeSecret")):
        with pytest.raises(TypeError, match="auth takes the FoxyAuth") as caught:
            create(auth, **FIELDS[create])

        assert "Fake" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"on_token": 7}, "on_token takes", id="callback"),
        pytest.param({"client_id": "a:b"}, "colon", id="colon in the id"),
        pytest.param({"client_id": ""}, "client_id is empty", id="empty id"),
        pytest.param({"client_id": 7}, "client_id takes text", id="id"),
        pytest.param({"environment": "https://api.foxycart.com"}, "environment takes", id="environment"),
        pytest.param({"timeout": -1}, "timeout takes", id="timeout"),
        pytest.param({"http": httpx.AsyncClient()}, "synchronous client", id="async client"),
        pytest.param({"api_version": 1}, "api_version takes", id="version"),
    ],
)
def test_wrong_arguments_are_refused_at_once(foxy: Emulator, options: dict[str, Any], message: str) -> None:
    """R24: wrong use fails before anything is sent."""
    with pytest.raises((TypeError, ValueError), match=message):
        register(foxy, **options)

    assert foxy.calls == []


@pytest.mark.parametrize("create", FIELDS)
def test_values_that_are_not_text_are_refused_at_once(foxy: Emulator, create: Callable[..., Any]) -> None:
    """R24: a value that is not text is refused before anything is sent, let alone created."""
    grant = [] if create is register_client else [auth_of(foxy, USER_FULL_ACCESS)]
    options = {"environment": foxy.environment} if create is register_client else {}
    for name in FIELDS[create]:
        for value in (5, ["https://a.example/cb"]):
            with pytest.raises(TypeError, match=f"^{name} takes text, not {type(value).__name__}"):
                create(*grant, **{**FIELDS[create], name: value}, **options)

    assert foxy.calls == []


def test_no_repr_shows_a_secret(foxy: Emulator) -> None:
    """R23: the result of a registration can be logged."""
    made = register(foxy)
    user = create_user(made.auth, **USER)
    text = f"{made!r} {user!r} {made!s} {user!s}"
    secrets = [made.client.client_secret, made.token.access_token, user.token.access_token]
    secrets += [made.token.refresh_token or "", user.token.refresh_token or ""]

    assert not [secret for secret in secrets if secret in text]
    assert made.client.client_id in text


# --- async ---------------------------------------------------------------------------------------------------------


def async_versions(foxy: Emulator) -> dict[str, tuple[str, Callable[[], Awaitable[Created | Registration]]]]:
    """Return the path to which each async function POSTs, and a call of it."""
    user, store = auth_of(foxy, USER_FULL_ACCESS), auth_of(foxy, STORE_FULL_ACCESS)
    client = client_auth(foxy)
    return {
        "client": ("/clients", lambda: aregister_client(**CLIENT, environment=foxy.environment)),
        "user": ("/users", lambda: acreate_user(client, **USER)),
        "store": ("/users/1/stores", lambda: acreate_store(user, **STORE)),
        "integration": ("/stores/1/integrations", lambda: acreate_integration(store, project_name="Books")),
    }


@pytest.mark.parametrize("kind", ["client", "user", "store", "integration"])
async def test_async_versions_never_block_the_loop(foxy: Emulator, kind: str) -> None:
    """The event loop goes on while the API has not responded, on asyncio and on trio."""
    path, call = async_versions(foxy)[kind]
    made: list[Created | Registration] = []

    async def make() -> None:
        made.append(await call())

    with foxy.hold(path) as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(make)
            await anyio.to_thread.run_sync(latch.wait_for)
            before = list(made)
            latch.release()
    async with httpx.AsyncClient(auth=made[0].auth) as http:
        response = await http.get(foxy.url)

    assert before == []
    assert response.status_code == 200


async def test_async_callbacks_get_every_token(foxy: Emulator) -> None:
    """R20: an async `on_token` runs on the caller's event loop, and has the token before the function returns."""
    kept: list[Token] = []

    async def keep(token: Token) -> None:
        await anyio.lowlevel.checkpoint()
        kept.append(token)

    made = await aregister_client(**CLIENT, environment=foxy.environment, on_token=keep)
    user = await acreate_user(made.auth, **USER, on_token=keep)

    assert kept == [made.token, user.token]


async def test_a_cancelled_task_loses_no_token(foxy: Emulator) -> None:
    """R9: a task that is cancelled before the API responds ends at once; `on_token` gets the token."""
    auth = client_auth(foxy)
    kept: list[Token] = []
    saved = Event()

    def keep(token: Token) -> None:
        kept.append(token)
        saved.set()

    with foxy.hold("/users") as latch:
        async with anyio.create_task_group() as group:
            group.start_soon(partial(acreate_user, auth, **USER, on_token=keep))
            await anyio.to_thread.run_sync(latch.wait_for)
            group.cancel_scope.cancel()
        before = list(kept)
        latch.release()
        await anyio.to_thread.run_sync(saved.wait, TIMEOUT)

    assert before == []
    assert [foxy.is_live(token.access_token) for token in kept] == [True]


# --- killed in between ---------------------------------------------------------------------------------------------

WHITE_LABEL = """
import json, os, sys
from functools import partial
from foxy_auth import Environment, create_integration, create_store, create_user, register_client

url, path = sys.argv[1:]
fields = json.load(sys.stdin)
kept = {}

def keep(name, token):
    kept[name] = token.to_dict()
    with open(path + ".new", "w") as file:
        json.dump(kept, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)

made = register_client(**fields["client"], environment=Environment(api=url), on_token=partial(keep, "client"))
user = create_user(made.auth, **fields["user"], on_token=partial(keep, "user"))
store = create_store(user.auth, **fields["store"], on_token=partial(keep, "store"))
create_integration(store.auth, project_name="Books", on_token=partial(keep, "integration"))
print("done")
"""


@contextmanager
def white_label_run(foxy: Emulator, path: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the white-label program in a process, and make sure that it ends."""
    command = [sys.executable, "-c", WHITE_LABEL, foxy.url, str(path)]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert program.stdin is not None
    program.stdin.write(json.dumps({"client": CLIENT, "user": USER, "store": STORE}))
    program.stdin.close()
    program.stdin = None
    try:
        yield program
    finally:
        program.kill()
        program.communicate()


@pytest.mark.parametrize(
    ("held", "names"),
    [
        pytest.param("/clients/2", ["client"], id="before the secret is known"),
        pytest.param("/stores/3/integrations", ["client", "user", "store"], id="before the integration"),
    ],
)
def test_a_killed_run_has_kept_its_tokens(foxy: Emulator, tmp_path: Path, held: str, names: list[str]) -> None:
    """R9: a white-label run that is killed (SIGKILL) has given each earlier token to `on_token`, and each is good."""
    path = tmp_path / "tokens.json"
    foxy.hide_new_client = held == "/clients/2"
    with foxy.hold(held) as latch, white_label_run(foxy, path) as program:
        latch.wait_for(timeout=20)
        program.kill()
        code = program.wait()
    kept = {name: Token.from_dict(fields) for name, fields in json.loads(path.read_text()).items()}

    assert code == -9
    assert list(kept) == names
    assert all(foxy.is_live(token.access_token) and token.refresh_token for token in kept.values())


def test_a_killed_run_can_be_resumed(foxy: Emulator, tmp_path: Path) -> None:
    """R9: the client's token alone gets the client's secret, so the run can go on where it was killed."""
    path = tmp_path / "tokens.json"
    with foxy.hold("/users") as latch, white_label_run(foxy, path) as program:
        latch.wait_for(timeout=20)
        program.kill()
        program.wait()
    token = Token.from_dict(json.loads(path.read_text())["client"])
    blind = FoxyAuth(client_id="unknown", client_secret="unknown", token=token, environment=foxy.environment)
    fields = follow(foxy, blind, "fx:client")
    client = OAuthClient(fields["client_id"], fields["client_secret"], environment=foxy.environment)
    # The request under way when the run was killed has created a user, so this is another.
    user = create_user(client.auth(token), **{**USER, "email": "bea@example.com"})

    assert user.token.scopes == {USER_FULL_ACCESS}
    assert client.refresh_token(token).scopes == {"client_full_access"}


def test_a_run_that_is_not_killed_ends(foxy: Emulator, tmp_path: Path) -> None:
    """R19: the program of the tests above, left alone, ends with four tokens."""
    path = tmp_path / "tokens.json"
    with white_label_run(foxy, path) as program:
        printed, _ = program.communicate(timeout=20)

    assert printed == "done\n"
    assert list(json.loads(path.read_text())) == ["client", "user", "store", "integration"]
