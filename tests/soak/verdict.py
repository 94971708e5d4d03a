"""Whether the promises held: every failure, loss and token request has to have its reason."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from soak.plan import BUSY, LIFE, NAMES, SAVE_LIMIT, STALE_AFTER, TIMEOUT, UNSAVED
from soak.provider import RETRY_AFTER

if TYPE_CHECKING:
    from soak.crew import Told
    from soak.disturbances import Outage
    from soak.provider import Exchange, Loss, Provider

LEASE = 15.0  # seconds after which Redis frees the lock of a process that was killed
WINDOW = 60  # samples, one a second, at the beginning and at the end
BUSY_MACHINE = "a busy machine: a process was late"
GROWTH = 1.25  # threads, descriptors and memory at the end ÷ at the beginning, at most


@dataclass
class Verdict:
    """
    What happened, and what to make of it.

    Attributes:
        provider: With its ledger.

        told: What the processes told; the first is the one that lived to the end.

        outages: What was disturbed when.

        seconds: How long the load lasted.
    """

    provider: Provider
    told: list[Told]
    outages: list[Outage]
    seconds: float

    def __post_init__(self) -> None:
        """Find the processes by name."""
        self._processes = {one.name: one for one in self.told}

    def lines(self) -> Iterator[str]:
        """Describe what happened."""
        disturbances = Counter(outage.what for outage in self.outages)
        faults = Counter(exchange.fault for exchange in self.provider.exchanges if exchange.fault)
        requests = sum(one.samples[-1]["requests"] for one in self.told if one.samples)
        yield f"requests: {requests:,}"
        yield f"disturbances: {_counts(disturbances)}"
        yield f"faults of the token endpoint: {_counts(faults)}"
        yield f"failures: {_counts(self.failures)}"
        yield f"grants lost: {_counts(self.losses)}"
        exchanges, ideal = self.provider.exchanges, len(NAMES) * self.seconds / LIFE
        yield f"token requests: {len(exchanges):,}, ideal {ideal:,.0f}, ratio {len(exchanges) / ideal:.2f}"
        yield f"  of them: {_counts(self.reasons)}"
        yield f"longest wait: {self.longest_wait:.1f} s"
        late = sum(ended - began for began, ended in self._late)
        yield f"busy machine: processes were late {len(self._late):,} times, {late:,.0f} s in all"
        for what, (first, last, most) in self.resources.items():
            yield f"{what}: {first:,.0f} first, {last:,.0f} at the end ({last / first:.2f}), {most:,.0f} at most"
        fifths = [one["memory"] for one in self.told[0].samples][:: max(1, len(self.told[0].samples) // 5)]
        yield f"  memory by time: {', '.join(f'{memory / 1e6:.0f}' for memory in fifths)} MB"

    @property
    def broken(self) -> list[str]:
        """The promises that were broken."""
        checks: dict[str, list[Any]] = {
            "a failure without a reason": [text for text in self.failures if text.startswith("UNEXPLAINED")],
            "a grant lost without a reason": [text for text in self.losses if text.startswith("UNEXPLAINED")],
            "a token request that was not needed": [text for text in self.reasons if text.startswith("UNNEEDED")],
            "two refreshes of a grant at once": self.overlaps,
            "a request that fails after the faults": self.late_failures,
            "a process that ends by itself": self.deaths,
            "growth": [
                what for what, (first, last, _) in self.resources.items() if last > GROWTH * first and self.is_long
            ],
        }
        return [f"{what}: {found[:3]}" for what, found in checks.items() if found]

    # --- failures ----------------------------------------------------------------------------------------------------

    @cached_property
    def failures(self) -> Counter[str]:
        """The failed requests while there were faults, by error and reason."""
        return Counter(
            self._describe(one, failure)
            for one in self.told
            for failure in one.failures
            if failure["began"] < one.stopped_at
        )

    @property
    def late_failures(self) -> list[str]:
        """The requests that failed after the faults had ended; a grant that is gone may be found out then."""
        texts = [
            self._describe(one, failure)
            for one in self.told
            for failure in one.failures
            if failure["began"] >= one.stopped_at
        ]
        return [text for text in texts if "grant was lost" not in text]

    def _describe(self, one: Told, failure: dict[str, Any]) -> str:
        if reason := self._reason(one, failure):
            return f"{failure['failure']}, {reason}"
        return f"UNEXPLAINED {one.name} {failure} {self._around(failure['tenant'], failure['began'], failure['ended'])}"

    def _reason(self, one: Told, failure: dict[str, Any]) -> str:
        """Return the first reason that holds; empty if none does."""
        tenant, began, ended = failure["tenant"], failure["began"], failure["ended"]
        match failure["failure"]:
            case "LoginRequiredError":
                reasons = {"the grant was lost": self._was_without_grant(tenant, began, ended)}
            case "TokenUnavailableError":
                reasons = {f"the endpoint: {fault}": True for fault in self._faults(one.name, tenant, began, ended)}
            case "StoreError":
                store = tenant.split("/", maxsplit=1)[0]
                lock = "lock" in failure["text"] and self._was_disturbed("process", began, ended, after=LEASE)
                down = self._was_disturbed(store, began, ended + BUSY, after=2 * TIMEOUT)
                reasons = {f"{store} was down": down, "the lock of a killed process": lock}
            case "status 401":
                issued = [one for one in self._by_tenant[tenant] if one.issued and one.arrived >= began - BUSY]
                late = any(one.ended + LIFE <= ended + BUSY for one in issued)
                again = any(self._was_disturbed("access tokens", one.arrived, ended, after=0.0) for one in issued)
                reasons = {
                    "three new tokens in a row were refused (R15)": failure["futile"],
                    "the new token expired while it was being saved": late,
                    "the new token was revoked, too": again,
                    "the grant was lost": self._was_without_grant(tenant, began, ended),
                }
            case _:
                reasons = {}
        reasons[BUSY_MACHINE] = self._was_late(began, ended)
        return next((reason for reason, holds in reasons.items() if holds), "")

    @cached_property
    def _late(self) -> list[tuple[float, float]]:
        """From when to when any of the processes got no processor time."""
        return sorted([*self.provider.late, *(span for one in self.told for span in one.late)])

    def _was_late(self, began: float, ended: float) -> bool:
        """Tell whether a process was late at that time, or just before."""
        return any(_meet(began - TIMEOUT, ended + BUSY, *span) for span in self._late)

    def _was_without_grant(self, tenant: str, began: float, ended: float) -> bool:
        return any(_meet(began, ended, *span) for span in self.provider.outages.get(tenant, []))

    def _around(self, tenant: str, began: float, ended: float) -> list[object]:
        """List what happened to *tenant* about that time."""
        exchanges = [one for one in self._by_tenant[tenant] if _meet(began - 2 * LIFE, ended, one.arrived, one.ended)]
        return [*exchanges, *(one for one in self.outages if _meet(began - 2 * LIFE, ended, one.began, one.ended))]

    def _faults(self, worker: str, tenant: str, began: float, ended: float) -> Iterator[str]:
        store = tenant.split("/", maxsplit=1)[0]
        for exchange in (one for one in self._by_tenant[tenant] if one.fault and one.worker == worker):
            after = RETRY_AFTER if exchange.fault == "503" else 0.0
            if self._was_disturbed(store, exchange.arrived, exchange.ended + BUSY, after=TIMEOUT):
                after = TIMEOUT  # the refresh ends, and is told to all who wait, when the lock is released
            if _meet(began - BUSY, ended + BUSY, exchange.arrived, exchange.ended + after):
                yield exchange.fault

    def _was_disturbed(self, what: str, began: float, ended: float, *, after: float) -> bool:
        return any(one.what == what and _meet(began, ended, one.began, one.ended + after) for one in self.outages)

    # --- tokens ------------------------------------------------------------------------------------------------------

    @cached_property
    def _by_tenant(self) -> dict[str, list[Exchange]]:
        grouped: dict[str, list[Exchange]] = defaultdict(list)
        for exchange in self.provider.exchanges:
            grouped[exchange.tenant].append(exchange)
        return grouped

    @cached_property
    def losses(self) -> Counter[str]:
        """The grants that were lost, by reason."""
        return Counter(self._loss_reason(loss) for loss in self.provider.losses)

    def _loss_reason(self, loss: Loss) -> str:
        """Tell why nobody has the token that the spent refresh token was exchanged for."""
        spent_by = loss.spent_by
        if spent_by is None:
            return f"UNEXPLAINED {loss}"
        if spent_by.loses_response:
            return f"the response was lost: {spent_by.fault}"
        one = self._processes[spent_by.worker]
        if spent_by.issued not in one.saved and one.killed_at <= spent_by.ended + UNSAVED:
            return "killed between response and save"
        if loss.found.arrived < self._processes[loss.found.worker].killed_at <= spent_by.arrived + BUSY:
            return "killed while its request was on the way, and answered after the next one"
        tried = loss.found.arrived - spent_by.ended
        if spent_by.issued in one.unsaved - one.saved and tried >= SAVE_LIMIT - BUSY:
            return "not saved within two timeouts"
        unexplained = f"UNEXPLAINED {loss} {self._around(loss.tenant, spent_by.arrived, loss.found.arrived)}"
        return BUSY_MACHINE if self._was_late(spent_by.arrived, loss.found.arrived) else unexplained

    @property
    def overlaps(self) -> list[str]:
        """Two token requests of a tenant at once, where the first might still have got its response."""
        found = []
        for exchanges in self._by_tenant.values():
            for number, second in enumerate(exchanges):
                found += [
                    f"{first} {second}"
                    for first in exchanges[max(0, number - 5) : number]
                    if second.arrived < self._awaited_until(first) and not self._was_late(first.arrived, second.arrived)
                ]
        return found

    def _awaited_until(self, exchange: Exchange) -> float:
        """Tell until when its sender waited for the response."""
        given_up = exchange.arrived + TIMEOUT - BUSY
        return min(exchange.ended, given_up, self._processes[exchange.worker].killed_at)

    @cached_property
    def reasons(self) -> Counter[str]:
        """The token requests, by what they were for."""
        return Counter(
            self._request_reason(exchanges, number)
            for exchanges in self._by_tenant.values()
            for number in range(len(exchanges))
        )

    def _request_reason(self, exchanges: list[Exchange], number: int) -> str:
        present = exchanges[number]
        issued = next((one for one in reversed(exchanges[:number]) if one.issued), None)
        if any(one.sent == present.sent for one in exchanges[max(0, number - 20) : number]):
            return "again, after one that brought nothing"
        if issued is None or present.arrived >= issued.arrived + STALE_AFTER - BUSY:
            return "the token was stale"
        if self._was_disturbed("access tokens", issued.arrived, present.arrived, after=0.0):
            return "the token was revoked"
        if self._was_without_grant(present.tenant, issued.arrived, present.arrived):
            return "the grant was lost"
        if self._was_late(issued.arrived, present.arrived):
            return BUSY_MACHINE
        return f"UNNEEDED {issued} {present}"

    # --- the processes -----------------------------------------------------------------------------------------------

    @property
    def deaths(self) -> list[str]:
        """The processes that ended by themselves, before they were told to or with an error."""
        return [f"{one.name}: {one.status}" for one in self.told if one.killed_at == float("inf") and one.status != 0]

    @property
    def longest_wait(self) -> float:
        """The seconds that a request took at most."""
        return max((sample["longest"] for one in self.told for sample in one.samples[-1:]), default=0.0)

    @property
    def is_long(self) -> bool:
        """Whether beginning and end can be compared."""
        return len(self.told[0].samples) >= 5 * WINDOW

    @property
    def resources(self) -> dict[str, tuple[float, float, float]]:
        """Of the process that lived: the least in the second and last minute, which only leaks raise; the most."""
        samples = self.told[0].samples
        first = samples[WINDOW : 2 * WINDOW] if self.is_long else samples
        last = samples[-WINDOW:]
        return {
            what: (
                min(one[what] for one in first),
                min(one[what] for one in last),
                max(one[what] for one in samples),
            )
            for what in ("threads", "files", "memory")
        }


def _meet(began: float, ended: float, first: float, last: float) -> bool:
    return began <= last and first <= ended


def _counts(counter: Counter[str]) -> str:
    listed = "; ".join(f"{count:,} {what}" for what, count in counter.most_common())
    return f"{counter.total():,}" + (f" ({listed})" if listed else "")
