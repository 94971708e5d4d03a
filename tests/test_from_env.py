"""`FoxyAuth.from_env`: a grant from the variables of the provider's own SDK."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from foxy_auth import FOXY_IO, PRODUCTION, FoxyAuth, Token
from foxy_auth.stores import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from foxy_auth.emulator import Emulator


def variables_of(foxy: Emulator, refresh_token: str | None) -> dict[str, str]:
    """Write the variables as a shell would have them, blanks and all."""
    return {
        "FOXY_API_CLIENT_ID": foxy.client_id,
        "FOXY_API_CLIENT_SECRET": f" {foxy.client_secret}\n",
        "FOXY_API_REFRESH_TOKEN": refresh_token or "",
        "FOXY_API_URL": foxy.url,
    }


def test_the_variables_are_all_it_takes(foxy: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A grant is taken from the process's environment, or from a mapping."""
    variables = variables_of(foxy, foxy.grant().refresh_token)
    given = FoxyAuth.from_env(variables).get_token()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    found = FoxyAuth.from_env().get_token()

    assert [call.status for call in foxy.token_calls] == [200, 200]
    assert given != found


def test_a_rotated_token_counts_instead_of_the_variable(foxy: Emulator) -> None:
    """A program that starts again with the token that it kept goes on, though the variable has the first one still."""
    foxy.rotate_refresh_tokens = True
    kept: list[Token] = []
    variables = variables_of(foxy, foxy.grant().refresh_token)
    FoxyAuth.from_env(variables, on_token=kept.append).get_token()
    FoxyAuth.from_env(variables, token=kept[0]).refresh()

    assert [call.form["refresh_token"] for call in foxy.token_calls] == [
        variables["FOXY_API_REFRESH_TOKEN"],
        kept[0].refresh_token,
    ]


def test_a_token_without_a_refresh_token_leaves_it_to_the_variable(foxy: Emulator) -> None:
    """A token that has none of its own is refreshed by the variable's."""
    variables = variables_of(foxy, foxy.grant().refresh_token)
    FoxyAuth.from_env(variables, token=Token("made-up")).refresh()

    assert [call.status for call in foxy.token_calls] == [200]


@pytest.mark.parametrize("held", ["token", "store"])
def test_a_token_or_a_store_stands_in_for_the_variable(foxy: Emulator, held: str) -> None:
    """Whoever has a token, or a store that holds one, needs no refresh token in a variable."""
    token = foxy.grant()
    options: dict[str, Any] = {"token": token} if held == "token" else {"store": MemoryStore(token)}

    assert FoxyAuth.from_env(variables_of(foxy, None), **options).get_token() == token


GOOD = {"FOXY_API_CLIENT_ID": "i", "FOXY_API_CLIENT_SECRET": "FakeSecret", "FOXY_API_REFRESH_TOKEN": "FakeRefresh"}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"FOXY_API_CLIENT_ID": ""}, "FOXY_API_CLIENT_ID$"),
        ({"FOXY_API_CLIENT_ID": " ", "FOXY_API_REFRESH_TOKEN": ""}, "FOXY_API_CLIENT_ID and FOXY_API_REFRESH_TOKEN$"),
        ({"FOXY_API_URL": "http://api.foxycart.com"}, "^FOXY_API_URL: .* must be https"),
        ({"FOXY_API_URL": "api.foxycart.com"}, "^FOXY_API_URL: "),
    ],
)
def test_a_wrong_variable_is_named(wrong: Mapping[str, str], told: str) -> None:
    """R24: An error names each variable that is to be set, or set right."""
    with pytest.raises(ValueError, match=told):
        FoxyAuth.from_env({**GOOD, **wrong})


@pytest.mark.parametrize(
    ("url", "environment"),
    [("", PRODUCTION), ("https://api.foxycart.com/", PRODUCTION), ("https://api.foxy.io", FOXY_IO)],
)
def test_the_address_stands_for_one_of_the_providers(url: str, environment: Any) -> None:
    """Each of the provider's own addresses stands for the whole environment; without one it is PRODUCTION."""
    auth = FoxyAuth.from_env({**GOOD, "FOXY_API_URL": url})

    assert auth._environment == environment
