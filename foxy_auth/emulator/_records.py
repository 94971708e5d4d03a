"""The records that the server keeps: clients, users, stores, and what was granted."""

from dataclasses import dataclass, field

CLIENT_SCOPE = "client_full_access"
USER_SCOPE = "user_full_access"
STORE_SCOPE = "store_full_access"


@dataclass(slots=True, kw_only=True, eq=False)
class Client:
    """An OAuth client as it was registered."""

    number: int
    client_id: str
    client_secret: str = field(repr=False)
    redirect_uri: str
    fields: dict[str, str]
    created_at: float
    modified_at: float


@dataclass(slots=True, kw_only=True, eq=False)
class User:
    """Somebody who manages stores."""

    number: int
    fields: dict[str, str]
    created_at: float
    modified_at: float


@dataclass(slots=True, kw_only=True, eq=False)
class Store:
    """A store and the users who may manage it."""

    number: int
    user_numbers: set[int]
    fields: dict[str, str]
    created_at: float
    modified_at: float


@dataclass(slots=True, kw_only=True, eq=False)
class Grant:
    """A standing permission; the tokens that come from it are one family and are revoked together."""

    number: int
    client: Client
    scope: str
    user: User | None
    store: Store | None

    @property
    def scopes(self) -> frozenset[str]:
        """The granted scopes; their order means nothing (RFC 6749, section 3.3)."""
        return frozenset(self.scope.split())


@dataclass(slots=True, kw_only=True, eq=False)
class Code:
    """An authorization code that has not been exchanged yet."""

    value: str = field(repr=False)
    client: Client
    scope: str
    user: User | None
    store: Store | None
    redirect_uri: str | None  # as the authorization request sent it, if it did
    expires_at: float
    code_challenge: str | None = None
    code_challenge_method: str | None = None


@dataclass(slots=True, kw_only=True, eq=False)
class RefreshToken:
    """A refresh token; a spent one is remembered so that its second use can be told from a guess."""

    value: str = field(repr=False)
    grant: Grant
    expires_at: float
    spent: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class AccessToken:
    """An access token; its scope may be smaller than the grant's."""

    value: str = field(repr=False)
    grant: Grant
    scope: str
    expires_at: float

    @property
    def scopes(self) -> frozenset[str]:
        """The scopes that it carries."""
        return frozenset(self.scope.split())
