"""What the import of the auth costs a program that has imported its client library."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from benchmarks.contestants import CONTESTANTS, FOXY
from benchmarks.processes import ENVIRONMENT
from benchmarks.readings import Reading

if TYPE_CHECKING:
    from benchmarks.plan import Plan

COST = "import of client library and auth ÷ of client library alone"
IMPORTS = (
    ("requests", FOXY, "from foxy_auth import FoxyAuth"),
    ("requests", "Authlib", "from authlib.integrations.requests_client import OAuth2Session"),
    ("requests", "requests-oauthlib", "from requests_oauthlib import OAuth2Session"),
    ("requests", "requests-oauth2client", "from requests_oauth2client import OAuth2AccessTokenAuth"),
    ("requests", "google-auth", "from google.auth.transport.requests import AuthorizedSession"),
    ("httpx", FOXY, "from foxy_auth import FoxyAuth"),
    ("httpx", "Authlib", "from authlib.integrations.httpx_client import OAuth2Client"),
    ("httpx", "httpx-auth", "from httpx_auth import OAuth2ClientCredentials"),
    ("httpx", "httpx-oauth2", "from httpx_oauth2 import AuthenticatingTransportFactory"),
)
CLIENT_LIBRARIES = ("requests", "httpx", "httpx2", "niquests", "aiohttp")
# Both imports are timed in one fresh process, so that each ratio is of one moment.
PROGRAM = """
import json, sys, time
start = time.process_time()
import {library}
between = time.process_time()
before = set(sys.modules)
{statement}
end = time.process_time()
print(json.dumps([(end - start) / (between - start), sorted(set(sys.modules) - before)]))
"""


def measure(plan: Plan) -> Iterator[Reading]:
    """Take turns in fresh processes; the first of each, which may compile, does not count."""
    installed = [(library, name, statement) for library, name, statement in IMPORTS if CONTESTANTS[name].installed]
    found = [
        [_import(library, statement) for library, _, statement in installed] for _ in range(6 if plan.quick else 16)
    ]
    for (library, name, _), trials in zip(installed, zip(*found[1:], strict=True), strict=True):
        loaded = [other for other in CLIENT_LIBRARIES if other in trials[0][1]]
        note = f"imports {', '.join(loaded)}" if loaded else ""
        yield Reading.of(COST, library, name, [ratio for ratio, _ in trials], note=note)


def _import(library: str, statement: str) -> tuple[float, list[str]]:
    program = [sys.executable, "-c", PROGRAM.format(library=library, statement=statement)]
    ran = subprocess.run(program, env=ENVIRONMENT, capture_output=True, text=True, check=True)
    ratio, modules = json.loads(ran.stdout)
    return ratio, modules
