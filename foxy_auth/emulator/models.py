"""What the emulator stores: clients, users, stores, grants, authorization codes and tokens."""

from __future__ import annotations

import secrets
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from string import ascii_letters, digits
from threading import RLock
from typing import TYPE_CHECKING, Any, cast

from flask import request
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from foxy_auth.emulator.settings import Settings

CLIENT_SCOPE = "client_full_access"
USER_SCOPE = "user_full_access"
STORE_SCOPE = "store_full_access"
_ALPHANUMERICS = ascii_letters + digits


@dataclass(slots=True, kw_only=True, eq=False)
class _Account:
    """What clients, users and stores have in common."""

    number: int  # in the path of its URL
    fields: dict[str, str]
    created_at: float
    modified_at: float

    @property
    def dates(self) -> dict[str, str]:
        """The dates that the API shows, as ISO 8601 with an offset from UTC."""
        dates = {"date_created": self.created_at, "date_modified": self.modified_at}
        return {name: datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S%z") for name, at in dates.items()}


@dataclass(slots=True, kw_only=True, eq=False)
class Client(_Account):
    """A registered OAuth client; `redirect_uri` may hold several URIs, separated by whitespace."""

    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str


@dataclass(slots=True, kw_only=True, eq=False)
class User(_Account):
    """A user, who owns stores."""


@dataclass(slots=True, kw_only=True, eq=False)
class Store(_Account):
    """A store."""

    owner: User


@dataclass(slots=True, kw_only=True, eq=False)
class Grant:
    """A client's permission to act for itself, a user or a store; all tokens issued from it are revoked together."""

    number: int
    client: Client
    scope: str
    user: User | None
    store: Store | None


@dataclass(slots=True, kw_only=True, eq=False)
class Code:
    """What an authorization code stands for until it is exchanged."""

    grant: Grant
    redirect_uri: str | None  # as in the authorization request, which need not have one
    expires_at: float
    code_challenge: str | None
    code_challenge_method: str | None

    def get_scope(self) -> str:
        """Return the scope, as Authlib asks for it."""
        return self.grant.scope


@dataclass(slots=True, kw_only=True, eq=False)
class RefreshToken:
    """A refresh token; a spent one is kept so that its reuse can be told from an unknown token."""

    value: str = field(repr=False)
    grant: Grant
    expires_at: float
    spent: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class AccessToken:
    """What an access token gives access to; its scope may be narrower than the grant's."""

    grant: Grant
    scopes: frozenset[str]
    expires_at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A resource of a test's own; `limit` is how many members a page has, if that is not as usual."""

    content: Any
    relation: str
    limit: int | None


class _TokenResponse(dict[str, Any]):
    """The fields of a token response; its `repr` hides the tokens, since Authlib logs what it issues."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


class Database:
    """
    Everything that the server stores, in memory, with a first client, a user and two stores.

    Hold `lock` around steps that belong together, as in a database transaction.
    """

    def __init__(self, clock: Callable[[], float], settings: Settings) -> None:
        """Create the first accounts; *clock* returns seconds since the epoch."""
        self.lock: AbstractContextManager[object] = RLock()
        self.clock = clock
        self.settings = settings
        self.clients: dict[str, Client] = {}
        self.users: list[User] = []
        self.stores: list[Store] = []
        self.grants: dict[int, Grant] = {}
        self.codes: dict[str, Code] = {}
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, AccessToken] = {}
        self.served: dict[str, Served] = {}
        self._grant_numbers = count(1)
        self.client: Client = self.add_client(
            _FIRST_CLIENT,
            client_id="client_EmulatorFakeClient01",
            client_secret="EmulatorFakeSecretEmulatorFakeSecret0001",  # noqa: S106 - made up
            redirect_uri="https://integration.example/oauth/callback",
        )
        self.user: User = self.add_user(_FIRST_USER)
        self.store: Store = self.add_store(self.user, _store_fields("Example Outfitters", "outfitters"))
        self.add_store(self.user, _store_fields("Example Coffee", "coffee"))

    # Accounts

    def add_client(
        self, fields: Mapping[str, str], *, client_id: str = "", client_secret: str = "", redirect_uri: str
    ) -> Client:
        """Register a client; id and secret are generated unless given."""
        client = Client(
            **self._account(self.clients, fields),
            client_id=client_id or f"client_{_random_text(20)}",
            client_secret=client_secret or _random_text(40),
            redirect_uri=redirect_uri,
        )
        self.clients[client.client_id] = client
        return client

    def add_user(self, fields: Mapping[str, str]) -> User:
        """Create a user."""
        self.users.append(user := User(**self._account(self.users, fields)))
        return user

    def add_store(self, owner: User, fields: Mapping[str, str]) -> Store:
        """Create a store of *owner*."""
        self.stores.append(store := Store(**self._account(self.stores, fields), owner=owner))
        return store

    def _account(self, siblings: list[Any] | dict[str, Any], fields: Mapping[str, str]) -> dict[str, Any]:
        now = self.clock()
        return {"number": len(siblings) + 1, "fields": dict(fields), "created_at": now, "modified_at": now}

    def find_user(self, email: str) -> User | None:
        """Find a user by email address."""
        return next((user for user in self.users if user.fields["email"] == email), None)

    def find_store(self, *, domain: str) -> Store | None:
        """Find a store by domain."""
        return next((store for store in self.stores if store.fields["store_domain"] == domain), None)

    def stores_of(self, user: User) -> list[Store]:
        """Return the stores of *user*."""
        return [store for store in self.stores if store.owner is user]

    # Grants, codes and tokens

    def new_grant(self, client: Client, scope: str, user: User | None = None, store: Store | None = None) -> Grant:
        """
        Create a grant, which is stored with its first token.

        The scope of a whole store also names the store, as in the provider's sample response.
        """
        if store is not None and STORE_SCOPE in scope.split():
            scope += f" store_id_{store.number}"
        return Grant(number=next(self._grant_numbers), client=client, scope=scope, user=user, store=store)

    def consented_grant(self, scope: str) -> Grant:
        """Create the grant that the signed-in user gives the first client."""
        scopes = scope.split()
        if CLIENT_SCOPE in scopes:
            return self.new_grant(self.client, scope)
        return self.new_grant(self.client, scope, self.user, None if USER_SCOPE in scopes else self.store)

    def issue_code(
        self,
        grant: Grant,
        *,
        redirect_uri: str | None,
        code_challenge: str | None = None,
        code_challenge_method: str | None = None,
    ) -> str:
        """Issue an authorization code: 40 hexadecimal digits, as in the provider's sample."""
        value = secrets.token_hex(20)
        self.codes[value] = Code(
            grant=grant,
            redirect_uri=redirect_uri,
            expires_at=self.clock() + self.settings.code_life,
            code_challenge=code_challenge,
            code_challenge_method=code_challenge_method,
        )
        return value

    def issue_tokens(self, grant: Grant, *, scope: str | None = None) -> dict[str, Any]:
        """Issue an access token and a new refresh token; return the fields of the token response."""
        return self.issue_access_token(grant, scope=scope, refresh_token=_random_text(40))

    def issue_access_token(
        self, grant: Grant, *, scope: str | None = None, refresh_token: str | None = None
    ) -> dict[str, Any]:
        """Issue an access token, alone or with *refresh_token*, which may be known already."""
        life, now = self.settings.access_token_life, self.clock()
        value, scope = secrets.token_hex(20), scope or grant.scope
        self.grants[grant.number] = grant
        self.access_tokens[value] = AccessToken(grant=grant, scopes=frozenset(scope.split()), expires_at=now + life)
        response = _TokenResponse(
            access_token=value,
            expires_in=int(life) if life == int(life) else life,
            token_type=self.settings.token_type,
            scope=scope,
        )
        if refresh_token is not None:
            expires_at = now + self.settings.refresh_token_life
            token = RefreshToken(value=refresh_token, grant=grant, expires_at=expires_at)
            self.refresh_tokens.setdefault(refresh_token, token)
            response["refresh_token"] = refresh_token
        return response

    def has_expired(self, item: Code | RefreshToken | AccessToken) -> bool:
        """Tell whether *item* has expired."""
        return self.clock() >= item.expires_at

    def revoke(self, grant: Grant) -> None:
        """Revoke a grant with all its tokens."""
        self.grants.pop(grant.number, None)
        self.revoke_access_tokens(grant)
        for value in [value for value, token in self.refresh_tokens.items() if token.grant is grant]:
            del self.refresh_tokens[value]

    def revoke_access_tokens(self, grant: Grant) -> None:
        """Revoke the access tokens of *grant*."""
        for value in [value for value, token in self.access_tokens.items() if token.grant is grant]:
            del self.access_tokens[value]


def _random_text(length: int) -> str:
    return "".join(secrets.choice(_ALPHANUMERICS) for _ in range(length))


_FIRST_CLIENT = {
    "project_name": "Example Integration",
    "project_description": "Keeps the books of a store.",
    "company_name": "Example Widgets Co",
    "company_url": "https://integration.example",
    "company_logo": "",
    "javascript_origin_uri": "",
    "contact_name": "Sam Example",
    "contact_email": "sam@integration.example",
    "contact_phone": "555-0101",
}
_FIRST_USER = {"first_name": "Robin", "last_name": "Example", "email": "robin@stores.example", "phone": "555-0100"}


def _store_fields(name: str, domain: str) -> dict[str, str]:
    return {
        "store_name": name,
        "store_domain": domain,
        "store_url": f"https://{domain}.stores.example",
        "store_email": f"orders@{domain}.stores.example",
        "postal_code": "55401",
        "region": "MN",
        "country": "US",
    }


DATABASE = "foxy_auth.database"  # in the environ of a request

# The database of the emulator that handles the current request: all emulators of a process share one Flask application.
db: Database = cast("Database", LocalProxy(lambda: cast("Database", request.environ[DATABASE])))
