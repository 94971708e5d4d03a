"""The authorization request, and the responses that may come back: values alone, no provider."""

from __future__ import annotations

import json
import pickle
import re
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, quote, urlencode, urlsplit

import django.conf
import django.http
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams
from werkzeug.datastructures import MultiDict

from foxy_auth import (
    CLIENT_FULL_ACCESS,
    FOXY_IO,
    PRODUCTION,
    SANDBOX,
    STORE_FULL_ACCESS,
    USER_FULL_ACCESS,
    AuthorizationError,
    AuthorizationRequest,
    Environment,
    OAuthClient,
)
from foxy_auth._oauth import authorization

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_ID = "client_FakeFakeFakeFakeFake"
SECRET = "FakeSecretFakeSecret"
REDIRECT_URI = "https://www.example.com/oauth"
STATE = "FakeStateFakeStateFakeState"
CODE = "0fa4efa4efa4efa4efa4efa4efa4efa4efa4e000"


def read_authorization_response(response: Any, *, state: Any) -> str:
    """Return the code of a response."""
    return authorization.read_authorization_response(response, state=state, is_issuer=PRODUCTION.is_issuer).reveal()


def client(environment: Environment = PRODUCTION) -> OAuthClient:
    """Return a client as a reader of the provider's page has registered it."""
    return OAuthClient(CLIENT_ID, SECRET, redirect_uri=REDIRECT_URI, environment=environment)


def request(scope: str = STORE_FULL_ACCESS, **options: bool) -> AuthorizationRequest:
    """Return an authorization request."""
    return client().authorization_request(scope, **options)


def parameters(url: str) -> dict[str, str]:
    """Return the query parameters of *url*, none of which is repeated."""
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


# --- the request ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        pytest.param(PRODUCTION, "https://my.foxycart.com/authorize", id="production"),
        pytest.param(FOXY_IO, "https://auth.foxy.io/authorize", id="foxy.io"),
        pytest.param(SANDBOX, "https://my-sandbox.foxycart.com/authorize", id="sandbox"),
        pytest.param(
            Environment(api="https://api.foxycart.com", authorization_endpoint="https://id.example/a"),
            "https://id.example/a",
            id="another",
        ),
    ],
)
def test_users_are_forwarded_to_the_environments_endpoint(environment: Environment, endpoint: str) -> None:
    """3P: "Your application should forward users to the following URL"."""
    assert client(environment).authorization_request(STORE_FULL_ACCESS).url.partition("?")[0] == endpoint


def test_the_request_has_the_four_required_parameters() -> None:
    """3P: response_type is "code", client_id, scope and state are required; without PKCE nothing else is sent."""
    asked, plain = request(), request(pkce=False)
    required = {"response_type": "code", "client_id": CLIENT_ID, "scope": "store_full_access"}

    assert plain.code_verifier is None
    assert parameters(plain.url) == {**required, "state": plain.state}
    assert parameters(asked.url) == {
        **required,
        "state": asked.state,
        "code_challenge": parameters(asked.url)["code_challenge"],
        "code_challenge_method": "S256",
    }


def test_any_scope_can_be_asked_for() -> None:
    """3P, TERM: the three scopes are named as the provider names them; others can be asked for too."""
    assert (CLIENT_FULL_ACCESS, USER_FULL_ACCESS, STORE_FULL_ACCESS) == (
        "client_full_access",
        "user_full_access",
        "store_full_access",
    )
    for scope in (USER_FULL_ACCESS, "carts_read transactions_resend", "sch\u00f6n & neu"):
        assert parameters(request(scope).url)["scope"] == scope


@pytest.mark.parametrize("scope", [None, "", "  ", ["store_full_access"]], ids=repr)
def test_a_request_without_a_scope_is_refused_at_once(scope: Any) -> None:
    """R24: the scope, which the provider requires, is missed before a user is sent there."""
    with pytest.raises(ValueError, match="store_full_access"):
        request(scope)


def test_each_request_has_an_unpredictable_state() -> None:
    """3P: "a unique randomly generated string for this request"; 48 characters that no seed reproduces."""
    import random

    random.seed(1)
    states = [request().state]
    random.seed(1)
    states += [request().state for _ in range(99)]

    assert len(set(states)) == 100
    assert all(re.fullmatch("[0-9A-Za-z]{48}", state) for state in states)


@pytest.mark.parametrize("fragment", ["", "#top"])
def test_the_endpoints_own_query_is_kept(fragment: str) -> None:
    """RFC 6749, section 3.1: the query of an endpoint "MUST be retained"."""
    endpoint = f"https://id.example/authorize?lang=de&brand=a%26b{fragment}"
    environment = Environment(api="https://api.foxycart.com", authorization_endpoint=endpoint)
    sent = parameters(client(environment).authorization_request(STORE_FULL_ACCESS).url)

    assert (sent["lang"], sent["brand"], sent["response_type"]) == ("de", "a&b", "code")


def test_the_redirect_uri_is_sent_when_asked_for() -> None:
    """RFC 6749, section 4.1.1: redirect_uri is optional, and R24: whoever wants it sent must have given it."""
    assert parameters(request(send_redirect_uri=True).url)["redirect_uri"] == REDIRECT_URI
    with pytest.raises(ValueError, match="redirect_uri"):
        OAuthClient(CLIENT_ID, SECRET).authorization_request(STORE_FULL_ACCESS, send_redirect_uri=True)


def test_pkce_sends_the_hash_of_the_verifier() -> None:
    """R25: RFC 7636, sections 4.1 to 4.3: the verifier's SHA-256 is the challenge; the verifier is not sent."""
    asked = request()
    assert asked.code_verifier is not None
    challenge = urlsafe_b64encode(sha256(asked.code_verifier.encode()).digest()).rstrip(b"=").decode()

    assert parameters(asked.url)["code_challenge"] == challenge
    assert parameters(asked.url)["code_challenge_method"] == "S256"
    assert re.fullmatch(r"[0-9A-Za-z._~-]{43,128}", asked.code_verifier)
    assert asked.code_verifier not in asked.url


def test_a_request_shows_no_secret() -> None:
    """R23: a request's repr contains neither state nor verifier nor challenge, with or without PKCE."""
    shown = "<AuthorizationRequest to https://my.foxycart.com/authorize>"

    assert [show(asked) for asked in (request(), request(pkce=False)) for show in (repr, str)] == [shown] * 4


def test_each_request_has_a_verifier_of_its_own() -> None:
    """RFC 9700, section 2.1.1: challenge and verifier are "transaction-specific"."""
    made = [request() for _ in range(100)]

    assert len({asked.code_verifier for asked in made} | {asked.state for asked in made}) == 200


# --- the request in the user's session -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"pkce": False}, {"send_redirect_uri": True}], ids=repr)
def test_a_request_travels_as_one_value(options: dict[str, bool]) -> None:
    """A request comes back from a session, as JSON or as a pickle, as it was."""
    asked = client().authorization_request(STORE_FULL_ACCESS, **options)
    kept = json.loads(json.dumps(asked.to_dict()))

    assert AuthorizationRequest.from_dict(kept) == asked
    assert AuthorizationRequest.from_dict({**kept, "of a later version": 1}) == asked
    assert pickle.loads(pickle.dumps(asked)) == asked  # noqa: S301 - our own


def test_a_request_says_what_it_is_bound_to() -> None:
    """RFC 9700, section 4.4.2: what the request was made for is kept for the user's return, verifier included."""
    asked = request()

    assert asked.to_dict() == {
        "url": asked.url,
        "state": asked.state,
        "code_verifier": asked.code_verifier,
        "client_id": CLIENT_ID,
        "redirect_uri": REDIRECT_URI,
        "authorization_endpoint": PRODUCTION.authorization_endpoint,
        "token_endpoint": PRODUCTION.token_endpoint,
    }


REQUIRED = ["url", "state", "client_id", "authorization_endpoint", "token_endpoint"]


@pytest.mark.parametrize("name", [*REQUIRED, "code_verifier", "redirect_uri"])
def test_a_damaged_request_is_refused(name: str) -> None:
    """R24, R23: what to_dict did not return is wrong use; the message names the value that is wrong, and no secret."""
    whole = request().to_dict()
    with pytest.raises(ValueError, match=f"needs {name};") as missing:
        AuthorizationRequest.from_dict({kept: value for kept, value in whole.items() if kept != name})
    with pytest.raises(TypeError, match=f"{name} must be text, not bytes") as wrong:
        AuthorizationRequest.from_dict({**whole, name: (whole[name] or "").encode()})
    if name in REQUIRED:
        with pytest.raises(TypeError, match=f"{name} must be text, not NoneType"):
            AuthorizationRequest.from_dict({**whole, name: None})

    shown = repr(missing.value) + repr(wrong.value)
    assert not [secret for secret in (whole["state"], whole["code_verifier"]) if secret and secret in shown]


@pytest.mark.parametrize("verifier", ["", "x" * 42, "x" * 129, "\ud800" * 43, "é" * 43, f"{'x' * 43}\n"], ids=ascii)
def test_a_damaged_verifier_is_refused(verifier: str) -> None:
    """R25: RFC 7636, section 4.1: a verifier that was damaged in the session is neither sent nor left out."""
    with pytest.raises(ValueError, match=r"AuthorizationRequest\.code_verifier must be 43 to 128") as caught:
        AuthorizationRequest.from_dict({**request().to_dict(), "code_verifier": verifier})

    assert not verifier or verifier not in repr(caught.value)


@pytest.mark.parametrize("kept", [7, b"x", ["x"], STATE], ids=lambda value: type(value).__name__)
def test_something_else_than_a_request_is_wrong_use(kept: Any) -> None:
    """R24: a bare state, for one, is no request: without the rest the response could be another client's."""
    for read in (AuthorizationRequest.from_dict, lambda kept: client().fetch_token(RESPONSE, request=kept)):
        with pytest.raises(TypeError, match="request takes an AuthorizationRequest or what its to_dict returned, not"):
            read(kept)


# --- the provider's table of errors ----------------------------------------------------------------------------------

PAGE_ROWS = [
    pytest.param(
        "access_denied",
        "The user denied access to your application",
        "display a message to the user that the operation is not possible without access",
        id="denied",
    ),
    pytest.param("invalid_client", "No client id supplied", "supply a valid client id", id="no client id"),
    pytest.param(
        "invalid_client",
        "The client id supplied is invalid",
        "confirm that the client_id supplied is valid",
        id="wrong client id",
    ),
    pytest.param(
        "invalid_client",
        "This application requires you specify a scope parameter",
        "supply a valid scope",
        id="no scope",
    ),
    pytest.param(
        "invalid_request",
        "Invalid or missing response type",
        "ensure that you are passing code as the response type",
        id="response type",
    ),
    pytest.param("invalid_request", "The state parameter is required", "supply a state parameter", id="no state"),
    pytest.param(
        "invalid_scope",
        "An unsupported scope was requested",
        "confirm that the scope you are requesting is valid",
        id="unknown scope",
    ),
]


@pytest.mark.parametrize(("error", "description", "action"), PAGE_ROWS)
def test_each_row_of_the_pages_table_tells_the_action_required(error: str, description: str, action: str) -> None:
    """3P, "Possible error responses": each error says what it is, and the action that the page requires."""
    response = f"{REDIRECT_URI}?{urlencode({'error': error, 'error_description': description, 'state': STATE})}"
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(response, state=STATE)

    assert (caught.value.error, caught.value.description) == (error, description)
    assert str(caught.value) == f"{error}: {description}; {action}"


def test_the_row_about_the_missing_state_comes_without_a_state() -> None:
    """3P: the error about a missing state is told although it brings no state back."""
    response = {"error": "invalid_request", "error_description": "The state parameter is required"}
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(response, state=STATE)

    assert (caught.value.error, caught.value.description) == tuple(response.values())


@pytest.mark.parametrize(
    ("error", "description", "message"),
    [
        pytest.param(
            "access_denied",
            None,
            "access_denied; display a message to the user that the operation is not possible without access",
            id="no description",
        ),
        pytest.param(
            "invalid_client",
            "Gone.",
            "invalid_client: Gone.; supply a valid client id or confirm that the client_id supplied is valid or supply "
            "a valid scope",
            id="another description",
        ),
        pytest.param("server_error", "Boom", "server_error: Boom; begin a new authorization", id="another error"),
        pytest.param("x" * 5000, None, f"{'x' * 300}; begin a new authorization", id="very long"),
        pytest.param("a\r\nb\x1b[2J", None, "a  b [2J; begin a new authorization", id="control characters"),
    ],
)
def test_errors_that_the_page_does_not_know(error: str, description: str | None, message: str) -> None:
    """3P: "Your application should handle an error response appropriately", whatever it is."""
    response = {"error": error, "state": STATE, "code": CODE, "error_description": description}
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(response, state=STATE)

    assert str(caught.value) == message
    assert caught.value.description == description


# --- the state -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kept", "sent"),
    [
        pytest.param(STATE, "AnotherState", id="another"),
        pytest.param(STATE, STATE[:-1], id="cut off"),
        pytest.param(STATE, STATE + "x", id="longer"),
        pytest.param(STATE, STATE.swapcase(), id="case"),
        pytest.param(STATE, "", id="empty"),
        pytest.param(STATE, None, id="missing"),
        pytest.param(STATE, "\udcff", id="lone surrogate"),
        pytest.param(None, STATE, id="session expired"),
        pytest.param(None, None, id="session expired and none sent"),
        pytest.param("", "", id="empty on both sides"),
        pytest.param("None", None, id="the word None"),
    ],
)
def test_another_state_aborts_before_anything_else(kept: str | None, sent: str | None) -> None:
    """R25: 3P: "If the state value received does not match what you passed […], you should abort"; R23: untold."""
    for rest in ({"code": CODE}, {}, {"error": "access_denied"}):
        response = rest if sent is None else {**rest, "state": sent}
        with pytest.raises(AuthorizationError, match="abort, and begin a new authorization") as caught:
            read_authorization_response(response, state=kept)

        assert caught.value.error == "state_mismatch"
        assert not [secret for secret in (CODE, STATE, "AnotherState") if secret in repr(caught.value)]


def test_the_state_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """3P: `hmac.compare_digest` alone compares the states, so that the time it takes reveals nothing."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr("foxy_auth._oauth.authorization.compare_digest", compare)
    code = read_authorization_response({"code": CODE, "state": "x"}, state=STATE)

    assert compared == [(STATE.encode(), b"x")]
    assert code == CODE


@pytest.mark.parametrize("error", ["access_denied", "server_error", f"odd_{STATE}"])
def test_a_reported_error_is_told_without_state_and_code(error: str) -> None:
    """R23: the provider's texts are shown without the secrets of this response."""
    response = {"error": error, "error_description": f"No {STATE} for {CODE}.", "state": STATE, "code": CODE}
    with pytest.raises(AuthorizationError, match=r"No \[hidden\] for \[hidden\]\.; ") as caught:
        read_authorization_response(response, state=STATE)

    assert caught.value.description == "No [hidden] for [hidden]."
    assert caught.value.error == error.replace(STATE, "[hidden]")
    assert not [secret for secret in (STATE, CODE) if secret in str(caught.value)]


def test_a_short_state_hides_no_text_of_the_page() -> None:
    """3P: the texts of the provider's table are shown although a state happens to be part of them."""
    text = "The user denied access to your application"
    response = {"error": "access_denied", "error_description": text, "state": "s"}
    with pytest.raises(AuthorizationError, match=f"^access_denied: {text}; "):
        read_authorization_response(response, state="s")


# --- the issuer ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rest", [{"code": CODE}, {}, {"error": "access_denied"}], ids=["code", "nothing", "error"])
@pytest.mark.parametrize("issuer", ["https://my-sandbox.foxycart.com", "https://evil.example", "", "\udcff", STATE])
def test_a_response_of_another_issuer_is_aborted(issuer: str, rest: dict[str, str]) -> None:
    """R25: RFC 9207, section 2.4: a response with another `iss`, error or not, is rejected; R23: untold."""
    response = {"state": STATE, "iss": issuer, **rest}
    with pytest.raises(
        AuthorizationError, match=r"from another issuer.* abort, and begin a new authorization"
    ) as caught:
        read_authorization_response(response, state=STATE)

    assert caught.value.error == "issuer_mismatch"
    assert not [secret for secret in (CODE, STATE) if secret in repr(caught.value)]


def test_even_the_missing_state_is_told_by_the_right_issuer_only() -> None:
    """RFC 9207, section 2.4: the one error that comes without a state is not believed if another issuer sends it."""
    response = {
        "error": "invalid_request",
        "error_description": "The state parameter is required",
        "iss": "https://e.example",
    }
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(response, state=STATE)

    assert caught.value.error == "issuer_mismatch"


def test_the_issuer_does_not_replace_the_state() -> None:
    """3P: a response that names the right issuer still needs the state."""
    right = {"code": CODE, "iss": "https://my.foxycart.com"}
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response({**right, "state": "x"}, state=STATE)

    assert caught.value.error == "state_mismatch"
    assert read_authorization_response({**right, "state": STATE}, state=STATE) == CODE


# --- the forms in which a response comes ---------------------------------------------------------------------------

RESPONSE = {"code": CODE, "state": STATE}
QUERY = urlencode(RESPONSE)


def django_query(query: str) -> django.http.QueryDict:
    """Return what Django's `request.GET` is."""
    if not django.conf.settings.configured:
        django.conf.settings.configure()
    return django.http.QueryDict(query, encoding="utf-8")


def flask_query(query: str) -> MultiDict[str, str]:
    """Return what Flask's `request.args` is."""
    return MultiDict(parse_qsl(query, keep_blank_values=True))


def tornado_query(query: str) -> dict[str, list[bytes]]:
    """Return what Tornado's `self.request.query_arguments` is."""
    return {name: [value.encode() for value in values] for name, values in parse_qs(query).items()}


class AllValues(dict[str, str]):
    """A mapping like aiohttp's and Pyramid's, whose `getall` returns every value of a repeated name."""

    def __init__(self, query: str) -> None:
        """Read *query*."""
        self._pairs = parse_qsl(query, keep_blank_values=True)
        super().__init__(self._pairs)

    def getall(self, name: str) -> list[str]:
        """Return every value of *name*."""
        return [value for one, value in self._pairs if one == name]


FORMS: list[Any] = [
    pytest.param(lambda query: f"{REDIRECT_URI}?{query}", id="URL"),
    pytest.param(lambda query: f"{REDIRECT_URI}?{query}#_=_", id="URL with a fragment"),
    pytest.param(lambda query: f"{REDIRECT_URI};v=1?{query}", id="URL with a path parameter"),
    pytest.param(lambda query: f"/oauth?{query}", id="path and query"),
    pytest.param(lambda query: f"oauth?{query}", id="relative"),
    pytest.param(lambda query: f"?{query}", id="query with its question mark"),
    pytest.param(lambda query: query, id="query"),
    pytest.param(lambda query: dict(parse_qsl(query)), id="dict"),
    pytest.param(parse_qs, id="parse_qs"),
    pytest.param(lambda query: {k: tuple(v) for k, v in parse_qs(query).items()}, id="tuples"),
    pytest.param(flask_query, id="Flask"),
    pytest.param(django_query, id="Django"),
    pytest.param(QueryParams, id="Starlette"),
    pytest.param(httpx.QueryParams, id="httpx"),
    pytest.param(AllValues, id="aiohttp and Pyramid"),
    pytest.param(tornado_query, id="Tornado"),
    pytest.param(lambda query: {"error": None, "error_description": None, **dict(parse_qsl(query))}, id="FastAPI"),
]
UNREPEATED = {"dict", "FastAPI"}  # forms that cannot hold a name twice


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_response_is_read(form: Callable[[str], Any]) -> None:
    """3P: "The endpoint will be passed two GET parameters", in whatever form the web framework gives them."""
    awkward = "a?b=c&d#e/\u00fc+ %"

    assert read_authorization_response(form(QUERY), state=STATE) == CODE
    assert read_authorization_response(form(urlencode({**RESPONSE, "state": awkward})), state=awkward) == CODE
    # RFC 3986, section 3.4: slashes and question marks need no escape in a query.
    for rest in ("x=a?b", "next=https://as.example/?t=1", "to=//as.example/?a&b=/?c"):
        for query in (f"code=4/abc&state={STATE}&{rest}", f"{rest}&code=4/abc&state={STATE}"):
            assert read_authorization_response(form(query), state=STATE) == "4/abc"


@pytest.mark.parametrize("form", FORMS)
def test_every_form_brings_errors(form: Callable[[str], Any]) -> None:
    """3P: a denial is one in every form, its spaces written as plus signs."""
    query = f"error=access_denied&error_description=The+user+denied+access+to+your+application&state={STATE}"
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(form(query), state=STATE)

    assert caught.value.description == "The user denied access to your application"


@pytest.mark.parametrize("form", [form for form in FORMS if form.id not in UNREPEATED])
def test_a_repeated_parameter_is_refused(form: Callable[[str], Any]) -> None:
    """RFC 6749, section 3.1: parameters "MUST NOT be included more than once", whichever a framework would pick."""
    for name, repeated in {
        "code": f"code={CODE}",
        "state": f"state={quote(STATE)}",
        "error": "error=x&error=y",
        "iss": "iss=https://my.foxycart.com&iss=https://my.foxycart.com",
    }.items():
        with pytest.raises(AuthorizationError, match=f"repeats the parameter {name}") as caught:
            read_authorization_response(form(f"{QUERY}&{repeated}"), state=STATE)

        assert caught.value.error == "invalid_response"


@pytest.mark.parametrize(
    "place",
    [
        "localhost:8910/callback",
        "LOCALHOST",
        "/callback;v=1",
        "example.app:/callback;v=1",
        "HTTP://[x",
        "http://[::1",
        f"{REDIRECT_URI}?tag=a&tag=b&",  # a redirect URI may have a query of its own
    ],
)
def test_an_address_need_not_be_a_whole_one(place: str) -> None:
    """Text before the query does not matter, whether it is an address or not, nor does a fragment after it."""
    separator = "" if place.endswith("&") else "?"
    for fragment in ("", "#_=_", "#/a?b=c"):
        assert read_authorization_response(f"{place}{separator}{QUERY}{fragment}", state=STATE) == CODE
        assert read_authorization_response(f"{QUERY}{fragment}", state=STATE) == CODE


@pytest.mark.parametrize(
    ("response", "error"),
    [
        pytest.param({"state": STATE}, "missing_code", id="missing"),
        pytest.param({"state": STATE, "code": ""}, "missing_code", id="empty"),
        pytest.param({"state": STATE, "code": None}, "missing_code", id="None"),
        pytest.param({"state": [STATE], "code": []}, "missing_code", id="empty list"),
        pytest.param(f"{REDIRECT_URI}?state={STATE}", "missing_code", id="URL"),
        pytest.param(f"{REDIRECT_URI}?state={STATE}&error=&code=", "missing_code", id="empty in a URL"),
        pytest.param({"code": CODE + "\ud800", "state": STATE}, "invalid_response", id="lone surrogate"),
        pytest.param(f"{REDIRECT_URI}?code={CODE}\udcff&state={STATE}", "invalid_response", id="and in a URL"),
    ],
)
def test_a_response_without_a_usable_code(response: Any, error: str) -> None:
    """R23: a response with neither a code that can be sent nor an error says so, without the code."""
    with pytest.raises(AuthorizationError, match="begin a new authorization") as caught:
        read_authorization_response(response, state=STATE)

    assert caught.value.error == error
    assert CODE not in repr(caught.value) + repr(caught.value.__context__)


def test_a_url_that_is_cut_off_is_never_accepted() -> None:
    """3P: wherever a URL is cut off, its state is missing or wrong, or its code is."""
    url = f"{REDIRECT_URI}?{QUERY}"
    for length in range(len(url)):
        with pytest.raises(AuthorizationError):
            read_authorization_response(url[:length], state=STATE)


@pytest.mark.parametrize("response", [None, 7, b"code=x", ["code"], object()], ids=lambda value: type(value).__name__)
def test_an_argument_of_another_type_is_wrong_use(response: Any) -> None:
    """R24: a response that is neither text nor a mapping is refused at once, and so is a state that is not text."""
    with pytest.raises(TypeError, match="takes a URL as text, or the parameters of its query"):
        read_authorization_response(response, state=STATE)
    if response is not None:
        with pytest.raises(TypeError, match="state takes the state of the request as text"):
            read_authorization_response(RESPONSE, state=response)


@given(st.text() | st.dictionaries(st.text(), st.text() | st.none() | st.lists(st.text()) | st.binary()))
def test_no_response_is_accepted_without_the_state(response: Any) -> None:
    """3P: whatever a forger sends, it is an `AuthorizationError`."""
    with pytest.raises(AuthorizationError):
        read_authorization_response(response, state=STATE)


@given(st.fixed_dictionaries({}, optional={name: st.none() | st.text() for name in request().to_dict()}))
def test_no_response_is_accepted_for_another_request(kept: Any) -> None:
    """RFC 9700, section 2.1: whatever a session holds that was not made here, no code is sent."""
    with pytest.raises((AuthorizationError, TypeError, ValueError)):
        client().fetch_token({"code": CODE, "state": kept.get("state")}, request=kept)
