"""All checks, side by side: each in a thread of its own, for a limited time."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import chain
from threading import Thread

from foxy_auth.cli.doctor.configuration import check_credentials, check_profile, check_variables
from foxy_auth.cli.doctor.finding import Check, Finding, Setup, fail, skipped, warn
from foxy_auth.cli.doctor.installation import check_clients, check_package, check_python
from foxy_auth.cli.doctor.network import check_dns, check_proxy, check_tls
from foxy_auth.cli.doctor.provider import check_api, check_grant, check_token_endpoint
from foxy_auth.cli.doctor.storage import check_store
from foxy_auth.errors import FoxyAuthError

LIMIT = 12.0  # seconds for all of them
# In the order in which they are printed: the cause of a failure comes before what follows from it.
CHECKS: dict[str, Check] = {
    "python": check_python,
    "foxy_auth": check_package,
    "clients": check_clients,
    "variables": check_variables,
    "profile": check_profile,
    "credentials": check_credentials,
    "proxy": check_proxy,
    "dns": check_dns,
    "tls": check_tls,
    "api": check_api,
    "token endpoint": check_token_endpoint,
    "store": lambda setup: chain(check_store(setup), check_grant(setup)),  # in this order: reading repairs permissions
}
ASKING = {"proxy", "dns", "tls", "api", "token endpoint"}


def findings(setup: Setup, *, limit: float = LIMIT) -> Iterator[Finding]:
    """Run all checks, and yield what each has found, in order."""
    deadline = time.monotonic() + limit
    running = {name: _Running(name, check, setup) for name, check in CHECKS.items() if _is_possible(name, setup)}
    for name in CHECKS:
        yield from running[name].wait(deadline) if name in running else [skipped(name, "the address is not known")]


def _is_possible(name: str, setup: Setup) -> bool:
    return setup.is_environment_known or name not in ASKING


class _Running:
    """A check that runs."""

    def __init__(self, name: str, check: Check, setup: Setup) -> None:
        self._name, self._check, self._setup = name, check, setup
        self._found: list[Finding] = []
        # As a daemon, because nothing can end it, and the program must not wait for it.
        self._thread = Thread(target=self._run, name=f"foxy-auth-doctor-{name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for finding in self._check(self._setup):
                self._found.append(finding)
        except FoxyAuthError as error:
            self._found.append(fail(self._name, str(error), "See the findings above."))
        except Exception as error:  # noqa: BLE001 - one check must not end the others
            reason = f"this check failed itself ({type(error).__name__})"
            self._found.append(warn(self._name, reason, "Report it, with the output of foxy-auth doctor --json."))

    def wait(self, deadline: float) -> Sequence[Finding]:
        """Return what it has found when it ends, or at the *deadline*."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        found = [*self._found]
        if self._thread.is_alive():
            found.append(fail(self._name, "there was no answer in time", "See the findings above, and try again."))
        return found or [skipped(self._name, "nothing to check")]
