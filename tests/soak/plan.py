"""What is soaked, and how long: the numbers that all parts agree on."""

from __future__ import annotations

from dataclasses import dataclass

TENANTS = 50  # in each store
STORES = ("redis", "sqlite")
NAMES = tuple(f"{store}/{number}" for store in STORES for number in range(TENANTS))  # of the grants
THREADS, TASKS = 20, 200  # of the process that lives to the end
FEW_THREADS, FEW_TASKS = 4, 20  # of each that is killed now and then
LIFE = 5.0  # seconds that an access token lives
STALE_AFTER = 0.75 * LIFE  # when it is refreshed in the background (R5)
TIMEOUT = 5.0  # seconds for each wait on the network
BUSY = 1.0  # seconds by which a busy machine may be late
LONGEST_WAIT = 10 * TIMEOUT + BUSY  # for a new token, with a store (reference/settings.md)
SAVE_LIMIT = 2 * TIMEOUT  # seconds that the lock is held while saving is tried again (reference/stores.md)
UNSAVED = 3 * TIMEOUT  # seconds that a token may be unsaved while its process lives: the step, and two timeouts more


@dataclass(frozen=True, slots=True)
class Plan:
    """
    One run.

    Attributes:
        seconds: How long there are faults.

        seed: Of the faults, and of the order of requests.

        mortals: How many processes are killed now and then.
    """

    seconds: float
    seed: int
    mortals: int

    @property
    def scale(self) -> float:
        """What the faults' durations are multiplied by, so that each kind has its turn in a short run too."""
        return min(1.0, self.seconds / 60)

    @property
    def calm(self) -> float:
        """Seconds without faults at the end: long enough for every grant to be refreshed, and every lease to end."""
        return min(20.0, self.seconds / 3)


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a worker finds everything."""

    api: str
    resource: str
    client_id: str
    client_secret: str
    redis: str
    sqlite: str
