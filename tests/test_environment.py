"""Where Foxy is, and which requests carry its token."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import httpx
import httpx2
import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st
from support.properties import WIDE_PROPERTY
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from foxy_auth import OAuthClient
from foxy_auth._oauth.origin import DEFAULT_PORTS, Origin
from foxy_auth.environment import FOXY_IO, PRODUCTION, SANDBOX, Environment, known_environment

LOOPBACK = Environment(api="http://127.0.0.1:8080", origins=("http://[::1]:8080", "http://localhost:8080"))
OWN = PRODUCTION.origins | LOOPBACK.origins

# --- which requests carry the token --------------------------------------------------------------------------------

COVERED = [
    pytest.param(PRODUCTION, "https://api.foxycart.com", id="home"),
    pytest.param(PRODUCTION, "https://api.foxycart.com/stores/3200?zoom=x#y", id="path, query, fragment"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:443/", id="default port"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:/", id="empty port"),
    pytest.param(PRODUCTION, "HTTPS://API.FoxyCart.COM/", id="case"),
    pytest.param(PRODUCTION, "https://api.foxy.io/", id="the other name of production"),
    pytest.param(FOXY_IO, "https://api.foxycart.com/", id="the classic name of production"),
    pytest.param(SANDBOX, "https://api-sandbox.foxycart.com/", id="sandbox"),
    pytest.param(PRODUCTION, "https://user:pass@api.foxycart.com/", id="userinfo before our host"),
    pytest.param(PRODUCTION, "https://evil.example@api.foxycart.com/", id="a host as userinfo before our host"),
    pytest.param(PRODUCTION, "https://api.foxycart.com/@evil.example/", id="at sign in the path"),
    pytest.param(PRODUCTION, "https://api.foxycart.com?@evil.example/", id="at sign in the query"),
    pytest.param(PRODUCTION, "https://api.foxycart.com#@evil.example/", id="at sign in the fragment"),
    pytest.param(LOOPBACK, "http://127.0.0.1:8080/", id="loopback"),
    pytest.param(LOOPBACK, "http://[::1]:8080/", id="IPv6"),
    pytest.param(LOOPBACK, "http://LOCALHOST:8080/", id="localhost"),
]
FOREIGN = [
    pytest.param(PRODUCTION, "https://api.foxycart.com.evil.example/", id="our name as a subdomain"),
    pytest.param(PRODUCTION, "https://api.foxycart.comevil.example/", id="our name as a beginning"),
    pytest.param(PRODUCTION, "https://evilapi.foxycart.com/", id="our name as an end"),
    pytest.param(PRODUCTION, "https://x.api.foxycart.com/", id="a subdomain of ours"),
    pytest.param(PRODUCTION, "https://foxycart.com/", id="the parent domain"),
    pytest.param(PRODUCTION, "https://admin.foxycart.com/", id="a sister"),
    pytest.param(PRODUCTION, "https://my.foxycart.com/authorize", id="the authorization server"),
    pytest.param(PRODUCTION, "https://api-sandbox.foxycart.com/", id="the sandbox from production"),
    pytest.param(SANDBOX, "https://api.foxycart.com/", id="production from the sandbox"),
    pytest.param(PRODUCTION, "http://api.foxycart.com/", id="clear text"),
    pytest.param(PRODUCTION, "http://api.foxycart.com:443/", id="clear text on the port of TLS"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:444/", id="another port"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:0/", id="port zero"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:443:80/", id="two ports"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:x/", id="a word as the port"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:99999/", id="no such port"),
    pytest.param(PRODUCTION, "https://api.foxycart.com@evil.example/", id="our name as userinfo"),
    pytest.param(PRODUCTION, "https://api.foxycart.com:443@evil.example/", id="our name and port as userinfo"),
    pytest.param(PRODUCTION, "https://evil.example/https://api.foxycart.com/", id="our address as path"),
    pytest.param(PRODUCTION, "https://evil.example?https://api.foxycart.com/", id="our address as query"),
    pytest.param(PRODUCTION, "https://evil.example#@api.foxycart.com/", id="our name as fragment"),
    pytest.param(PRODUCTION, "https://evil.example\\@api.foxycart.com/", id="backslash before the at sign"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\\.evil.example/", id="backslash in the host"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\\", id="backslash at the end"),
    pytest.param(PRODUCTION, "https://api.foxy\tcart.com/", id="tab"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\n.evil.example/", id="newline"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\r\n/", id="carriage return"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\x00.evil.example/", id="null"),
    pytest.param(PRODUCTION, " https://api.foxycart.com/", id="space before"),
    pytest.param(PRODUCTION, "https://api.foxycart.com /", id="space after the host"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\u00a0/", id="no-break space"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\u200b.evil.example/", id="zero-width space"),
    pytest.param(PRODUCTION, "https://api.foxycart.com%2f.evil.example/", id="escaped slash"),
    pytest.param(PRODUCTION, "https://api.foxycart%2ecom/", id="escaped dot"),
    pytest.param(PRODUCTION, "https://api.f\u043exycart.com/", id="Cyrillic lookalike"),
    pytest.param(PRODUCTION, "https://api.xn--fxycart-9lf.com/", id="lookalike in punycode"),
    pytest.param(PRODUCTION, "https://api\uff0efoxycart\u3002com/", id="wide dots"),
    pytest.param(PRODUCTION, "https://api.foxycart.com\uff0f.evil.example/", id="wide slash"),
    pytest.param(PRODUCTION, "https://api.foxycart.com./", id="trailing dot"),
    pytest.param(PRODUCTION, "//api.foxycart.com/", id="no scheme"),
    pytest.param(PRODUCTION, "api.foxycart.com", id="a host alone"),
    pytest.param(PRODUCTION, "https:api.foxycart.com/", id="no slashes"),
    pytest.param(PRODUCTION, "https:///api.foxycart.com/", id="no host"),
    pytest.param(PRODUCTION, "ftp://api.foxycart.com/", id="another scheme"),
    pytest.param(PRODUCTION, "", id="nothing"),
    pytest.param(PRODUCTION, "https://[::1", id="broken IPv6"),
    pytest.param(LOOPBACK, "http://127.0.0.1:8081/", id="another port of loopback"),
    pytest.param(LOOPBACK, "http://127.0.0.1/", id="the default port of loopback"),
    pytest.param(LOOPBACK, "https://127.0.0.1:8080/", id="TLS where clear text is meant"),
    pytest.param(LOOPBACK, "http://127.0.0.2:8080/", id="another address of loopback"),
    pytest.param(LOOPBACK, "http://127.1:8080/", id="short IPv4"),
    pytest.param(LOOPBACK, "http://0x7f.0.0.1:8080/", id="hexadecimal IPv4"),
    pytest.param(LOOPBACK, "http://127.0.0.1.evil.example:8080/", id="an address as a subdomain"),
    pytest.param(LOOPBACK, "http://[::1]evil.example:8080/", id="a name behind IPv6"),
    pytest.param(LOOPBACK, "http://evil.example[::1]:8080/", id="a name before IPv6"),
    pytest.param(LOOPBACK, "http://[::1][::2]:8080/", id="two IPv6"),
    pytest.param(LOOPBACK, "http://[::1]:x:8080/", id="two ports of IPv6"),
    pytest.param(LOOPBACK, "http://[::2]:8080/", id="another IPv6"),
]


@pytest.mark.parametrize(("environment", "url"), COVERED)
def test_its_own_origins_carry_the_token(environment: Environment, url: str) -> None:
    """R1: a request to an origin of the environment carries the token, however the address is written."""
    assert environment.covers(url)


@pytest.mark.parametrize(("environment", "url"), FOREIGN)
def test_no_other_origin_gets_the_token(environment: Environment, url: str) -> None:
    """R1: lookalikes, other schemes and ports, and addresses that parsers read differently carry no token."""
    assert not environment.covers(url)
    assert not url.startswith(environment.prefixes)


@pytest.mark.parametrize(
    ("environment", "prefixes"),
    [
        pytest.param(PRODUCTION, {"https://api.foxycart.com/", "https://api.foxy.io/"}, id="production"),
        pytest.param(
            LOOPBACK,
            {"http://127.0.0.1:8080/", "http://[::1]:8080/", "http://localhost:8080/"},
            id="loopback",
        ),
        pytest.param(
            Environment(api="HTTPS://API.Example:443/v2", origins=("https://[FE80::A]",)),
            {"https://api.example/", "https://[fe80::a]/"},
            id="default ports",
        ),
    ],
)
def test_ordinary_addresses_are_known_without_parsing(environment: Environment, prefixes: set[str]) -> None:
    """R1: origins are ready as the beginnings of addresses, and as httpx and httpx2 show them."""
    urls = [library.URL(f"{prefix}x?y") for prefix in prefixes for library in (httpx, httpx2)]

    assert set(environment.prefixes) == prefixes
    assert {(url.scheme, url.netloc) for url in urls} == environment.netlocs


@pytest.mark.parametrize(
    ("environment", "shown"),
    [
        (PRODUCTION, "PRODUCTION"),
        (FOXY_IO, "FOXY_IO"),
        (SANDBOX, "SANDBOX"),
        (SANDBOX.replace(), "SANDBOX"),
        (Environment(api="http://127.0.0.1:8000"), "Environment(api='http://127.0.0.1:8000')"),
        (
            SANDBOX.replace(api="https://a.example/v2", origins=["https://b.example:8443"], issuer="https://c.example"),
            (
                "Environment(api='https://a.example/v2', token_endpoint='https://api-sandbox.foxycart.com/token', "
                "authorization_endpoint='https://my-sandbox.foxycart.com/authorize', issuer='https://c.example', "
                "origins=['https://b.example:8443'])"
            ),
        ),
    ],
)
def test_an_environment_is_shown_as_it_is_written(environment: Environment, shown: str) -> None:
    """The provider's environments go by their names, so that signatures can be read; others show how they are made."""
    assert repr(environment) == shown
    assert eval(shown) == environment  # noqa: S307 - our own text


# What addresses are made of, and what parsers stumble over.
PIECES = (  # noqa: SIM905 - a list would take a screen
    "api.foxycart.com api.foxy.io evil.example user 443 8080 [::1]:8080 127.0.0.1:8080 127.1 ::1 @ : / // ? # [ ] . ; "
    "& \\ %2f %00 %40 \u3002 \uff0f \u00ad \u200d \u017f"
).split()
AUTHORITY = st.lists(st.sampled_from([*PIECES, " ", "\t", "\r\n"]) | st.text(max_size=2), max_size=8).map("".join)
SCHEMES = st.sampled_from(
    ["https://", "http://", "https:", "https:/", "https:///", "HTTPS://", "https:\\\\", "//", " https://"]
)


@WIDE_PROPERTY
@given(st.builds(str.__add__, SCHEMES, AUTHORITY))
@example("https://api.foxycart.com")
@example("https://evil.example\\@api.foxycart.com/")
@example("https://api.foxycart.com\\@evil.example/")
@example("http://[::1]:8080")
@example("https://api.foxycart.com:0/")
@example("https://api.foxycart.com/\\@evil.example/")
@example("https://api.foxycart.com/\n@evil.example/")
@example("http://[::1]evil.example:8080/")
@example("http://evil.example[::1]:8080/")
def test_a_covered_address_leads_every_client_to_a_covered_host(url: str) -> None:
    """R1: with a covered address, urllib3 (requests) and httpx connect to its origin or to none."""
    origin = Origin.of(url)
    targets = {_where_urllib3_connects(url), _where_httpx_connects(url)}

    assert origin is None or origin.scheme in DEFAULT_PORTS
    if origin in OWN:
        assert targets <= {None, origin}
    if url.startswith(PRODUCTION.prefixes + LOOPBACK.prefixes):
        assert targets <= {None, *OWN}


def _where_urllib3_connects(url: str) -> Origin | None:
    try:
        parts = parse_url(url)
    except LocationParseError:
        return None
    if not parts.host or parts.scheme not in {"http", "https"}:
        return None
    port = DEFAULT_PORTS[parts.scheme] if parts.port is None else parts.port
    return Origin(parts.scheme, parts.host.strip("[]"), port)


def _where_httpx_connects(url: str) -> Origin | None:
    try:
        parts = httpx.URL(url)
        host, port = parts.host, parts.port
    except (httpx.InvalidURL, ValueError):
        return None
    if not host or parts.scheme not in {"http", "https"}:
        return None
    target = Origin(parts.scheme, host, DEFAULT_PORTS[parts.scheme] if port is None else port)
    assert ((parts.scheme, parts.netloc) in PRODUCTION.netlocs | LOOPBACK.netlocs) == (target in OWN)
    return target


# --- who may issue authorization responses -------------------------------------------------------------------------

NAMED = PRODUCTION.replace(issuer="https://id.foxy.example/oauth")


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        pytest.param(PRODUCTION, "https://my.foxycart.com", id="authorization endpoint's origin"),
        pytest.param(PRODUCTION, "https://my.foxycart.com/", id="with a slash"),
        pytest.param(PRODUCTION, "https://my.foxycart.com:443/oauth/2", id="with port and path"),
        pytest.param(PRODUCTION, "https://api.foxycart.com", id="API"),
        pytest.param(PRODUCTION, "https://api.foxy.io", id="the API's other name"),
        pytest.param(PRODUCTION, "https://auth.foxy.io", id="the authorization endpoint's other name"),
        pytest.param(FOXY_IO, "https://my.foxycart.com", id="and the other way round"),
        pytest.param(SANDBOX, "https://my-sandbox.foxycart.com", id="sandbox"),
        pytest.param(LOOPBACK, "http://127.0.0.1:8080", id="loopback"),
        pytest.param(
            LOOPBACK.replace(token_endpoint="https://tokens.example/"), "https://tokens.example", id="token endpoint"
        ),
        pytest.param(NAMED, "https://id.foxy.example/oauth", id="named"),
    ],
)
def test_an_environment_may_call_itself_by_its_addresses(environment: Environment, name: str) -> None:
    """RFC 9207: the provider documents no issuer, so any address of the environment's origins is accepted as one."""
    assert environment.is_issuer(name)


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        pytest.param(PRODUCTION, "https://my-sandbox.foxycart.com", id="sandbox for production"),
        pytest.param(SANDBOX, "https://my.foxycart.com", id="production for sandbox"),
        pytest.param(SANDBOX, "https://auth.foxy.io", id="production for sandbox, by its other name"),
        pytest.param(PRODUCTION, "http://my.foxycart.com", id="http"),
        pytest.param(PRODUCTION, "https://my.foxycart.com:8443", id="another port"),
        pytest.param(PRODUCTION, "https://my.foxycart.com.evil.example", id="a longer host"),
        pytest.param(PRODUCTION, "https://evil.example/my.foxycart.com", id="our name as path"),
        pytest.param(PRODUCTION, "https://my.foxycart.com@evil.example", id="our name as userinfo"),
        pytest.param(PRODUCTION, "https://evil@my.foxycart.com", id="with userinfo"),
        pytest.param(PRODUCTION, "https://my.foxycart.com?x", id="with a query"),
        pytest.param(PRODUCTION, "https://my.foxycart.com#x", id="with a fragment"),
        pytest.param(PRODUCTION, "my.foxycart.com", id="a host alone"),
        pytest.param(PRODUCTION, "https://", id="no host"),
        pytest.param(PRODUCTION, "", id="nothing"),
        pytest.param(PRODUCTION, "None", id="a word"),
        pytest.param(NAMED, "https://id.foxy.example/oauth/", id="named, with a slash"),
        pytest.param(NAMED, "https://my.foxycart.com", id="named, and called by its address"),
        pytest.param(Environment(api="https://api.foxycart.com"), "https://auth.foxy.io", id="not Foxy's own"),
    ],
)
def test_no_other_issuer_is_the_environments(environment: Environment, name: str) -> None:
    """RFC 9207, section 2.4: no other issuer is this environment; a name that was given is compared to the letter."""
    assert not environment.is_issuer(name)


# --- what an environment is ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "api", "authorization_endpoint", "hosts"),
    [
        pytest.param(
            PRODUCTION,
            "https://api.foxycart.com",
            "https://my.foxycart.com/authorize",
            {"api.foxycart.com", "api.foxy.io"},
            id="production",
        ),
        pytest.param(
            FOXY_IO,
            "https://api.foxy.io",
            "https://auth.foxy.io/authorize",
            {"api.foxycart.com", "api.foxy.io"},
            id="foxy.io",
        ),
        pytest.param(
            SANDBOX,
            "https://api-sandbox.foxycart.com",
            "https://my-sandbox.foxycart.com/authorize",
            {"api-sandbox.foxycart.com"},
            id="sandbox",
        ),
    ],
)
def test_presets_are_the_providers_addresses(
    environment: Environment, api: str, authorization_endpoint: str, hosts: set[str]
) -> None:
    """3P: "https://api.foxycart.com/token", and the addresses of the provider's other pages, all over TLS."""
    assert (environment.api, environment.token_endpoint) == (api, f"{api}/token")
    assert environment.authorization_endpoint == authorization_endpoint
    assert environment.origins == {Origin("https", host, 443) for host in hosts}
    assert OAuthClient("id", "FakeSecret").environment is PRODUCTION


@pytest.mark.parametrize("api", ["http://127.0.0.1:8080", "http://127.0.0.1:8080/", "http://127.0.0.1:8080//"])
def test_endpoints_are_below_the_api_home(api: str) -> None:
    """Endpoints that are not given are below the API home, with one slash between."""
    environment = Environment(api=api)

    assert environment.token_endpoint == "http://127.0.0.1:8080/token"
    assert environment.authorization_endpoint == "http://127.0.0.1:8080/authorize"


def test_other_endpoints_and_origins_can_be_given() -> None:
    """R1: every address can be another one; an endpoint's origin carries no access token unless it is the API's."""
    own = Environment(
        api="https://api.foxy.io",
        token_endpoint="https://tokens.example/t",
        authorization_endpoint="https://users.example/a",
        origins=("https://proxy.example",),
    )

    assert (own.token_endpoint, own.authorization_endpoint) == ("https://tokens.example/t", "https://users.example/a")
    assert own.covers("https://proxy.example/stores/1")
    assert not own.covers("https://tokens.example/t")


@pytest.mark.parametrize(
    "url",
    [
        pytest.param("http://127.0.0.1:8080", id="IPv4"),
        pytest.param("http://127.8.8.8", id="anywhere in 127/8"),
        pytest.param("http://[::1]:8080", id="IPv6"),
        pytest.param("https://[FE80::A]:8080", id="IPv6 in capitals"),
        pytest.param("http://localhost:8080", id="localhost"),
        pytest.param("https://api.example", id="https anywhere"),
    ],
)
def test_takes_safe_addresses(url: str) -> None:
    """R1: an environment takes https, and plain http on loopback."""
    assert Environment(api=url).covers(url)


@pytest.mark.parametrize("field", ["api", "token_endpoint", "authorization_endpoint", "origins", "issuer"])
@pytest.mark.parametrize(
    ("url", "kind"),
    [
        pytest.param("http://api.foxycart.com", ValueError, id="clear text"),
        pytest.param("http://localhost.evil.example", ValueError, id="clear text to a lookalike of localhost"),
        pytest.param("http://128.0.0.1", ValueError, id="clear text beside loopback"),
        pytest.param("http://0.0.0.0:8080", ValueError, id="clear text to any address"),
        pytest.param("https://user:pass@api.foxycart.com", ValueError, id="userinfo"),
        pytest.param("https://api.foxycart.com\\x", ValueError, id="backslash"),
        pytest.param("https://api.foxycart.com\n", ValueError, id="newline"),
        pytest.param("api.foxycart.com", ValueError, id="no scheme"),
        pytest.param("ftp://api.foxycart.com", ValueError, id="another scheme"),
        pytest.param("https://[fe80::1%25eth0]", ValueError, id="IPv6 of one network card"),
        pytest.param("https://b\u00fccher.example", ValueError, id="host not ASCII"),
        pytest.param("", ValueError, id="nothing"),
        pytest.param(b"https://api.foxycart.com", TypeError, id="bytes"),
        pytest.param(443, TypeError, id="a number"),
    ],
)
def test_refuses_unsafe_addresses(field: str, url: Any, kind: type[Exception]) -> None:
    """R1, R24: an address to which secrets must not be sent is refused at once, and its field named."""
    fields: dict[str, Any] = {"api": "https://api.foxycart.com", field: [url] if field == "origins" else url}

    with pytest.raises(kind, match=field):
        Environment(**fields)


@pytest.mark.parametrize(
    "api", ["https://api.foxycart.com?x=1", "https://api.foxycart.com/?", "https://a.example/#top"]
)
def test_refuses_an_api_home_with_a_query_or_fragment(api: str) -> None:
    """R24: paths are appended to the API home, so it has neither a query nor a fragment."""
    with pytest.raises(ValueError, match=r"Environment\.api takes an address without '\?' and '#'"):
        Environment(api=api)


@pytest.mark.parametrize(
    "api",
    [
        "https://api.foxycart.com",
        "https://api.foxycart.com/",
        "https://API.FoxyCart.com/",
        "https://api.foxycart.com:443/",
        "HTTPS://api.foxycart.com:",
    ],
)
def test_the_providers_own_home_is_known_however_it_is_written(api: str) -> None:
    """RFC 6454, section 5: origins are compared, not addresses."""
    assert known_environment(api) is PRODUCTION


@pytest.mark.parametrize(
    "api", ["https://api.foxycart.com/v2", "https://api.foxycart.com:8443", "https://api.foxycart.com.evil.example"]
)
def test_another_home_is_an_installation_of_its_own(api: str) -> None:
    """An API home at another address is not the provider's own, so its endpoints are below it."""
    assert known_environment(api) == Environment(api=api)
    assert known_environment(api).token_endpoint == f"{api}/token"


def test_a_host_is_taken_in_ascii_as_clients_send_it() -> None:
    """RFC 3490: clients send xn--…, so a host in other characters would never match."""
    with pytest.raises(ValueError, match=r"Environment\.api takes the host in ASCII \(xn--…\)"):
        Environment(api="https://b\u00fccher.example")
    sent = requests.Request("GET", "https://b\u00fccher.example/").prepare()

    assert Environment(api="https://xn--bcher-kva.example").covers(sent.url or "")


def test_refuses_origins_as_one_text() -> None:
    """R24: one text instead of several origins is refused, not read character by character."""
    with pytest.raises(TypeError, match="collection"):
        Environment(api="https://api.foxycart.com", origins="https://api.foxy.io")


def test_an_environment_with_another_endpoint() -> None:
    """`replace` checks what it changes, and keeps the rest."""
    endpoint = "https://proxy.example/token"
    changed = PRODUCTION.replace(token_endpoint=endpoint)

    assert changed == Environment(
        api=PRODUCTION.api,
        token_endpoint=endpoint,
        authorization_endpoint=PRODUCTION.authorization_endpoint,
        origins=("https://api.foxy.io",),
    )
    with pytest.raises(ValueError, match=r"Environment\.token_endpoint must be https"):
        PRODUCTION.replace(token_endpoint="http://proxy.example/token")


def test_origins_are_checked_too() -> None:
    """R1: an `Origin`, as `replace` passes it, is checked, and is not an address of an endpoint."""
    cleartext: Any = [Origin("http", "api.example", 80)]
    origin: Any = Origin("https", "api.example", 443)
    with pytest.raises(TypeError, match=r"Environment\.origins must be an address"):
        PRODUCTION.replace(origins=cleartext)
    with pytest.raises(TypeError, match=r"Environment\.token_endpoint must be an address"):
        PRODUCTION.replace(token_endpoint=origin)


def test_an_environment_is_a_value() -> None:
    """R21: environments compare by value and survive pickle and copies."""
    for again in (pickle.loads(pickle.dumps(PRODUCTION)), copy.deepcopy(PRODUCTION)):  # noqa: S301 - our own pickle
        assert (again, again.prefixes, again.netlocs) == (PRODUCTION, PRODUCTION.prefixes, PRODUCTION.netlocs)
    assert Environment(api="https://a.example") == Environment(api="https://a.example") != PRODUCTION
    assert "prefixes" not in repr(PRODUCTION)
