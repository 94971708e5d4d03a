"""`Token`, an access token and what belongs to it."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from foxy_auth._secrets import Secret, guarded_class
from foxy_auth._time import now

STORE_SCOPE = re.compile("store_id_([0-9]+)")
VISIBLE_ASCII = re.compile("[!-~]+")
SURROGATE = re.compile("[\ud800-\udfff]")
# Where a stored dict may have the expiry: ours and that of most others, hand-written programs, those with the
# provider's PHP client.
EXPIRIES = ("expires_at", "expires", "access_token_expires")
LONGEST_LIFE = 315_360_000  # seconds; a larger number is an instant, a smaller one a lifetime


@guarded_class
@dataclass(frozen=True, slots=True)
class Token:
    """
    An access token and what belongs to it; `repr` and `str` show no secret.

    Attributes:
        access_token: The text after `Bearer`.

        refresh_token: Gets the next access token; None if the grant has none (client credentials).

        expires_at: When the access token expires, in seconds since the epoch, UTC; None if unknown.

        obtained_at: When the token request was about to be sent, in seconds since the epoch, UTC; None if unknown.

        scope: The granted scopes, separated by spaces, as the provider wrote them.

        token_type: `Bearer`, in the provider's spelling: letters may be of either case.

        api: The API home of the environment that issued the token; None if unknown. It does not count in comparisons.

    Raises:
        TypeError, ValueError: A field has the wrong type, or a token could not be sent, or is no bearer token: one of
            another type must not be used by those who do not know the type (RFC 6749, section 7.1).
    """

    access_token: str = field(repr=False)
    _: KW_ONLY
    refresh_token: str | None = field(default=None, repr=False)
    expires_at: float | None = None
    obtained_at: float | None = None
    scope: str = ""
    token_type: str = "Bearer"  # noqa: S105 - not a secret
    api: str | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        for name in ("access_token", "scope", "token_type", "refresh_token", "api"):
            text = getattr(self, name)
            if not isinstance(text, str) and (text is not None or name not in {"refresh_token", "api"}):
                raise TypeError(f"Token.{name} must be text, not {type(text).__name__}")
        for name in ("expires_at", "obtained_at"):
            _check_instant(name, getattr(self, name))
        if not VISIBLE_ASCII.fullmatch(self.access_token):
            raise ValueError("Token.access_token must be visible ASCII without whitespace (RFC 6749, appendix A.12)")
        if self.token_type.lower() != "bearer":
            raise ValueError(
                "Token.token_type must be Bearer; tokens of other types cannot be used (RFC 6749, section 7.1)"
            )
        if self.refresh_token and SURROGATE.search(self.refresh_token):
            raise ValueError("Token.refresh_token must not contain lone surrogates, which cannot be sent")

    if not TYPE_CHECKING:  # or `auth=token` would pass for a function that signs requests

        def __call__(self, *_: object) -> None:
            """Refuse to sign: this is what client libraries call if they are given `auth=auth.token`."""
            raise TypeError("a Token signs no requests: give auth= the FoxyAuth, and not its token")

    @property
    def scopes(self) -> frozenset[str]:
        """The granted scopes as a set, because their order does not matter (RFC 6749, section 3.3)."""
        return frozenset(self.scope.split())

    @property
    def store_id(self) -> str | None:
        """The number of the token's store, from the scope `store_id_N`; None if there is no such scope."""
        return min((found[1] for scope in self.scopes if (found := STORE_SCOPE.fullmatch(scope))), default=None)

    @property
    def life(self) -> float | None:
        """Seconds from issue to expiry; None if either is unknown."""
        if self.expires_at is None or self.obtained_at is None:
            return None
        return self.expires_at - self.obtained_at

    @property
    def expires_in(self) -> float | None:
        """Seconds until the access token expires, below zero once it has expired; None if the expiry is unknown."""
        return None if self.expires_at is None else self.expires_at - now()

    def expired(self, now: float) -> bool:
        """Tell whether the access token has expired at *now*, in seconds since the epoch."""
        return self.expires_at is not None and now >= self.expires_at

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values; `Token.from_dict` reads them."""
        fields = asdict(self)
        if self.api is None:
            del fields["api"]
        return fields

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """
        Read what `to_dict` wrote, or what others have stored: Authlib, requests-oauthlib, hand-written programs.

        Without `expires_at`, the expiry is read from `expires`, or from `access_token_expires` as programs with the
        provider's PHP client store it. Instants are seconds since the epoch, or ISO 8601 text, in UTC unless it names
        another time zone. A lifetime in seconds, such as `expires_in`, is ignored, because the dict does not say when
        it began. Unknown fields are ignored too.

        Raises:
            TypeError, ValueError: A field is missing or wrong; the message names the field, never its value.
        """
        if not isinstance(fields, Mapping):
            raise TypeError(f"Token.from_dict takes a mapping, not {type(fields).__name__}")
        if "access_token" not in fields:
            hint = "; pass a refresh token alone to FoxyAuth, as refresh_token=…" if fields.get("refresh_token") else ""
            raise ValueError(f"Token.from_dict needs the field access_token{hint}")
        refresh_token = fields.get("refresh_token")
        scope: Any = fields.get("scope") or ""  # requests-oauthlib keeps a list
        return cls(
            access_token=fields["access_token"],
            refresh_token=None if refresh_token == "" else refresh_token,
            expires_at=_expiry(fields),
            obtained_at=_instant("obtained_at", fields.get("obtained_at")),
            scope=scope if isinstance(scope, str) else " ".join(scope),
            token_type=fields.get("token_type") or "Bearer",
            api=api if isinstance(api := fields.get("api"), str) else None,
        )


def refresh_secret(token: Token | None) -> Secret | None:
    """Return the refresh token of *token*, if it has one."""
    return Secret(token.refresh_token) if token and token.refresh_token else None


def secrets_of(token: Token) -> tuple[Secret, ...]:
    """Return what is secret about *token*."""
    refresh_token = refresh_secret(token)
    return Secret(token.access_token), *((refresh_token,) if refresh_token else ())


def _check_instant(name: str, instant: object) -> None:
    if instant is None:
        return
    if isinstance(instant, bool) or not isinstance(instant, int | float):
        raise TypeError(f"Token.{name} must be seconds since the epoch, not {type(instant).__name__}")
    if not abs(instant) <= sys.float_info.max:  # not a number, infinite, or a huge integer
        raise ValueError(f"Token.{name} must be a finite number of seconds since the epoch")


def _expiry(fields: Mapping[str, Any]) -> Any:
    name = next((name for name in EXPIRIES if name in fields), "expires_at")
    instant = _instant(name, fields.get(name))
    is_lifetime = name != "expires_at" and type(instant) in (int, float) and 0 <= instant < LONGEST_LIFE
    return None if is_lifetime else instant


def _instant(name: str, value: Any) -> Any:
    """Read an instant that may be stored as text; `Token` refuses values of other types."""
    if not isinstance(value, str):
        return value
    with suppress(ValueError):
        return float(value)
    from datetime import UTC, datetime

    try:
        instant = datetime.fromisoformat(value)
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise ValueError(
            f"{name} must be seconds since the epoch, or ISO 8601 text such as '2026-11-30T14:25:00Z'"
        ) from None
