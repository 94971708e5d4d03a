"""The accounts: clients, users and stores."""

from collections.abc import Callable, Mapping
from itertools import count

from foxy_auth.emulator._records import Client, Store, User


class Accounts:
    """
    Keep clients, users and stores under the numbers that their addresses show.

    It takes no lock of its own: `State.lock` is held by whoever calls.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty; *clock* gives seconds since the epoch."""
        self._clock = clock
        self._client_numbers, self._user_numbers, self._store_numbers = count(1), count(1), count(1)
        self._clients: dict[int, Client] = {}
        self._users: dict[int, User] = {}
        self._stores: dict[int, Store] = {}

    def add_client(self, *, client_id: str, client_secret: str, redirect_uri: str, fields: Mapping[str, str]) -> Client:
        """Register a client."""
        now = self._clock()
        client = Client(
            number=next(self._client_numbers),
            client_id=client_id,
            client_secret=client_secret,
            redirect_uri=redirect_uri,
            fields=dict(fields),
            created_at=now,
            modified_at=now,
        )
        self._clients[client.number] = client
        return client

    def add_user(self, fields: Mapping[str, str]) -> User:
        """Create a user."""
        now = self._clock()
        user = User(number=next(self._user_numbers), fields=dict(fields), created_at=now, modified_at=now)
        self._users[user.number] = user
        return user

    def add_store(self, user: User, fields: Mapping[str, str]) -> Store:
        """Create a store that *user* manages."""
        now = self._clock()
        store = Store(
            number=next(self._store_numbers),
            user_numbers={user.number},
            fields=dict(fields),
            created_at=now,
            modified_at=now,
        )
        self._stores[store.number] = store
        return store

    def find_client(self, client_id: str) -> Client | None:
        """Look up a client by the id that it shows."""
        return next((client for client in self._clients.values() if client.client_id == client_id), None)

    def find_user(self, email: str) -> User | None:
        """Look up a user by the address that it signs in with."""
        return next((user for user in self._users.values() if user.fields.get("email") == email), None)

    def find_store(self, domain: str) -> Store | None:
        """Look up a store by its domain."""
        return next((store for store in self._stores.values() if store.fields.get("store_domain") == domain), None)

    def store(self, number: int) -> Store | None:
        """Look up a store."""
        return self._stores.get(number)

    def stores_of(self, user: User) -> list[Store]:
        """Return the stores that *user* manages."""
        return [store for store in self._stores.values() if user.number in store.user_numbers]
