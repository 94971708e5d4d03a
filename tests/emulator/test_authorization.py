"""The authorization endpoint: its errors in their order, the page that asks, and the way back."""

from __future__ import annotations

import base64
import hashlib
import re
from html import unescape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

if TYPE_CHECKING:
    import requests
    from emulator.conftest import Caller, Clock

    from foxy_auth.emulator import Emulator

CALLBACK = "https://integration.example/oauth/callback"
NO_CLIENT, UNKNOWN_CLIENT = "No client id supplied", "The client id supplied is invalid"
MISMATCH = "The redirect URI provided is missing or does not match"
NO_ADDRESS = "The redirect URI is not an address"
SEVERAL = "A redirect URI must be supplied when multiple redirect URIs are registered"
RFC = "http://tools.ietf.org/html/rfc6749#section-"

# Changes to a good request, the registered address, what is answered. Each request has all later faults too.
SHOWN = [
    pytest.param({"client_id": ""}, CALLBACK, {"error": "invalid_client", "error_description": NO_CLIENT}, id="no id"),
    pytest.param(
        {"client_id": "client_x"},
        CALLBACK,
        {"error": "invalid_client", "error_description": UNKNOWN_CLIENT},
        id="unknown id",
    ),
    pytest.param(
        {"redirect_uri": "https://other.example/#part"},
        CALLBACK,
        {"error": "invalid_uri", "error_description": "The redirect URI must not contain a fragment"},
        id="fragment",
    ),
    pytest.param(
        {"redirect_uri": CALLBACK + "/"},
        CALLBACK,
        {"error": "redirect_uri_mismatch", "error_description": MISMATCH, "error_uri": f"{RFC}3.1.2"},
        id="another address",
    ),
    pytest.param(
        {"redirect_uri": "http://[x"},
        CALLBACK,
        {"error": "redirect_uri_mismatch", "error_description": MISMATCH, "error_uri": f"{RFC}3.1.2"},
        id="no address at all",
    ),
    pytest.param({}, "http://[x", {"error": "invalid_uri", "error_description": NO_ADDRESS}, id="registered as well"),
    pytest.param(
        {"redirect_uri": "http://[x"},
        "",
        {"error": "invalid_uri", "error_description": NO_ADDRESS},
        id="none registered",
    ),
    pytest.param(
        {}, "", {"error": "invalid_uri", "error_description": "No redirect URI was supplied or stored"}, id="no address"
    ),
    pytest.param(
        {},
        f"{CALLBACK} {CALLBACK}/2",
        {"error": "invalid_uri", "error_description": SEVERAL, "error_uri": f"{RFC}3.1.2.3"},
        id="several addresses",
    ),
]

TYPE_MISSING, NO_IMPLICIT = "Invalid or missing response type", "implicit grant type not supported"
SCOPE_UNKNOWN, SCOPE_MISSING = (
    "An unsupported scope was requested",
    "This application requires you specify a scope parameter",
)
NOT_ALLOWED = "The grant type is unauthorized for this client_id"

# Fields of a request, grant types allowed, error, description, whether `state` comes back.
SENT_BACK = [
    pytest.param({"response_type": ""}, True, "invalid_request", TYPE_MISSING, id="no response type"),
    pytest.param({"response_type": "id_token"}, True, "invalid_request", TYPE_MISSING, id="unknown response type"),
    pytest.param({"response_type": "token"}, True, "unsupported_response_type", NO_IMPLICIT, id="implicit"),
    pytest.param({"response_type": "code"}, False, "unauthorized_client", NOT_ALLOWED, id="grant type not allowed"),
    pytest.param({"response_type": "code", "scope": "x"}, True, "invalid_scope", SCOPE_UNKNOWN, id="unknown scope"),
    pytest.param({"response_type": "code"}, True, "invalid_client", SCOPE_MISSING, id="no scope"),
]


def address(foxy: Emulator, **changes: str) -> str:
    """Make an authorization request; empty fields are left out."""
    good = {"response_type": "code", "client_id": foxy.client_id, "scope": "store_full_access", "state": "s/1 &"}
    fields = {name: value for name, value in {**good, **changes}.items() if value}
    return f"{foxy.url}/authorize?{urlencode(fields)}"


def query(url: str | None) -> dict[str, str]:
    """Read the parameters of an address."""
    return dict(parse_qsl(urlsplit(url or "").query))


@pytest.mark.parametrize(("changes", "registered", "error"), SHOWN)
def test_error_that_is_shown(
    foxy: Emulator, call: Caller, changes: dict[str, str], registered: str, error: dict[str, str]
) -> None:
    """While client and address are in doubt, an error is shown as JSON and the browser is sent nowhere."""
    foxy.redirect_uri = registered

    answer = call.request("GET", address(foxy, response_type="", scope="x", state="", **changes))

    assert (answer.status_code, answer.json(), "Location" in answer.headers) == (400, error, False)


@pytest.mark.parametrize(("fields", "allowed", "error", "description"), SENT_BACK)
@pytest.mark.parametrize("state", ["s 1", ""])
def test_error_that_is_sent_back(
    foxy: Emulator, call: Caller, *, fields: dict[str, str], allowed: bool, error: str, description: str, state: str
) -> None:
    """Other errors are sent back to the client, with the state if there was one."""
    foxy.grant_types = ("authorization_code",) if allowed else ()

    answer = call.request("GET", address(foxy, **{"response_type": "", "scope": "", "state": state, **fields}))

    expected = urlencode({"error": error, "error_description": description} | ({"state": state} if state else {}))
    assert (answer.status_code, answer.headers["Location"]) == (302, f"{CALLBACK}?{expected}")


def test_no_state(foxy: Emulator, call: Caller) -> None:
    """A request without a state is sent back without one."""
    answer = call.request("GET", address(foxy, state=""))

    expected = {"error": "invalid_request", "error_description": "The state parameter is required"}
    assert query(answer.headers["Location"]) == expected


def test_registered_address_with_a_query(foxy: Emulator) -> None:
    """An address that has a query already keeps it."""
    foxy.redirect_uri = f"{CALLBACK}?tenant=1"

    sent_to = foxy.authorize(address(foxy))

    assert sent_to.startswith(f"{CALLBACK}?tenant=1&code=")
    assert query(sent_to)["state"] == "s/1 &"


def test_allowing(foxy: Emulator, call: Caller) -> None:
    """Allow brings a code, and the code a token for the store that was chosen."""
    sent_to = foxy.authorize(address(foxy), store=2)
    token = call.exchange(query(sent_to)["code"]).json()

    assert token["scope"] == "store_full_access store_id_2"
    assert call.api(token["access_token"], "/stores/2").json()["store_name"] == "Example Coffee"


def test_allowing_for_a_user(foxy: Emulator, call: Caller) -> None:
    """A request for the user's own scope asks for no store and opens none."""
    page = call.request("GET", address(foxy, scope="user_full_access"))
    token = call.exchange(query(foxy.authorize(address(foxy, scope="user_full_access")))["code"]).json()

    assert 'name="store"' not in page.text
    assert token["scope"] == "user_full_access"
    assert "fx:user" in call.api(token["access_token"]).json()["_links"]


def test_signing_in(foxy: Emulator, call: Caller) -> None:
    """Somebody else can sign in, is asked by name, and gives access to a store of theirs."""
    client = foxy.grant("client_full_access").access_token
    sent = {"first_name": "Alex", "last_name": "Example", "email": "alex@shop.example"}
    user = call.api(client, "/users", "POST", json=sent).json()["token"]["access_token"]
    foxy.sign_in("alex@shop.example")

    page = call.request("GET", address(foxy)).text
    sent_to = foxy.authorize(address(foxy, scope="user_full_access"))

    assert "Signed in as alex@shop.example" in page
    assert "You have no store yet" in page
    assert re.findall(r"<button.*?>(.*?)</button>", page) == ["Deny"]
    assert "/users/2" in call.api(call.exchange(query(sent_to)["code"]).json()["access_token"]).text
    assert call.api(user, "/users/2").status_code == 200
    with pytest.raises(ValueError, match="no user has the address"):
        foxy.sign_in("nobody@shop.example")


def test_denying(foxy: Emulator) -> None:
    """Deny is told to the client in the provider's words."""
    denied = {"error": "access_denied", "error_description": "The user denied access to your application"}

    assert query(foxy.authorize(address(foxy), allow=False)) == {**denied, "state": "s/1 &"}


def test_refused_before_asking(foxy: Emulator) -> None:
    """What goes back without asking is returned at once; what cannot go back is an error of the caller's."""
    assert query(foxy.authorize(address(foxy, scope="x")))["error"] == "invalid_scope"
    with pytest.raises(ValueError, match="No client id supplied"):
        foxy.authorize(address(foxy, client_id=""))
    with pytest.raises(ValueError, match="400"):
        foxy.authorize(address(foxy), store=99)


def test_address_that_was_named(foxy: Emulator, call: Caller) -> None:
    """A code whose request named the address is exchanged only with that address."""
    codes = [query(foxy.authorize(address(foxy, redirect_uri=CALLBACK)))["code"] for _ in range(2)]

    without, with_it = call.exchange(codes[0]), call.exchange(codes[1], redirect_uri=CALLBACK)

    assert (without.json()["error"], with_it.status_code) == ("redirect_uri_mismatch", 200)


def test_life_of_a_code(foxy: Emulator, call: Caller, clock: Clock) -> None:
    """The code of a consent is good for 30 seconds."""
    code = query(foxy.authorize(address(foxy)))["code"]

    clock.now += 30

    assert call.exchange(code).json()["error_description"] == "The authorization code has expired"


def test_granular_scopes(foxy: Emulator, call: Caller) -> None:
    """Granular scopes are unknown unless switched on; the page puts them in plain words; they open no store."""
    scope = "coupons_read stores_read transactions_write webhooks_resend"
    refused = foxy.authorize(address(foxy, scope=scope))
    foxy.granular_scopes = True

    page = call.request("GET", address(foxy, scope=scope)).text
    token = call.exchange(query(foxy.authorize(address(foxy, scope=scope)))["code"]).json()

    assert query(refused)["error"] == "invalid_scope"
    plain = ["See coupons", "See stores", "See and change transactions", "Resend webhooks"]
    assert re.findall("<li><b>(.*?)</b>", page) == plain
    assert token["scope"] == scope
    assert call.store(token["access_token"]).json()["error"] == "insufficient_scope"


VERIFIER = "v" * 43
S256 = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")

# The challenge and its method, the verifier, whether it goes well.
PKCE = [
    pytest.param(
        {"code_challenge": S256, "code_challenge_method": "S256"}, {"code_verifier": VERIFIER}, True, id="S256"
    ),
    pytest.param(
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"}, {"code_verifier": VERIFIER}, True, id="plain"
    ),
    pytest.param({"code_challenge": VERIFIER}, {"code_verifier": VERIFIER}, True, id="no method means plain"),
    pytest.param(
        {"code_challenge": S256, "code_challenge_method": "S256"}, {"code_verifier": "w" * 43}, False, id="wrong"
    ),
    pytest.param({"code_challenge": S256, "code_challenge_method": "S256"}, {}, False, id="missing"),
    pytest.param({}, {}, True, id="none"),
]


@pytest.mark.parametrize(("challenge", "verifier", "good"), PKCE)
def test_pkce(foxy: Emulator, call: Caller, *, challenge: dict[str, str], verifier: dict[str, str], good: bool) -> None:
    """A challenge that was sent must be met (RFC 7636)."""
    code = query(foxy.authorize(address(foxy, **challenge)))["code"]

    assert (call.exchange(code, **verifier).status_code == 200) == good


def test_bad_challenge(foxy: Emulator) -> None:
    """A challenge of a method that does not exist is told to the client."""
    sent_to = foxy.authorize(address(foxy, code_challenge=S256, code_challenge_method="md5"))

    assert query(sent_to)["error"] == "invalid_request"


# The page


def hidden_fields(page: requests.Response) -> dict[str, str]:
    """Read the hidden fields of the page's form."""
    found: list[tuple[str, str]] = re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page.text)
    return {name: unescape(value) for name, value in found}


def test_page(foxy: Emulator, call: Caller) -> None:
    """The page says who asks for what, lets the user choose a store, and needs no script."""
    page = call.request("GET", address(foxy))

    assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    for text in (
        "Example Integration",
        "Example Widgets Co",
        "everything in the store you choose",
        "robin@stores.example",
    ):
        assert text in page.text
    assert re.findall(r'type="radio" name="store" value="(\d+)" required( checked)?', page.text) == [
        ("1", " checked"),
        ("2", ""),
    ]
    assert re.findall(r"<button.*?>(.*?)</button>", page.text) == ["Deny", "Allow"]
    assert "<script" not in page.text
    assert '<html lang="en">' in page.text


def test_page_cannot_be_framed_or_kept(foxy: Emulator, call: Caller) -> None:
    """The page is not cached, not framed, and tells no other site where the user was."""
    page = call.request("GET", address(foxy))

    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_what_a_client_writes_is_text(foxy: Emulator, call: Caller) -> None:
    """A client's name and links cannot smuggle anything into the page."""
    fields = {
        "redirect_uri": "myapp://callback",
        "project_name": "<script>alert(1)</script>",
        "company_name": '"><img src=x>',
        "company_url": "javascript:alert(1)",
        "company_logo": "data:text/html,x",
        "contact_name": "x",
        "contact_email": "x@x.example",
        "contact_phone": "1",
    }
    client = call.api(None, "/clients", "POST", json=fields).json()

    page = call.request("GET", address(foxy, client_id=client["client_id"], state='"><script>')).text

    assert not re.search("<script|<img|javascript:|data:text", page)
    assert "&lt;script&gt;alert(1)" in page


def test_broken_website(foxy: Emulator, call: Caller) -> None:
    """A website whose address makes no sense leaves the page as it is."""
    token = foxy.grant("client_full_access").access_token
    assert call.api(token, "/clients/1", "PATCH", json={"company_url": "http://[x"}).status_code == 200

    assert "Example Widgets Co" in call.request("GET", address(foxy)).text


def test_name_that_turns_the_text(foxy: Emulator, call: Caller) -> None:
    """A name whose letters run from right to left keeps to itself: the words after it run on as ours do."""
    token = foxy.grant("client_full_access").access_token
    assert call.api(token, "/clients/1", "PATCH", json={"project_name": "\u202eevil"}).status_code == 200

    page = call.request("GET", address(foxy)).text

    assert "<h1>Allow <bdi>\u202eevil</bdi> to access your store?</h1>" in page


@pytest.mark.parametrize(
    ("registered", "destination"),
    [
        (CALLBACK, "integration.example"),
        ("http://127.0.0.1:8000/callback", "a program on this computer"),
        ("myapp:/callback", "myapp:/callback"),
    ],
)
def test_destination(foxy: Emulator, call: Caller, registered: str, destination: str) -> None:
    """The page says where the user goes next."""
    foxy.redirect_uri = registered

    assert foxy.redirect_uri == registered
    assert f"you go on to <bdi><b>{destination}</b></bdi>" in call.request("GET", address(foxy)).text


def test_logo(foxy: Emulator, call: Caller) -> None:
    """A client's logo is shown, if it has one."""
    token = call.token(grant_type="client_credentials", scope="client_full_access").json()["access_token"]
    logo = {"company_logo": "https://integration.example/logo.png"}
    assert call.api(token, "/clients/1", "PATCH", json=logo).status_code == 200

    page = call.request("GET", address(foxy)).text

    assert '<img src="https://integration.example/logo.png" alt=""' in page


def test_forged_decision(foxy: Emulator, call: Caller) -> None:
    """A decision that does not come from the page that the browser was shown asks again, and gives nothing away."""
    mine, others = (call.request("GET", address(foxy)) for _ in range(2))
    form = hidden_fields(mine)
    forgeries = [
        (form, None),
        (form, others.cookies),
        (hidden_fields(others), mine.cookies),
        ({**form, "form_token": ""}, mine.cookies),
    ]

    answers = [
        call.request("POST", "/authorize", data={**fields, "decision": "allow", "store": "1"}, cookies=cookies)
        for fields, cookies in forgeries
    ]

    assert [(answer.status_code, 'role="alert"' in answer.text) for answer in answers] == [(403, True)] * 4
    assert "Location" not in answers[0].headers


# What the form sends beside its hidden fields.
UNDECIDED = [{}, {"decision": "allow"}, {"decision": "allow", "store": "99"}, {"decision": "maybe", "store": "1"}]


@pytest.mark.parametrize("choice", UNDECIDED)
def test_no_decision(foxy: Emulator, call: Caller, choice: dict[str, str]) -> None:
    """A form without a decision or without a store of the user's own asks again."""
    page = call.request("GET", address(foxy))

    answer = call.request("POST", "/authorize", data={**hidden_fields(page), **choice}, cookies=page.cookies)

    assert (answer.status_code, 'role="alert"' in answer.text) == (400, True)


def test_decision_over_http(foxy: Emulator, call: Caller) -> None:
    """A browser's decision is sent back with a code and the very state that the client sent."""
    page = call.request("GET", address(foxy))
    form = {**hidden_fields(page), "store": "1", "decision": "allow"}

    answer = call.request("POST", "/authorize", data=form, cookies=page.cookies)

    assert (answer.status_code, query(answer.headers["Location"])["state"]) == (302, "s/1 &")
    assert call.exchange(query(answer.headers["Location"])["code"]).status_code == 200


def test_decision_on_a_changed_request(foxy: Emulator, call: Caller) -> None:
    """The request is checked again when the decision comes, so that a changed form gains nothing."""
    page = call.request("GET", address(foxy))
    form = {**hidden_fields(page), "store": "1", "decision": "allow", "redirect_uri": "https://attacker.example/"}

    answer = call.request("POST", "/authorize", data=form, cookies=page.cookies)

    assert (answer.status_code, answer.json()["error"]) == (400, "redirect_uri_mismatch")
