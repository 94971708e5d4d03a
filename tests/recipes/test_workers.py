"""The manual's code for servers, queues, functions, run by their own tools: celery.md, gunicorn.md, aws-lambda.md."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import requests
from support.credentials import credentials
from support.manual import MANUAL, blocks_of
from support.waiting import wait_until

from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from foxy_auth.emulator import Emulator

DEADLINE = 60.0  # seconds for what a worker does


@pytest.fixture
def environment(foxy: Emulator) -> dict[str, str]:
    """Give the environment of a worker: the credentials that Foxy's admin shows."""
    return {**os.environ, **credentials(foxy)}


def write_files(page: str, folder: Path) -> None:
    """Write the files that a page shows."""
    for block in blocks_of((MANUAL / "how-to" / page).read_text("utf-8")):
        if block.kind == "file":
            (folder / block.value).write_text(block.code, "utf-8")


@contextmanager
def running(*command: str, folder: Path, environment: dict[str, str], **options: Any) -> Iterator[None]:
    """Run a worker with what is in *folder*; fail if it logs a traceback."""
    program = [sys.executable, "-m", *command]
    with (folder / "log").open("w") as log:
        worker = subprocess.Popen(
            program, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True, **options
        )
        try:
            yield
        finally:
            os.killpg(worker.pid, signal.SIGKILL)  # it and its children, at once
            worker.wait(DEADLINE)
    logged = (folder / "log").read_text()
    assert "Traceback" not in logged, logged


@pytest.mark.parametrize("options", [["--preload"], ["--preload", "--worker-class=gevent"]], ids=["sync", "gevent"])
def test_gunicorn(foxy: Emulator, environment: dict[str, str], tmp_path: Path, options: list[str]) -> None:
    """R11: gunicorn's workers, forked after the auth object was made, share one token request, each time."""
    write_files("gunicorn.md", tmp_path)
    if "--worker-class=gevent" not in options:
        (tmp_path / "gunicorn.conf.py").unlink()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number, address = listening.fileno(), f"http://127.0.0.1:{listening.getsockname()[1]}/"
        command = ["gunicorn", "--workers=2", *options, f"--bind=fd://{number}", "shop:app"]
        with (
            running(*command, folder=tmp_path, environment=environment, pass_fds=[number]),
            ThreadPoolExecutor(12) as pool,
        ):
            seen = []
            for _ in range(2):
                shown = set(pool.map(lambda _: requests.get(address, timeout=DEADLINE).text, range(24)))
                seen.append((shown, len(foxy.token_calls)))
                foxy.revoke_access_tokens()

    assert seen == [({foxy.store_url}, 1), ({foxy.store_url}, 2)]


def test_celery(foxy: Emulator, environment: dict[str, str], tmp_path: Path) -> None:
    """R19: A refresh in the background of a Celery child that ends with its task is waited for, and its token saved."""
    write_files("celery.md", tmp_path)
    for folder in ("queue", "results"):
        (tmp_path / folder).mkdir()
    environment["BROKER_URL"] = "filesystem://"
    settings = {"data_folder_in": "queue", "data_folder_out": "queue", "polling_interval": 0.05}
    (tmp_path / "local.py").write_text(
        f"from tasks import app, store_name\napp.conf.update(broker_transport_options={settings})\n"
    )
    store = FileStore(tmp_path / "foxy-token.json")
    stale = replace(foxy.grant(), obtained_at=time.time() - 7080, expires_at=time.time() + 120)
    store.save(stale)
    foxy.delay(0.3)
    send = [sys.executable, "-c", "import local; local.store_name.delay()"]
    options = ["--concurrency=2", "--max-tasks-per-child=1", "--without-gossip", "--without-mingle"]
    with running("celery", "-A", "local", "worker", *options, folder=tmp_path, environment=environment):
        subprocess.run(send, cwd=tmp_path, env=environment, check=True, timeout=DEADLINE)
        wait_until(lambda: store.load() != stale, what="the new token", within=DEADLINE)

    assert len(foxy.token_calls) == 1
    assert [call.access_token for call in foxy.api_calls] == [stale.access_token] * 2


# What a cloud does with the function: calls in one execution environment, one per line of its input.
RUNTIME = """
import sys
from lambda_function import handler
for _ in sys.stdin:
    print(handler({}, None), flush=True)
"""


def test_lambda(foxy: Emulator, environment: dict[str, str], tmp_path: Path) -> None:
    """R4: A function that is frozen until its token has expired makes one token request then, and one at each start."""
    write_files("aws-lambda.md", tmp_path)
    token_requests = []
    command = [sys.executable, "-c", RUNTIME]
    for _ in range(2):  # cold starts
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as function:
            assert function.stdin
            assert function.stdout
            for _ in range(2):
                function.stdin.write("\n")
                function.stdin.flush()
                assert function.stdout.readline() == "Example Outfitters\n"
                token_requests.append(len(foxy.token_calls))
                function.send_signal(signal.SIGSTOP)
                function.send_signal(signal.SIGCONT)
            foxy.expire_access_tokens()
            function.stdin.write("\n")
            function.stdin.close()
            assert function.stdout.readline() == "Example Outfitters\n"
            token_requests.append(len(foxy.token_calls))

    assert token_requests == [1, 1, 2, 3, 3, 4]
