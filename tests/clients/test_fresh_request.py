"""The cost of a request whose token is fresh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

CALLS = 8  # of Python functions in foxy_auth; resuming a generator counts as one

# The program makes some requests over a null transport, and then counts what one more does.
# Locks that foxy_auth creates are replaced by ones that count.
PROGRAM = """
import json, sys, threading, time
from collections import Counter

import anyio, httpx, requests, trio

counts = Counter()
watching = False


def is_ours(frame):
    return "/foxy_auth/" in frame.f_code.co_filename.replace("\\\\", "/")


def is_below_us():
    frame = sys._getframe(2)
    while frame:
        if is_ours(frame):
            return True
        frame = frame.f_back
    return False


class CountedLock:
    def __init__(self, lock):
        self._lock = lock

    def acquire(self, *args, **options):
        if watching:
            counts["locks"] += 1
        return self._lock.acquire(*args, **options)

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()

    def __getattr__(self, name):
        return getattr(self._lock, name)


def counting(make):
    return lambda: CountedLock(make()) if is_below_us() else make()


threading.Lock, threading.RLock = counting(threading.Lock), counting(threading.RLock)
start = threading.Thread.start


def count_start(thread):
    if watching:
        counts["threads"] += 1
    start(thread)


threading.Thread.start = count_start

from foxy_auth import FoxyAuth, Token

CLOCKS = {time.time, time.monotonic, time.perf_counter, time.time_ns, time.monotonic_ns, time.perf_counter_ns}
# Raised when a client library exhausts or closes our generators.
FLOW = (GeneratorExit, StopIteration, StopAsyncIteration)


def profile(frame, event, argument):
    if event == "call" and is_ours(frame):
        counts["calls"] += 1
    elif event == "c_call" and is_ours(frame) and argument in CLOCKS:
        counts["clock readings"] += 1


def trace(frame, event, argument):
    if not is_ours(frame):
        return None
    if event == "exception" and not issubclass(argument[0], FLOW):
        counts["exceptions"] += 1
    return trace


def begin():
    global watching
    watching = True
    sys.setprofile(profile)
    sys.settrace(trace)


def end():
    global watching
    sys.settrace(None)
    sys.setprofile(None)
    watching = False


now = time.time()
token = Token("FakeToken", refresh_token="FakeRefresh", expires_at=now + 7200.0, obtained_at=now)
auth = FoxyAuth(client_id="client_Fake", client_secret="FakeSecret", token=token, on_token=print)
URL = "https://api.foxycart.com/stores/1"


class Adapter(requests.adapters.BaseAdapter):
    def send(self, request, **_):
        response = requests.Response()
        response.status_code, response.url, response.request = 200, request.url, request
        response._content = request.headers["Authorization"].encode()
        return response

    def close(self):
        pass


def answer(request):
    return httpx.Response(200, text=request.headers["Authorization"])


def through_requests():
    with requests.Session() as session:
        session.mount("https://", Adapter())
        session.auth = auth
        for _ in range(3):
            session.get(URL, timeout=5)
        begin()
        response = session.get(URL, timeout=5)
        end()
        return response.text


def through_httpx():
    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as client:
        for _ in range(3):
            client.get(URL)
        begin()
        response = client.get(URL)
        end()
        return response.text


async def through_async_httpx():
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), auth=auth) as client:
        for _ in range(3):
            await client.get(URL)
        begin()
        response = await client.get(URL)
        end()
        return response.text


ways = {
    "requests": through_requests,
    "httpx": through_httpx,
    "asyncio": lambda: anyio.run(through_async_httpx),
    "trio": lambda: anyio.run(through_async_httpx, backend="trio"),
}
for name, way in ways.items():
    counts.clear()
    text = way()
    print(json.dumps({"name": name, "text": text, **counts}))
"""


@pytest.fixture(scope="module")
def counts() -> dict[str, dict[str, Any]]:
    """Count, in a process of its own, what a fresh request does with each client."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    outcome = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, timeout=60.0, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    return {line.pop("name"): line for line in map(json.loads, outcome.stdout.splitlines())}


@pytest.mark.parametrize("client", ["requests", "httpx", "asyncio", "trio"])
def test_a_fresh_request(counts: dict[str, dict[str, Any]], client: str) -> None:
    """Signing a request with a fresh token takes few calls, no lock, no thread and no exception."""
    found = dict(counts[client])

    assert found.pop("text") == "Bearer FakeToken"
    assert 1 <= found.pop("calls") <= CALLS
    assert found.pop("clock readings", 0) <= 1
    assert found == {}
