"""The soak tells a broken promise from a failure that has its reason."""

from __future__ import annotations

from typing import Any

import pytest
from soak.crew import Told
from soak.disturbances import Outage
from soak.provider import Exchange, Loss, Provider
from soak.verdict import Verdict

NEVER = float("inf")


def exchange(arrived: float, sent: str, issued: str = "", *, worker: str = "a", fault: str = "") -> Exchange:
    """Return a token request of a tenant."""
    return Exchange("redis/1", worker, sent, arrived, fault, arrived + 0.1, 200 if issued else 400, issued)


def verdict(*exchanges: Exchange, losses: tuple[Loss, ...] = (), **told: Any) -> Verdict:
    """Judge a run with these token requests, in which Redis was down from 100 s to 104 s."""
    provider = Provider(0)
    provider.exchanges, provider.losses = list(exchanges), list(losses)
    workers = [Told("a", status=0, samples=[{"requests": 1, "longest": 1, "threads": 1, "files": 1, "memory": 1}])]
    workers[0].__dict__.update(told)
    return Verdict(provider, [*workers, Told("b", status=0)], [Outage("redis", 100.0, 104.0)], 100.0)


@pytest.mark.parametrize(("killed_at", "is_told"), [(12.0, True), (NEVER, False), (9.0, False)])
def test_a_request_that_outlives_its_process(killed_at: float, is_told: bool) -> None:  # noqa: FBT001 - a parameter
    """A process that is killed frees the lock, and its request may reach a slow provider after the next one."""
    outlives, spends = exchange(10.0, "one"), exchange(12.1, "one", "two", worker="b")
    reasons = list(verdict(outlives, spends, losses=(Loss("redis/1", spends, outlives),), killed_at=killed_at).losses)

    assert ("killed while its request was on the way" in reasons[0]) == is_told


@pytest.mark.parametrize(
    ("killed_at", "saved", "fault", "reason"),
    [
        (NEVER, False, "drop after", "the response was lost: drop after"),
        (10.2, False, "", "killed between response and save"),
        (10.2, True, "", "UNEXPLAINED"),
        (NEVER, False, "", "UNEXPLAINED"),
        (60.0, False, "", "UNEXPLAINED"),
    ],
)
def test_a_lost_grant(killed_at: float, saved: bool, fault: str, reason: str) -> None:  # noqa: FBT001 - a parameter
    """A grant may be lost with a response, or with a process that was killed before it saved; else it must not."""
    first, second = exchange(10.0, "one", "two", fault=fault), exchange(70.0, "one", worker="b")
    judged = verdict(
        first,
        second,
        losses=(Loss("redis/1", first, second),),
        killed_at=killed_at,
        saved={"two"} if saved else set(),
    )

    assert [text[: len(reason)] for text in judged.losses] == [reason]
    assert bool(judged.broken) == (reason == "UNEXPLAINED")


@pytest.mark.parametrize(("arrived", "is_broken"), [(10.05, True), (10.2, False)])
def test_two_refreshes_at_once(arrived: float, is_broken: bool) -> None:  # noqa: FBT001 - a parameter
    """Two token requests of one grant must not be under way at the same time."""
    judged = verdict(exchange(10.0, "one"), exchange(arrived, "one", "two", worker="b"))

    assert bool(judged.broken) == is_broken


@pytest.mark.parametrize(("arrived", "is_broken"), [(11.0, True), (14.0, False)])
def test_an_unneeded_token_request(arrived: float, is_broken: bool) -> None:  # noqa: FBT001 - a parameter
    """A token that is neither stale nor revoked must not be refreshed."""
    judged = verdict(exchange(10.0, "one", "two"), exchange(arrived, "two", "three", worker="b"))

    assert bool(judged.broken) == is_broken


@pytest.mark.parametrize(
    ("began", "stopped_at", "is_broken"), [(103.0, NEVER, False), (200.0, NEVER, True), (103.0, 50.0, True)]
)
def test_a_failure(began: float, stopped_at: float, is_broken: bool) -> None:  # noqa: FBT001 - a parameter
    """A failure must have met a fault, and none may come after the faults."""
    failure = {"failure": "StoreError", "tenant": "redis/1", "began": began, "ended": began + 1.0, "text": "down"}

    assert bool(verdict(failures=[failure], stopped_at=stopped_at).broken) == is_broken


def test_a_process_that_fails() -> None:
    """A process must not end by itself."""
    assert verdict(status=1).broken


@pytest.mark.parametrize(("late", "is_broken"), [([], True), ([(120.0, 123.0)], False)])
def test_a_wait_that_is_too_long(late: list[tuple[float, float]], is_broken: bool) -> None:  # noqa: FBT001 - a parameter
    """A request must not wait too long, unless the machine had no processor time for it."""
    waited = {"failure": "waited too long", "tenant": "redis/1", "began": 110.0, "ended": 190.0, "text": ""}

    assert bool(verdict(failures=[waited], late=late).broken) == is_broken
