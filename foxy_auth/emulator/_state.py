"""All that the server knows, behind one lock."""

from collections.abc import Callable
from threading import RLock
from typing import Any

from foxy_auth.emulator._accounts import Accounts
from foxy_auth.emulator._ledger import Ledger
from foxy_auth.emulator._opaque import new_access_token, new_refresh_token
from foxy_auth.emulator._records import CLIENT_SCOPE, STORE_SCOPE, USER_SCOPE, Client, Grant, Store, User
from foxy_auth.emulator._switches import Switches

# Obviously made up, in the provider's shapes.
CLIENT_ID = "client_EmulatorFakeClient01"
CLIENT_SECRET = "EmulatorFakeSecretEmulatorFakeSecret0001"  # noqa: S105 - made up
REDIRECT_URI = "https://integration.example/oauth/callback"


class _TokenFields(dict[str, Any]):
    """The fields of a token answer, without the tokens in `repr`: Authlib writes what it issues to its debug log."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


class State:
    """
    Hold accounts, ledger and switches, with a first client, user and two stores in place.

    Whoever reads or changes accounts or ledger holds `lock`: a token call is decided and booked in one piece, as a
    database transaction would have it.
    """

    def __init__(self, clock: Callable[[], float], switches: Switches) -> None:
        """Start with the first accounts; *clock* gives seconds since the epoch."""
        self.lock = RLock()
        self.clock = clock
        self.switches = switches
        self.ledger = Ledger(clock, switches)
        self.accounts = Accounts(clock)
        self.client = self._first_client()
        self.user = self.accounts.add_user(
            {"first_name": "Robin", "last_name": "Example", "email": "robin@stores.example", "phone": "555-0100"}
        )
        self.store = self._add_store("Example Outfitters", "outfitters")
        self._add_store("Example Coffee", "coffee")

    def _first_client(self) -> Client:
        return self.accounts.add_client(
            client_id=CLIENT_ID,
            client_secret=CLIENT_SECRET,
            redirect_uri=REDIRECT_URI,
            fields={
                "project_name": "Example Integration",
                "project_description": "Keeps the books of a store.",
                "company_name": "Example Widgets Co",
                "company_url": "https://integration.example",
                "company_logo": "",
                "javascript_origin_uri": "",
                "contact_name": "Sam Example",
                "contact_email": "sam@integration.example",
                "contact_phone": "555-0101",
            },
        )

    def _add_store(self, name: str, domain: str) -> Store:
        fields = {
            "store_name": name,
            "store_domain": domain,
            "store_url": f"https://{domain}.stores.example",
            "store_email": f"orders@{domain}.stores.example",
            "postal_code": "55401",
            "region": "MN",
            "country": "US",
        }
        return self.accounts.add_store(self.user, fields)

    def open_grant(self, client: Client, scope: str) -> Grant:
        """Record what the first user, asked for *scope*, would grant *client*."""
        user, store = self.holders(scope)
        return self.ledger.open_grant(client, granted_scope(scope, store), user=user, store=store)

    def sign_in(self, user: User) -> None:
        """Let *user* be the one who authorizes, for the first of their stores if they have any."""
        self.user = user
        self.store = next(iter(self.accounts.stores_of(user)), self.store)

    def holders(self, scope: str) -> tuple[User | None, Store | None]:
        """Say whom and what a permission of *scope* is about, if the first user gives it."""
        scopes = scope.split()
        if CLIENT_SCOPE in scopes:
            return None, None
        return self.user, None if USER_SCOPE in scopes else self.store

    def issue(self, grant: Grant, *, scope: str = "", refresh_token: str | None = None) -> dict[str, Any]:
        """
        Issue an access token and book it; return the fields of the token answer.

        The fields name *refresh_token*, if there is one, and it is booked too.
        """
        access_token, life = new_access_token(), self.switches.access_token_life
        scope = scope or grant.scope
        self.ledger.keep_access_token(access_token, grant, scope=scope)
        fields = _TokenFields(
            access_token=access_token,
            expires_in=int(life) if life == int(life) else life,
            token_type=self.switches.token_type,
            scope=scope,
        )
        if refresh_token is not None:
            self.ledger.keep_refresh_token(refresh_token, grant)
            fields["refresh_token"] = refresh_token
        return fields

    def issue_first(self, grant: Grant) -> dict[str, Any]:
        """Issue a new grant's first access token, with a new refresh token."""
        return self.issue(grant, refresh_token=new_refresh_token())


def granted_scope(scope: str, store: Store | None) -> str:
    """Spell a granted scope as token answers do: a store's names the store (the provider's sample answer)."""
    if store is None or STORE_SCOPE not in scope.split():
        return scope
    return f"{scope} store_id_{store.number}"
