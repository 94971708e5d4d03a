"""The ledger of what was granted: codes, refresh tokens and access tokens."""

from collections.abc import Callable
from itertools import count

from foxy_auth.emulator._opaque import new_code
from foxy_auth.emulator._records import AccessToken, Client, Code, Grant, RefreshToken, Store, User
from foxy_auth.emulator._switches import Switches


class Ledger:
    """
    Keep codes and tokens, and say which of them count.

    It takes no lock of its own: `State.lock` is held by whoever calls.
    """

    def __init__(self, clock: Callable[[], float], switches: Switches) -> None:
        """Start empty; *clock* gives seconds since the epoch, *switches* how long things live."""
        self._clock = clock
        self._switches = switches
        self._numbers = count(1)
        self._grants: dict[int, Grant] = {}
        self._codes: dict[str, Code] = {}
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._access_tokens: dict[str, AccessToken] = {}

    def open_grant(self, client: Client, scope: str, *, user: User | None, store: Store | None) -> Grant:
        """Record a new permission."""
        grant = Grant(number=next(self._numbers), client=client, scope=scope, user=user, store=store)
        self._grants[grant.number] = grant
        return grant

    def find_grant(self, number: int) -> Grant | None:
        """Look up a permission that still stands."""
        return self._grants.get(number)

    def grants(self) -> list[Grant]:
        """Return the permissions that stand, oldest first."""
        return list(self._grants.values())

    def open_code(  # a code carries what its authorization request said
        self,
        client: Client,
        scope: str,
        *,
        value: str = "",
        user: User | None,
        store: Store | None,
        redirect_uri: str | None,
        code_challenge: str | None = None,
        code_challenge_method: str | None = None,
    ) -> Code:
        """Issue an authorization code."""
        code = Code(
            value=value or new_code(),
            client=client,
            scope=scope,
            user=user,
            store=store,
            redirect_uri=redirect_uri,
            expires_at=self._clock() + self._switches.code_life,
            code_challenge=code_challenge,
            code_challenge_method=code_challenge_method,
        )
        self._codes[code.value] = code
        return code

    def find_code(self, value: str) -> Code | None:
        """Look up a code that has not been exchanged, expired or not."""
        return self._codes.get(value)

    def spend_code(self, code: Code) -> None:
        """Forget *code*, which was exchanged."""
        self._codes.pop(code.value, None)

    def keep_refresh_token(self, value: str, grant: Grant) -> None:
        """Record a refresh token; one that is known already stays as it is."""
        expires_at = self._clock() + self._switches.refresh_token_life
        self._refresh_tokens.setdefault(value, RefreshToken(value=value, grant=grant, expires_at=expires_at))

    def find_refresh_token(self, value: str) -> RefreshToken | None:
        """Look up a refresh token, expired or spent ones too."""
        return self._refresh_tokens.get(value)

    def current_refresh_token(self) -> str | None:
        """Return the newest refresh token that still works."""
        for token in reversed(self._refresh_tokens.values()):
            if not token.spent and not self.expired(token.expires_at):
                return token.value
        return None

    def refresh_tokens(self, grant: Grant) -> list[RefreshToken]:
        """Return the grant's refresh tokens that were not spent, oldest first."""
        return [token for token in self._refresh_tokens.values() if token.grant is grant and not token.spent]

    def keep_access_token(self, value: str, grant: Grant, *, scope: str) -> None:
        """Record an access token."""
        expires_at = self._clock() + self._switches.access_token_life
        self._access_tokens[value] = AccessToken(value=value, grant=grant, scope=scope, expires_at=expires_at)

    def find_access_token(self, value: str) -> AccessToken | None:
        """Look up an access token that was not revoked, expired or not."""
        return self._access_tokens.get(value)

    def live_access_tokens(self) -> list[str]:
        """Return the access tokens that the API takes, oldest first."""
        return [token.value for token in self._access_tokens.values() if not self.expired(token.expires_at)]

    def expired(self, expires_at: float) -> bool:
        """Tell whether that instant has come."""
        return self._clock() >= expires_at

    def expire_access_tokens(self) -> None:
        """Let every access token issued so far count as expired, for good."""
        for token in self._access_tokens.values():
            token.expires_at = float("-inf")

    def revoke_access_tokens(self, grant: Grant | None = None) -> None:
        """Forget the access tokens of *grant*, or all."""
        gone = [token for token in self._access_tokens.values() if grant is None or token.grant is grant]
        for token in gone:
            del self._access_tokens[token.value]

    def revoke_refresh_tokens(self, grant: Grant | None = None) -> None:
        """Forget the refresh tokens of *grant*, or all."""
        gone = [token for token in self._refresh_tokens.values() if grant is None or token.grant is grant]
        for token in gone:
            del self._refresh_tokens[token.value]

    def revoke(self, grant: Grant) -> None:
        """End a permission with all its tokens."""
        self.revoke_refresh_tokens(grant)
        self.revoke_access_tokens(grant)
        self._grants.pop(grant.number, None)
