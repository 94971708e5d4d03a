"""The token: a value that is passed around, stored and compared."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, asdict, dataclass, field
from math import isfinite
from typing import Any, Self

STORE_SCOPE = re.compile("store_id_([0-9]+)")


@dataclass(frozen=True, slots=True)
class Token:
    """
    An access token and what belongs to it.

    Secrets are left out of `repr` and `str`.

    Attributes:
        access_token: The text that goes behind `Bearer`.

        refresh_token: Buys the next access token; None if the grant has none (client credentials).

        expires_at: When the access token expires, in seconds since the epoch, UTC; None if unknown.

        obtained_at: The moment before the token call left, in seconds since the epoch, UTC; None if unknown.

        scope: The granted scopes, separated by blanks, as the provider wrote them.

        token_type: As the provider wrote it; compare without case.

    Raises:
        TypeError, ValueError: A field has the wrong type, or the access token could not stand in a header.
    """

    access_token: str = field(repr=False)
    _: KW_ONLY
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    obtained_at: float | None = None
    scope: str = ""
    token_type: str = "Bearer"  # noqa: S105 - a word of the protocol

    def __post_init__(self) -> None:
        for name in ("access_token", "scope", "token_type"):
            _check_text(name, getattr(self, name))
        if self.refresh_token is not None:
            _check_text("refresh_token", self.refresh_token)
            if any("\ud800" <= character <= "\udfff" for character in self.refresh_token):
                raise ValueError("Token.refresh_token must be text that can be sent, without half characters")
        for name in ("expires_at", "obtained_at"):
            _check_instant(name, getattr(self, name))
        if not self.access_token or not all("!" <= character <= "~" for character in self.access_token):
            raise ValueError(
                "Token.access_token must be visible ASCII characters without blanks (RFC 6749, appendix A.12)"
            )

    @property
    def scopes(self) -> frozenset[str]:
        """The granted scopes as a set: the order in `scope` means nothing (RFC 6749, section 3.3)."""
        return frozenset(self.scope.split())

    @property
    def store_id(self) -> str | None:
        """The number of the store that the token is for, from the scope `store_id_N`; None if it names none."""
        return min((found[1] for scope in self.scopes if (found := STORE_SCOPE.fullmatch(scope))), default=None)

    @property
    def life(self) -> float | None:
        """Seconds from issue to expiry, or None if either is unknown."""
        if self.expires_at is None or self.obtained_at is None:
            return None
        return self.expires_at - self.obtained_at

    def expired(self, now: float) -> bool:
        """Tell whether the access token has truly expired at *now*, in seconds since the epoch."""
        return self.expires_at is not None and now >= self.expires_at

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values; `Token.from_dict` reads them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """
        Read what `to_dict` wrote, or a token dict that Authlib or requests-oauthlib users have stored.

        A stored `expires_in` is ignored: it counts from a moment that the dict does not name, and would make an old
        token look new.
        Fields of others are ignored too.

        Raises:
            TypeError, ValueError: The fields are not a token's; the message names the field, never its value.
        """
        if not isinstance(fields, Mapping):
            raise TypeError(f"Token.from_dict takes a mapping, not {type(fields).__name__}")
        if "access_token" not in fields:
            raise ValueError("these fields are no token: access_token is missing")
        refresh_token = fields.get("refresh_token")
        scope: Any = fields.get("scope") or ""  # requests-oauthlib keeps a list
        return cls(
            access_token=fields["access_token"],
            refresh_token=None if refresh_token == "" else refresh_token,
            expires_at=_instant("expires_at", fields.get("expires_at")),
            obtained_at=_instant("obtained_at", fields.get("obtained_at")),
            scope=scope if isinstance(scope, str) else " ".join(scope),
            token_type=fields.get("token_type") or "Bearer",
        )


def _check_text(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise TypeError(f"Token.{name} must be text, not {type(text).__name__}")


def _check_instant(name: str, instant: object) -> None:
    if instant is None:
        return
    if isinstance(instant, bool) or not isinstance(instant, int | float):
        raise TypeError(f"Token.{name} must be seconds since the epoch, not {type(instant).__name__}")
    if not isfinite(instant):
        raise ValueError(f"Token.{name} must be a finite number of seconds since the epoch")


def _instant(name: str, value: Any) -> Any:
    """Read an instant that may have been stored as text; what is no number at all is left for `Token` to refuse."""
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"Token.{name} must be seconds since the epoch") from None
