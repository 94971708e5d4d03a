"""`from_env`: a grant, or an OAuth client, from the environment variables of the provider's own SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from foxy_auth import FOXY_IO, PRODUCTION, FoxyAuth, OAuthClient, Token
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foxy_auth.emulator import Emulator


def variables_of(foxy: Emulator, refresh_token: str | None) -> dict[str, str]:
    """Return the variables as a shell may set them, with whitespace."""
    return {
        "FOXY_API_CLIENT_ID": foxy.client_id,
        "FOXY_API_CLIENT_SECRET": f" {foxy.client_secret}\n",
        "FOXY_API_REFRESH_TOKEN": refresh_token or "",
        "FOXY_API_URL": foxy.url,
    }


def test_the_variables_are_enough(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grant is taken from the process's environment, or from a mapping."""
    variables = variables_of(foxy, foxy.grant().refresh_token)
    FoxyAuth.from_env(variables).get_token()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    FoxyAuth.from_env().get_token()

    assert [call.status for call in foxy.token_calls] == [200, 200]


def test_a_saved_token_takes_precedence(foxy: Emulator) -> None:
    """R10: The refresh token of a saved token is used, and not that of the variable, which was rotated since."""
    foxy.rotate_refresh_tokens = True
    saved: list[Token] = []
    variables = variables_of(foxy, foxy.grant().refresh_token)
    FoxyAuth.from_env(variables, on_token=saved.append).get_token()
    FoxyAuth.from_env(variables, token=saved[0]).refresh()

    assert [call.form["refresh_token"] for call in foxy.token_calls] == [
        variables["FOXY_API_REFRESH_TOKEN"],
        saved[0].refresh_token,
    ]


def test_a_saved_token_without_a_refresh_token(foxy: Emulator) -> None:
    """A saved token that has no refresh token is refreshed with that of the variable."""
    variables = variables_of(foxy, foxy.grant().refresh_token)
    FoxyAuth.from_env(variables, token=Token("fake-access")).refresh()

    assert [call.status for call in foxy.token_calls] == [200]


@pytest.mark.parametrize("source", ["token", "store"])
def test_a_token_or_a_store_instead_of_the_variable(foxy: Emulator, source: str) -> None:
    """With a token, or a store that has one, no variable with a refresh token is needed."""
    token = foxy.grant()
    options: dict[str, Any] = {"token": token} if source == "token" else {"store": MemoryStore(token)}

    assert FoxyAuth.from_env(variables_of(foxy, None), **options).get_token() == token


GOOD = {"FOXY_API_CLIENT_ID": "i", "FOXY_API_CLIENT_SECRET": "FakeSecret", "FOXY_API_REFRESH_TOKEN": "FakeRefresh"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"FOXY_API_CLIENT_ID": ""}, "FOXY_API_CLIENT_ID$"),
        ({"FOXY_API_CLIENT_ID": " ", "FOXY_API_REFRESH_TOKEN": ""}, "FOXY_API_CLIENT_ID and FOXY_API_REFRESH_TOKEN$"),
        ({"FOXY_API_URL": "http://api.foxycart.com"}, "^FOXY_API_URL: .* must be https"),
        ({"FOXY_API_URL": "api.foxycart.com"}, "^FOXY_API_URL: "),
    ],
)
def test_a_wrong_variable_is_named(wrong: Mapping[str, str], message: str) -> None:
    """R24: An error names each variable that is to be set, or set right."""
    with pytest.raises(ValueError, match=message):
        FoxyAuth.from_env({**GOOD, **wrong})


@pytest.mark.parametrize(
    ("url", "environment"),
    [("", PRODUCTION), ("https://api.foxycart.com/", PRODUCTION), ("https://api.foxy.io", FOXY_IO)],
)
def test_the_url_selects_an_environment(url: str, environment: Any) -> None:
    """The URL of one of the provider's API homes selects its environment; the default is PRODUCTION."""
    assert FoxyAuth.from_env({**GOOD, "FOXY_API_URL": url}).environment == environment


def test_a_client_needs_no_grant(foxy: Emulator) -> None:
    """An OAuth client is taken from the same variables, but for the refresh token's; arguments count before them."""
    variables = variables_of(foxy, None)
    client = OAuthClient.from_env(variables, redirect_uri=foxy.redirect_uri)

    assert (client.client_id, client.environment.api, client.redirect_uri) == (
        foxy.client_id,
        foxy.url,
        foxy.redirect_uri,
    )
    assert client.client_credentials().scopes == {"client_full_access"}
    assert OAuthClient.from_env(variables, environment=FOXY_IO).environment == FOXY_IO
    with pytest.raises(ValueError, match="FOXY_API_CLIENT_SECRET"):
        OAuthClient.from_env({"FOXY_API_CLIENT_ID": "made-up"})
