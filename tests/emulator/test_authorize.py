"""The authorization endpoint: errors, consent page and redirects."""

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
    from emulator.conftest import Http

    from foxy_auth.emulator import Emulator

CALLBACK = "https://integration.example/oauth/callback"
NO_CLIENT, UNKNOWN_CLIENT = "No client id supplied", "The client id supplied is invalid"
MISMATCH = "The redirect URI provided is missing or does not match"
NOT_VALID = "The redirect URI is not valid"
SEVERAL = "A redirect URI must be supplied when multiple redirect URIs are registered"
RFC = "http://tools.ietf.org/html/rfc6749#section-"

# Changes to a valid request, the registered redirect URI, the response. Each request also has all later errors.
WITHOUT_REDIRECT = [
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
        id="another URI",
    ),
    pytest.param({}, "http://[x", {"error": "invalid_uri", "error_description": NOT_VALID}, id="invalid URI"),
    pytest.param(
        {}, "", {"error": "invalid_uri", "error_description": "No redirect URI was supplied or stored"}, id="no URI"
    ),
    pytest.param(
        {},
        f"{CALLBACK} {CALLBACK}/2",
        {"error": "invalid_uri", "error_description": SEVERAL, "error_uri": f"{RFC}3.1.2.3"},
        id="several URIs",
    ),
]

TYPE_MISSING, NO_IMPLICIT = "Invalid or missing response type", "implicit grant type not supported"
SCOPE_UNKNOWN, SCOPE_MISSING = (
    "An unsupported scope was requested",
    "This application requires you specify a scope parameter",
)
NOT_ALLOWED = "The grant type is unauthorized for this client_id"

# Fields of a request, whether the grant type is allowed, error, description.
WITH_REDIRECT = [
    pytest.param({"response_type": ""}, True, "invalid_request", TYPE_MISSING, id="no response type"),
    pytest.param({"response_type": "id_token"}, True, "invalid_request", TYPE_MISSING, id="unknown response type"),
    pytest.param({"response_type": "token"}, True, "unsupported_response_type", NO_IMPLICIT, id="implicit"),
    pytest.param({"response_type": "code"}, False, "unauthorized_client", NOT_ALLOWED, id="grant type not allowed"),
    pytest.param({"response_type": "code", "scope": "x"}, True, "invalid_scope", SCOPE_UNKNOWN, id="unknown scope"),
    pytest.param({"response_type": "code"}, True, "invalid_client", SCOPE_MISSING, id="no scope"),
]


def url_of(foxy: Emulator, **changes: str) -> str:
    """Make an authorization request; empty fields are left out."""
    good = {"response_type": "code", "client_id": foxy.client_id, "scope": "store_full_access", "state": "s/1 &"}
    fields = {name: value for name, value in {**good, **changes}.items() if value}
    return f"{foxy.url}/authorize?{urlencode(fields)}"


def query(url: str | None) -> dict[str, str]:
    """Return the query parameters of a URL."""
    return dict(parse_qsl(urlsplit(url or "").query))


@pytest.mark.parametrize(("changes", "registered", "error"), WITHOUT_REDIRECT)
def test_error_without_redirect(
    foxy: Emulator, http: Http, changes: dict[str, str], registered: str, error: dict[str, str]
) -> None:
    """As long as client and redirect URI are not verified, an error is JSON and the browser is not redirected."""
    foxy.redirect_uri = registered

    response = http.request("GET", url_of(foxy, response_type="", scope="x", state="", **changes))

    assert (response.status_code, response.json(), "Location" in response.headers) == (400, error, False)


@pytest.mark.parametrize(("fields", "allowed", "error", "description"), WITH_REDIRECT)
def test_error_with_redirect(
    foxy: Emulator, http: Http, *, fields: dict[str, str], allowed: bool, error: str, description: str
) -> None:
    """Other errors are redirected to the client, with the state."""
    foxy.grant_types = ("authorization_code",) if allowed else ()

    response = http.request("GET", url_of(foxy, **{"response_type": "", "scope": "", "state": "s 1", **fields}))

    expected = urlencode({"error": error, "error_description": description, "state": "s 1"})
    assert (response.status_code, response.headers["Location"]) == (302, f"{CALLBACK}?{expected}")


def test_no_state(foxy: Emulator, http: Http) -> None:
    """A request without a state is redirected without one."""
    response = http.request("GET", url_of(foxy, state=""))

    expected = {"error": "invalid_request", "error_description": "The state parameter is required"}
    assert query(response.headers["Location"]) == expected


def test_redirect_uri_with_a_query(foxy: Emulator) -> None:
    """The query of a redirect URI is kept."""
    foxy.redirect_uri = f"{CALLBACK}?tenant=1"

    sent_to = foxy.authorize(url_of(foxy))

    assert sent_to.startswith(f"{CALLBACK}?tenant=1&code=")
    assert query(sent_to)["state"] == "s/1 &"


def test_allow(foxy: Emulator, http: Http) -> None:
    """Allow returns a code, which is exchanged for a token for the chosen store."""
    sent_to = foxy.authorize(url_of(foxy), store=2)
    token = http.exchange(query(sent_to)["code"]).json()

    assert token["scope"] == "store_full_access store_id_2"
    assert http.api(token["access_token"], "/stores/2").json()["store_name"] == "Example Coffee"


def test_allow_user_scope(foxy: Emulator, http: Http) -> None:
    """The user's own scope needs no store."""
    page = http.request("GET", url_of(foxy, scope="user_full_access"))
    token = http.exchange(query(foxy.authorize(url_of(foxy, scope="user_full_access")))["code"]).json()

    assert 'name="store"' not in page.text
    assert token["scope"] == "user_full_access"
    assert "fx:user" in http.api(token["access_token"]).json()["_links"]


def test_sign_in(foxy: Emulator, http: Http) -> None:
    """Another user can sign in, and then authorizes for their own account."""
    client = foxy.grant("client_full_access").access_token
    sent = {"first_name": "Alex", "last_name": "Example", "email": "alex@shop.example"}
    user = http.api(client, "/users", "POST", json=sent).json()["token"]["access_token"]
    foxy.sign_in("alex@shop.example")

    page = http.request("GET", url_of(foxy)).text
    sent_to = foxy.authorize(url_of(foxy, scope="user_full_access"))

    assert "Signed in as alex@shop.example" in page
    assert "You have no store yet" in page
    assert re.findall(r"<button.*?>(.*?)</button>", page) == ["Deny"]
    assert "/users/2" in http.api(http.exchange(query(sent_to)["code"]).json()["access_token"]).text
    assert http.api(user, "/users/2").status_code == 200
    with pytest.raises(ValueError, match="no user has the address"):
        foxy.sign_in("nobody@shop.example")


def test_deny(foxy: Emulator) -> None:
    """Deny redirects with `access_denied`."""
    denied = {"error": "access_denied", "error_description": "The user denied access to your application"}

    assert query(foxy.authorize(url_of(foxy), allow=False)) == {**denied, "state": "s/1 &"}


def test_authorize_errors(foxy: Emulator) -> None:
    """`authorize` returns redirected errors and raises the others."""
    assert query(foxy.authorize(url_of(foxy, scope="x")))["error"] == "invalid_scope"
    with pytest.raises(ValueError, match="No client id supplied"):
        foxy.authorize(url_of(foxy, client_id=""))
    with pytest.raises(ValueError, match="400"):
        foxy.authorize(url_of(foxy), store=99)


def test_redirect_uri_of_the_request(foxy: Emulator, http: Http) -> None:
    """A code whose request had a redirect URI is exchanged only with that URI."""
    codes = [query(foxy.authorize(url_of(foxy, redirect_uri=CALLBACK)))["code"] for _ in range(2)]

    without, with_it = http.exchange(codes[0]), http.exchange(codes[1], redirect_uri=CALLBACK)

    assert (without.json()["error"], with_it.status_code) == ("redirect_uri_mismatch", 200)


def test_granular_scopes(foxy: Emulator, http: Http) -> None:
    """Granular scopes are unknown by default, are explained on the page, and give access to no store."""
    scope = "coupons_read stores_read transactions_write webhooks_resend"
    refused = foxy.authorize(url_of(foxy, scope=scope))
    foxy.granular_scopes = True

    page = http.request("GET", url_of(foxy, scope=scope)).text
    token = http.exchange(query(foxy.authorize(url_of(foxy, scope=scope)))["code"]).json()

    assert query(refused)["error"] == "invalid_scope"
    plain = ["See coupons", "See stores", "See and change transactions", "Resend webhooks"]
    assert re.findall("<li><b>(.*?)</b>", page) == plain
    assert token["scope"] == scope
    assert http.store(token["access_token"]).json()["error"] == "insufficient_scope"


VERIFIER = "v" * 43
S256 = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")

# Challenge and method, verifier, whether they match.
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
    pytest.param({}, {"code_verifier": VERIFIER}, False, id="a verifier alone"),  # RFC 9700, section 4.8
]


@pytest.mark.parametrize(("challenge", "verifier", "good"), PKCE)
def test_pkce(foxy: Emulator, http: Http, *, challenge: dict[str, str], verifier: dict[str, str], good: bool) -> None:
    """The verifier must match the challenge (RFC 7636), if the setting says so; by default both are ignored."""
    ignored = query(foxy.authorize(url_of(foxy, **challenge)))["code"]
    foxy.pkce = "verified"
    code = query(foxy.authorize(url_of(foxy, **challenge)))["code"]

    assert (http.exchange(code, **verifier).status_code == 200) == good
    foxy.pkce = "ignored"
    assert http.exchange(ignored, **verifier).status_code == 200


def test_pkce_ignored(foxy: Emulator, http: Http) -> None:
    """A provider that does not know PKCE ignores challenge and verifier."""
    foxy.pkce = "ignored"
    code = query(foxy.authorize(url_of(foxy, code_challenge=S256, code_challenge_method="S256")))["code"]

    assert http.exchange(code, code_verifier="w" * 43).status_code == 200


@pytest.mark.parametrize("challenge", [{}, {"code_challenge": VERIFIER}, {"code_challenge_method": "S256"}])
def test_pkce_required(foxy: Emulator, challenge: dict[str, str]) -> None:
    """A provider that requires PKCE refuses requests without a challenge of the method S256."""
    foxy.pkce = "required"

    assert query(foxy.authorize(url_of(foxy, **challenge)))["error"] == "invalid_request"
    assert "code" in query(foxy.authorize(url_of(foxy, code_challenge=S256, code_challenge_method="S256")))


def test_bad_challenge(foxy: Emulator) -> None:
    """An unknown challenge method is an error, if the setting says so."""
    url = url_of(foxy, code_challenge=S256, code_challenge_method="md5")
    ignored = foxy.authorize(url)
    foxy.pkce = "verified"

    assert query(foxy.authorize(url))["error"] == "invalid_request"
    assert "code" in query(ignored)


# The page


def hidden_fields(page: requests.Response) -> dict[str, str]:
    """Return the hidden fields of the page's form."""
    found: list[tuple[str, str]] = re.findall(r'<input type="hidden" name="(.*?)" value="(.*?)">', page.text)
    return {name: unescape(value) for name, value in found}


def test_page(foxy: Emulator, http: Http) -> None:
    """The page says who requests what, lets the user choose a store, and needs no script."""
    page = http.request("GET", url_of(foxy))

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


def test_page_headers(foxy: Emulator, http: Http) -> None:
    """The page is not cached, not framed and sends no referrer."""
    page = http.request("GET", url_of(foxy))

    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert (page.headers["Cache-Control"], page.headers["Referrer-Policy"]) == ("no-store", "no-referrer")


def test_page_escapes(foxy: Emulator, http: Http) -> None:
    """A client's name and links cannot inject anything into the page."""
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
    client = http.api(None, "/clients", "POST", json=fields).json()

    page = http.request("GET", url_of(foxy, client_id=client["client_id"], state='"><script>')).text

    assert not re.search("<script|<img|javascript:|data:text", page)
    assert "&lt;script&gt;alert(1)" in page


def test_invalid_website(foxy: Emulator, http: Http) -> None:
    """An invalid website URL does not break the page."""
    token = foxy.grant("client_full_access").access_token
    assert http.api(token, "/clients/1", "PATCH", json={"company_url": "http://[x"}).status_code == 200

    assert "Example Widgets Co" in http.request("GET", url_of(foxy)).text


def test_right_to_left_name(foxy: Emulator, http: Http) -> None:
    """A name written from right to left does not affect the text around it."""
    token = foxy.grant("client_full_access").access_token
    assert http.api(token, "/clients/1", "PATCH", json={"project_name": "\u202eevil"}).status_code == 200

    page = http.request("GET", url_of(foxy)).text

    assert "<h1>Allow <bdi>\u202eevil</bdi> to access your store?</h1>" in page


@pytest.mark.parametrize(
    ("registered", "destination"),
    [
        (CALLBACK, "integration.example"),
        ("http://127.0.0.1:8000/callback", "a program on this computer"),
        ("myapp:/callback", "myapp:/callback"),
    ],
)
def test_destination(foxy: Emulator, http: Http, registered: str, destination: str) -> None:
    """The page says where the user goes next."""
    foxy.redirect_uri = registered

    assert foxy.redirect_uri == registered
    assert f"you go on to <bdi><b>{destination}</b></bdi>" in http.request("GET", url_of(foxy)).text


def test_logo(foxy: Emulator, http: Http) -> None:
    """A client's logo is shown."""
    token = http.token(grant_type="client_credentials", scope="client_full_access").json()["access_token"]
    logo = {"company_logo": "https://integration.example/logo.png"}
    assert http.api(token, "/clients/1", "PATCH", json=logo).status_code == 200

    page = http.request("GET", url_of(foxy)).text

    assert '<img src="https://integration.example/logo.png" alt=""' in page


def test_forged_decision(foxy: Emulator, http: Http) -> None:
    """A decision from a form that the browser was not shown is asked for again."""
    mine, others = (http.request("GET", url_of(foxy)) for _ in range(2))
    form = hidden_fields(mine)
    forgeries = [
        (form, None),
        (form, others.cookies),
        (hidden_fields(others), mine.cookies),
        ({**form, "form_token": ""}, mine.cookies),
    ]

    responses = [
        http.request("POST", "/authorize", data={**fields, "decision": "allow", "store": "1"}, cookies=cookies)
        for fields, cookies in forgeries
    ]

    assert [(response.status_code, 'role="alert"' in response.text) for response in responses] == [(403, True)] * 4
    assert "Location" not in responses[0].headers


# What the form sends besides its hidden fields.
UNDECIDED = [{"decision": "allow"}, {"decision": "allow", "store": "99"}, {"decision": "maybe", "store": "1"}]


@pytest.mark.parametrize("choice", UNDECIDED)
def test_no_decision(foxy: Emulator, http: Http, choice: dict[str, str]) -> None:
    """A form without a decision, or without one of the user's stores, is shown again."""
    page = http.request("GET", url_of(foxy))

    response = http.request("POST", "/authorize", data={**hidden_fields(page), **choice}, cookies=page.cookies)

    assert (response.status_code, 'role="alert"' in response.text) == (400, True)


def test_decision_over_http(foxy: Emulator, http: Http) -> None:
    """A browser's decision is redirected with a code and the unchanged state."""
    page = http.request("GET", url_of(foxy))
    form = {**hidden_fields(page), "store": "1", "decision": "allow"}

    response = http.request("POST", "/authorize", data=form, cookies=page.cookies)

    assert (response.status_code, query(response.headers["Location"])["state"]) == (302, "s/1 &")
    assert http.exchange(query(response.headers["Location"])["code"]).status_code == 200


def test_decision_on_a_changed_request(foxy: Emulator, http: Http) -> None:
    """The request is checked again when the decision arrives."""
    page = http.request("GET", url_of(foxy))
    form = {**hidden_fields(page), "store": "1", "decision": "allow", "redirect_uri": "https://attacker.example/"}

    response = http.request("POST", "/authorize", data=form, cookies=page.cookies)

    assert (response.status_code, response.json()["error"]) == (400, "redirect_uri_mismatch")
