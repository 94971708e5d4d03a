"""What Foxy itself says: the API home, its clock, the client, the grant. Nothing is spent for it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any

from foxy_auth._oauth.hal import link, resource_request
from foxy_auth._oauth.messages import (
    ClientCredentials,
    HttpResponse,
    authorization_header,
    clean,
    error_messages,
    json_object,
    read_token_response,
    text_of,
    token_request,
)
from foxy_auth._secrets import Secret
from foxy_auth._transport import send
from foxy_auth.cli.doctor.finding import Finding, Setup, fail, failed, ok, skipped, warn
from foxy_auth.cli.doctor.storage import load_token
from foxy_auth.errors import FoxyAuthError, LoginRequiredError, TokenRefusedError
from foxy_auth.token import Token, secrets_of

TIMEOUT = 4.0  # seconds
UNAUTHORIZED = 401
MADE_UP = "made-up-by-foxy-auth-doctor"
# Seconds. The package itself does not mind, but logs, signed cookies and certificates do.
SLIGHTLY_OFF, OFF = 30.0, 300.0


def check_api(setup: Setup) -> Iterator[Finding]:
    """Ask for the API home, without a token, and compare the clocks."""
    if setup.library is None:
        yield skipped("api", "there is no client library")
        return
    environment, began = setup.settings.environment, time.time()
    try:
        response = send(resource_request(environment.api, api_version="1"), through=setup.library, timeout=TIMEOUT)
    except FoxyAuthError as error:
        yield failed("api", error, "Try later")
        yield skipped("clock", "there was no response")
        return
    ended = time.time()
    if link(json_object(response.body), "fx:token", base=environment.api):
        yield ok("api", f"{environment.api} responded in {ended - began:.2f} s")
    else:
        message = f"{environment.api} responded with {response.status}, and is no API home"
        yield fail("api", message, "Check FOXY_API_URL or --environment.")
    yield _clock(response, (began + ended) / 2)


def check_token_endpoint(setup: Setup) -> Iterator[Finding]:
    """Let the token endpoint judge the client by a made-up refresh token, which it looks at last."""
    settings = setup.settings
    if setup.obstacle:
        yield skipped("token endpoint", setup.obstacle)
        return
    secret = Secret(str(settings.client_secret))
    client = ClientCredentials(str(settings.client_id), secret)
    url, hidden = settings.environment.token_endpoint, (secret,)
    request = token_request(client, "refresh_token", {"refresh_token": MADE_UP}, url=url, api_version="1")
    try:
        response = send(request, through=str(setup.library), timeout=TIMEOUT, hidden=lambda: hidden)
        read_token_response(response, asked_at=time.time(), refresh_token=None, scope="", hidden=hidden)
    except LoginRequiredError:
        yield ok("token endpoint", "accepts the client's id and secret (asked with a made-up refresh token)")
    except TokenRefusedError as error:
        remedy = "Copy id and secret again from Foxy's admin, and check that they are of this environment."
        yield fail("token endpoint", f"refuses the client ({error.description or error.error})", remedy)
    except FoxyAuthError as error:
        yield failed("token endpoint", error, "Try later")
    else:
        yield warn("token endpoint", "issued a token for a made-up refresh token", "Check FOXY_API_URL.")


def check_grant(setup: Setup) -> Iterator[Finding]:
    """Ask for the API home with the stored access token; the refresh token is not used."""
    if setup.obstacle:
        yield skipped("grant", setup.obstacle)
        return
    token = load_token(setup)
    if token is None:
        yield skipped("grant", "there is no stored token")
    elif token.expired(time.time()) and token.refresh_token is None:
        yield fail("grant", "the token has expired, and there is no refresh token", "Run foxy-auth login.")
    elif token.expired(time.time()):
        yield skipped(
            "grant",
            "the access token has expired, and the refresh token is not spent for this; foxy-auth refresh tells",
        )
    else:
        yield _accepted(setup, str(setup.library), token)


def _accepted(setup: Setup, library: str, token: Token) -> Finding:
    headers = {"Authorization": authorization_header(token)}
    request = resource_request(setup.settings.environment.api, api_version="1", headers=headers)
    hidden = secrets_of(token)
    try:
        response = send(request, through=library, timeout=TIMEOUT, hidden=lambda: hidden)
    except FoxyAuthError as error:
        return failed("grant", error, "Try later")
    if response.status == UNAUTHORIZED:
        fields: Any = json_object(response.body)
        reasons = [*error_messages(fields), text_of(fields.get("error_description"))]
        reason = clean("; ".join(filter(None, reasons)) or "no explanation", hidden)
        return fail(
            "grant",
            f"the API refuses the access token, which has not expired ({reason}): access was probably revoked",
            "Run foxy-auth refresh, and if that is refused too, foxy-auth login.",
        )
    return ok("grant", "the API accepts the access token; the refresh token was not used")


def _clock(response: HttpResponse, here: float) -> Finding:
    try:
        there = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return skipped("clock", "the response has no Date")
    off = here - there - 0.5  # Date has whole seconds
    if abs(off) < SLIGHTLY_OFF:
        return ok("clock", "agrees with the server's")
    message = f"is {_duration(abs(off))} {'ahead of' if off > 0 else 'behind'} the server's"
    remedy = "Set it, best by NTP: timedatectl set-ntp true."
    return fail("clock", message, remedy) if abs(off) >= OFF else warn("clock", message, remedy)


def _duration(seconds: float) -> str:
    from foxy_auth.cli.times import duration

    return duration(seconds) if seconds >= 60 else f"{seconds:.0f} seconds"  # noqa: PLR2004
