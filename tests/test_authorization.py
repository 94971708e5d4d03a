"""The authorization request, and every answer that may come back: values alone, no provider."""

from __future__ import annotations

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
    Environment,
    OAuthClient,
    _authorization,
)
from foxy_auth._oauth.authorization import read_authorization_response

if TYPE_CHECKING:
    from collections.abc import Callable

CLIENT_ID = "client_FakeFakeFakeFakeFake"
SECRET = "FakeSecretFakeSecret"
REDIRECT_URI = "https://www.example.com/oauth"
STATE = "FakeStateFakeStateFakeState"
CODE = "0fa4efa4efa4efa4efa4efa4efa4efa4efa4e000"


def client(environment: Environment = PRODUCTION) -> OAuthClient:
    """Return a client as a reader of the provider's page has registered it."""
    return OAuthClient(CLIENT_ID, SECRET, redirect_uri=REDIRECT_URI, environment=environment)


def parameters(url: str) -> dict[str, str]:
    """Return the parameters of an address, each of which stands there once."""
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
            id="overridden",
        ),
    ],
)
def test_users_are_forwarded_to_the_environments_endpoint(environment: Environment, endpoint: str) -> None:
    """3P: "Your application should forward users to the following URL"."""
    url = client(environment).authorization_request(STORE_FULL_ACCESS).url

    assert url.partition("?")[0] == endpoint


def test_the_request_has_the_four_required_parameters_and_no_other() -> None:
    """3P: response_type is "code", client_id, scope and state are required; nothing undocumented is sent unasked."""
    request = client().authorization_request(STORE_FULL_ACCESS)

    assert parameters(request.url) == {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "scope": "store_full_access",
        "state": request.state,
    }


@pytest.mark.parametrize(
    "scope",
    [
        pytest.param(STORE_FULL_ACCESS, id="a store"),
        pytest.param(USER_FULL_ACCESS, id="a user account"),
        pytest.param(CLIENT_FULL_ACCESS, id="a client"),
        pytest.param("carts_read transactions_resend", id="granular"),
        pytest.param("sch\u00f6n & neu", id="whatever else"),
    ],
)
def test_any_scope_can_be_asked_for(scope: str) -> None:
    """3P: the scope is store_full_access or user_full_access; others pass too, for there are granular ones."""
    assert parameters(client().authorization_request(scope).url)["scope"] == scope


def test_the_scopes_are_named_as_the_provider_names_them() -> None:
    """TERM: "There are currently three different scopes"."""
    assert (CLIENT_FULL_ACCESS, USER_FULL_ACCESS, STORE_FULL_ACCESS) == (
        "client_full_access",
        "user_full_access",
        "store_full_access",
    )


@pytest.mark.parametrize("scope", [None, "", "  ", ["store_full_access"]], ids=repr)
def test_a_request_without_a_scope_is_refused_at_once(scope: Any) -> None:
    """R24: the provider's "you specify a scope parameter" is told before anybody is sent there."""
    with pytest.raises(ValueError, match="store_full_access"):
        client().authorization_request(scope)


def test_each_request_has_a_state_of_its_own() -> None:
    """3P: the state is "a unique randomly generated string for this request"."""
    states = {client().authorization_request(STORE_FULL_ACCESS).state for _ in range(100)}

    assert len(states) == 100


def test_the_state_comes_from_the_systems_randomness(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 6749, section 10.10: 48 letters and digits, which no seeded generator can foretell."""
    import random

    random.seed(1)
    first = client().authorization_request(STORE_FULL_ACCESS).state
    random.seed(1)
    second = client().authorization_request(STORE_FULL_ACCESS).state

    assert first != second
    assert re.fullmatch(r"[0-9A-Za-z]{48}", first)


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("https://id.example/authorize?lang=de&brand=a%26b", id="query"),
        pytest.param("https://id.example/authorize?lang=de&brand=a%26b#top", id="query and fragment"),
    ],
)
def test_the_endpoints_own_query_is_kept(endpoint: str) -> None:
    """RFC 6749, section 3.1: a query of the endpoint's own "MUST be retained"."""
    environment = Environment(api="https://api.foxycart.com", authorization_endpoint=endpoint)
    request = client(environment).authorization_request(STORE_FULL_ACCESS)

    assert parameters(request.url) == {
        "lang": "de",
        "brand": "a&b",
        "response_type": "code",
        "client_id": CLIENT_ID,
        "scope": STORE_FULL_ACCESS,
        "state": request.state,
    }


def test_the_redirect_uri_is_sent_when_asked_for() -> None:
    """RFC 6749, section 4.1.1: redirect_uri is optional; a client that wants it sent gets it sent exactly."""
    request = client().authorization_request(STORE_FULL_ACCESS, send_redirect_uri=True)

    assert parameters(request.url)["redirect_uri"] == REDIRECT_URI


def test_no_redirect_uri_to_send() -> None:
    """R24: whoever wants the redirect URI sent has to give one."""
    with pytest.raises(ValueError, match="redirect_uri"):
        OAuthClient(CLIENT_ID, SECRET).authorization_request(STORE_FULL_ACCESS, send_redirect_uri=True)


def test_pkce_sends_the_hash_of_the_verifier() -> None:
    """RFC 7636, sections 4.1 to 4.3: the challenge is the verifier's SHA-256, and the verifier stays here."""
    request = client().authorization_request(STORE_FULL_ACCESS, pkce=True)
    assert request.code_verifier is not None
    challenge = urlsafe_b64encode(sha256(request.code_verifier.encode()).digest()).rstrip(b"=").decode()

    assert parameters(request.url)["code_challenge"] == challenge
    assert parameters(request.url)["code_challenge_method"] == "S256"
    assert re.fullmatch(r"[0-9A-Za-z._~-]{43,128}", request.code_verifier)
    assert request.code_verifier not in request.url


def test_no_pkce_unless_asked_for() -> None:
    """The provider's page does not speak of PKCE, so it is off by default."""
    assert client().authorization_request(STORE_FULL_ACCESS).code_verifier is None


def test_a_request_shows_no_secret() -> None:
    """R23: neither state nor verifier stand in a request's repr, and so in no log."""
    request = client().authorization_request(STORE_FULL_ACCESS, pkce=True)

    assert repr(request) == str(request) == "<AuthorizationRequest to https://my.foxycart.com/authorize>"


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
    answer = f"{REDIRECT_URI}?{urlencode({'error': error, 'error_description': description, 'state': STATE})}"
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(answer, state=STATE)

    assert (caught.value.error, caught.value.description) == (error, description)
    assert str(caught.value) == f"{error}: {description}; {action}"


def test_the_row_about_the_missing_state_comes_without_a_state() -> None:
    """The one error that is about a missing state brings none back, and is told all the same."""
    answer = {"error": "invalid_request", "error_description": "The state parameter is required"}
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(answer, state=STATE)

    assert (caught.value.error, caught.value.description) == tuple(answer.values())


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
        pytest.param("x" * 5000, None, f"{'x' * 300}; begin a new authorization", id="endless"),
        pytest.param("a\r\nb\x1b[2J", None, "a  b [2J; begin a new authorization", id="control characters"),
    ],
)
def test_errors_that_the_page_does_not_know(error: str, description: str | None, message: str) -> None:
    """3P: "Your application should handle an error response appropriately", whatever it is."""
    answer = {"error": error, "state": STATE} | ({"error_description": description} if description else {})
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(answer, state=STATE)

    assert str(caught.value) == message
    assert caught.value.description == description


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"code": CODE + "\ud800", "state": STATE}, id="mapping"),
        pytest.param(f"{REDIRECT_URI}?code={CODE}\udcff&state={STATE}", id="URL"),
    ],
)
def test_a_code_of_half_characters_is_no_code(answer: Any) -> None:
    """R23: a code that cannot be sent is told as such, and stands neither in the error nor in what led to it."""
    with pytest.raises(AuthorizationError, match="code is broken; begin a new authorization") as caught:
        client().fetch_token(answer, state=STATE)

    assert caught.value.error == "invalid_response"
    assert CODE not in repr(caught.value) + repr(caught.value.__context__)


def test_an_error_beside_a_code_is_an_error() -> None:
    """A code that came with an error is not used."""
    with pytest.raises(AuthorizationError, match="access_denied"):
        read_authorization_response({"code": CODE, "state": STATE, "error": "access_denied"}, state=STATE)


# --- the state -----------------------------------------------------------------------------------------------------

FORGED = [
    pytest.param(STATE, "AnotherState", id="another"),
    pytest.param(STATE, STATE[:-1], id="cut short"),
    pytest.param(STATE, STATE + "x", id="longer"),
    pytest.param(STATE, STATE.swapcase(), id="case"),
    pytest.param(STATE, "", id="blank"),
    pytest.param(STATE, None, id="missing"),
    pytest.param(STATE, "\udcff", id="no text at all"),
    pytest.param(None, STATE, id="session expired"),
    pytest.param(None, None, id="session expired and none sent"),
    pytest.param("", "", id="blank on both sides"),
    pytest.param("None", None, id="the word None"),
]


@pytest.mark.parametrize(("kept", "sent"), FORGED)
@pytest.mark.parametrize(
    "rest",
    [
        pytest.param({"code": CODE}, id="code"),
        pytest.param({}, id="nothing"),
        pytest.param({"error": "access_denied"}, id="error"),
    ],
)
def test_another_state_aborts_before_anything_else(kept: str | None, sent: str | None, rest: dict[str, str]) -> None:
    """3P: "If the state value received does not match what you passed […], you should abort"."""
    answer = rest if sent is None else {**rest, "state": sent}
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(answer, state=kept)

    assert caught.value.error == "state_mismatch"
    assert "abort, and begin a new authorization" in str(caught.value)


def test_the_state_is_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The time that the comparison takes tells nothing of the state: `hmac.compare_digest` alone decides."""
    compared: list[tuple[bytes, bytes]] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return True

    monkeypatch.setattr(_authorization, "compare_digest", compare)
    code = read_authorization_response({"code": CODE, "state": "x"}, state=STATE)

    assert compared == [(STATE.encode(), b"x")]
    assert code == CODE


@pytest.mark.parametrize("state", [b"bytes", 7, ["list"]], ids=repr)
def test_a_state_that_is_no_text_is_wrong_use(state: Any) -> None:
    """R24: whoever hands over something else than the kept state is told so, and not that the answer is forged."""
    with pytest.raises(TypeError, match="state takes the state of the request as text"):
        read_authorization_response({"code": CODE, "state": STATE}, state=state)


def test_no_error_tells_the_state_or_the_code() -> None:
    """R23: an answer that is refused leaves neither its state, nor the kept one, nor its code in the error."""
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response({"code": CODE, "state": "FakeForgedState"}, state=STATE)

    assert not [secret for secret in (CODE, STATE, "FakeForgedState") if secret in repr(caught.value)]


@pytest.mark.parametrize("error", ["access_denied", "server_error", f"odd_{STATE}"])
def test_a_reported_error_that_repeats_state_and_code_is_told_without_them(error: str) -> None:
    """R23: what the provider's page says of an error is shown, but for the secrets of this answer."""
    answer = {"error": error, "error_description": f"No {STATE} for {CODE}.", "state": STATE, "code": CODE}
    with pytest.raises(AuthorizationError, match=r"No \[hidden\] for \[hidden\]\.; ") as caught:
        read_authorization_response(answer, state=STATE)

    assert caught.value.description == "No [hidden] for [hidden]."
    assert caught.value.error == error.replace(STATE, "[hidden]")
    assert not [secret for secret in (STATE, CODE) if secret in str(caught.value)]


def test_a_short_state_does_not_hide_the_words_of_the_page() -> None:
    """The errors of the provider's page are told in its words, whatever a state is."""
    answer = {"error": "access_denied", "error_description": "The user denied access to your application", "state": "s"}
    with pytest.raises(AuthorizationError, match=r"^access_denied: The user denied access to your application; "):
        read_authorization_response(answer, state="s")


# --- the shapes in which an answer comes ---------------------------------------------------------------------------

ANSWER = {"code": CODE, "state": STATE}
QUERY = urlencode(ANSWER)
AWKWARD_STATE = "a?b=c&d#e/\u00fc+ %"


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
    """A mapping as aiohttp and Pyramid have it: `getall` gives every value, and names may come twice."""

    def __init__(self, query: str) -> None:
        """Read *query*."""
        self._pairs = parse_qsl(query, keep_blank_values=True)
        super().__init__(self._pairs)

    def getall(self, name: str) -> list[str]:
        """Return every value of *name*."""
        return [value for one, value in self._pairs if one == name]


SHAPES: list[Any] = [
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


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_of_an_answer_is_read(shape: Callable[[str], Any]) -> None:
    """3P: "The endpoint will be passed two GET parameters", in whatever shape the web framework gives them."""
    assert read_authorization_response(shape(QUERY), state=STATE) == CODE


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_keeps_awkward_characters(shape: Callable[[str], Any]) -> None:
    """An application's own state comes back as it was, in every shape."""
    query = urlencode({"code": CODE, "state": AWKWARD_STATE})

    assert read_authorization_response(shape(query), state=AWKWARD_STATE) == CODE


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_brings_errors(shape: Callable[[str], Any]) -> None:
    """A denial is one in every shape, its blanks spelt as plus signs."""
    query = f"error=access_denied&error_description=The+user+denied+access+to+your+application&state={STATE}"
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(shape(query), state=STATE)

    assert caught.value.description == "The user denied access to your application"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("rest", ["x=a?b", "iss=https://as.example/?t=1", "to=//as.example/?a&b=/?c"])
def test_every_shape_may_hold_slashes_and_question_marks(shape: Callable[[str], Any], rest: str) -> None:
    """RFC 3986, section 3.4: a query may hold both as they are, wherever they stand in it."""
    for query in (f"code=4/abc&state={STATE}&{rest}", f"{rest}&code=4/abc&state={STATE}"):
        assert read_authorization_response(shape(query), state=STATE) == "4/abc"


@pytest.mark.parametrize(
    "place",
    ["localhost:8910/callback", "LOCALHOST", "/callback;v=1", "example.app:/callback;v=1", "HTTP://[x", "http://[::1"],
)
def test_an_address_need_not_be_a_whole_one(place: str) -> None:
    """What stands before the query does not count, whether it is an address or not."""
    for fragment in ("", "#_=_", "#/a?b=c"):
        assert read_authorization_response(f"{place}?{QUERY}{fragment}", state=STATE) == CODE


def test_a_query_keeps_no_fragment() -> None:
    """A fragment is no part of the last parameter, in a query alone neither."""
    assert read_authorization_response(f"{QUERY}#_=_", state=STATE) == CODE


ONCE = {"dict", "FastAPI"}  # shapes that cannot hold a name twice


@pytest.mark.parametrize("name", ["code", "state", "error"])
@pytest.mark.parametrize("shape", [shape for shape in SHAPES if shape.id not in ONCE])
def test_a_parameter_that_comes_twice_is_a_forgery(shape: Callable[[str], Any], name: str) -> None:
    """RFC 6749, section 3.1: parameters "MUST NOT be included more than once", whichever one a framework would pick."""
    query = f"{QUERY}&error=&{name}={quote(ANSWER.get(name, ''))}"
    if name == "error":
        query = f"{QUERY}&error=x&error=y"
    with pytest.raises(AuthorizationError) as caught:
        read_authorization_response(shape(query), state=STATE)

    assert caught.value.error == "invalid_response"
    assert name in str(caught.value)


def test_the_redirect_uris_own_query_may_say_anything() -> None:
    """A redirect URI may have a query of its own, in which names may come twice."""
    assert read_authorization_response(f"{REDIRECT_URI}?tag=a&tag=b&{QUERY}", state=STATE) == CODE


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param({"state": STATE}, id="missing"),
        pytest.param({"state": STATE, "code": ""}, id="blank"),
        pytest.param({"state": STATE, "code": None}, id="None"),
        pytest.param({"state": [STATE], "code": []}, id="empty list"),
        pytest.param(f"{REDIRECT_URI}?state={STATE}", id="URL"),
        pytest.param(f"{REDIRECT_URI}?state={STATE}&error=&code=", id="URL with blanks"),
    ],
)
def test_an_answer_without_a_code(answer: Any) -> None:
    """An answer of the right state that has neither code nor error says so, and that one has to start over."""
    with pytest.raises(AuthorizationError, match="begin a new authorization") as caught:
        read_authorization_response(answer, state=STATE)

    assert caught.value.error == "missing_code"


def test_an_answer_that_is_cut_off_is_never_taken_for_whole() -> None:
    """Wherever an address is cut off, its state is missing or wrong, or its code is, and nobody is sent a token."""
    url = f"{REDIRECT_URI}?{urlencode({'code': CODE, 'state': STATE})}"
    accepted = []
    for length in range(len(url)):
        try:
            read_authorization_response(url[:length], state=STATE)
        except AuthorizationError:
            continue
        accepted.append(url[:length])

    assert accepted == []


@pytest.mark.parametrize("answer", [None, 7, b"code=x", ["code"], object()], ids=lambda value: type(value).__name__)
def test_something_else_than_an_answer_is_wrong_use(answer: Any) -> None:
    """R24: what is neither text nor a mapping is refused at once."""
    with pytest.raises(TypeError, match="takes a URL as text, or the parameters of its query"):
        read_authorization_response(answer, state=STATE)


@given(st.text() | st.dictionaries(st.text(), st.text() | st.none() | st.lists(st.text()) | st.binary()))
def test_no_answer_is_accepted_without_the_state(answer: Any) -> None:
    """Whatever a forger sends, it is an `AuthorizationError` and nothing else."""
    with pytest.raises(AuthorizationError):
        read_authorization_response(answer, state=STATE)
