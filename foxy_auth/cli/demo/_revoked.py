"""A revoked token: a 401, one refresh, one retry, and bodies that arrive whole or not at all."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import httpx
import requests

from foxy_auth.auth import FoxyAuth
from foxy_auth.cli.demo._scene import Finding, Part, Scene
from foxy_auth.cli.demo._stage import OK, PATIENCE, UNAUTHORIZED, Stage

BODY = b"A body that must arrive whole. " * 2_000
PIECES = 64
PIECE = b"A piece of an upload, made as it goes. " * 256
UPLOAD = PIECE * PIECES
DIGITS = 7  # of a SHA-256, to show
RETRIED = [UNAUTHORIZED, OK]


def _play(stage: Stage) -> Iterator[Finding | Part]:
    with stage.auth() as auth:
        yield from _get(stage, auth)
        yield from _post(stage, auth)
        yield from _upload(stage, auth)


def _get(stage: Stage, auth: FoxyAuth) -> Iterator[Finding | Part]:
    yield Part("a GET, with requests")
    stage.foxy.revoke_access_tokens()
    watch = stage.watch()
    answer = requests.get(stage.foxy.store_url, auth=auth, timeout=PATIENCE)
    yield Finding.same("Foxy answers", expected=RETRIED, seen=watch.answers)
    yield Finding.same("token calls", expected=1, seen=len(watch.token_calls))
    yield Finding.same("the caller sees", expected=OK, seen=answer.status_code)


def _post(stage: Stage, auth: FoxyAuth) -> Iterator[Finding | Part]:
    yield Part("a POST with a body, with httpx")
    stage.foxy.revoke_access_tokens()
    watch = stage.watch()
    with httpx.Client(auth=auth, timeout=PATIENCE) as client:
        client.post(stage.foxy.store_url, content=BODY)
    yield Finding.same("Foxy answers", expected=RETRIED, seen=watch.answers)
    yield Finding.same("token calls", expected=1, seen=len(watch.token_calls))
    arrived = [call.body_length for call in watch.api_calls]
    yield Finding.same("bytes that arrived", expected=[len(BODY), len(BODY)], seen=arrived)
    digests = [call.body_sha256[:DIGITS] for call in watch.api_calls]
    yield Finding.same("their SHA-256", expected=[_sha256(BODY), _sha256(BODY)], seen=digests)


def _upload(stage: Stage, auth: FoxyAuth) -> Iterator[Finding | Part]:
    yield Part("an upload from a generator, with requests")
    stage.foxy.revoke_access_tokens()
    watch, url = stage.watch(), f"{stage.foxy.store_url}/upload"
    refused = requests.post(url, data=_pieces(), auth=auth, timeout=PATIENCE)
    yield Finding.same("Foxy answers", expected=[UNAUTHORIZED], seen=watch.answers)
    yield Finding.same("the caller sees", expected=f"{UNAUTHORIZED} invalid_token", seen=_told(refused))
    yield Finding.same("token calls", expected=1, seen=len(watch.token_calls))

    yield Part("the same upload, sent again by us")
    again = stage.watch()
    requests.post(url, data=_pieces(), auth=auth, timeout=PATIENCE)
    yield Finding.same("Foxy answers", expected=[OK], seen=again.answers)
    yield Finding.same("token calls", expected=0, seen=len(again.token_calls))
    arrived = [call.body_length for call in again.api_calls]
    yield Finding.same("bytes that arrived", expected=[len(UPLOAD)], seen=arrived)
    digests = [call.body_sha256[:DIGITS] for call in again.api_calls]
    yield Finding.same("their SHA-256", expected=[_sha256(UPLOAD)], seen=digests)


def _pieces() -> Iterator[bytes]:
    yield from (PIECE for _ in range(PIECES))


def _told(answer: requests.Response) -> str:
    return f"{answer.status_code} {answer.json().get('error')}"


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:DIGITS]


REVOKED = Scene(
    title="A token that the server has revoked",
    story=(
        "The token looks good and is refused: one refresh, one retry. An upload from a generator cannot be sent twice, "
        "so its 401 comes back untouched, and we send it again ourselves."
    ),
    play=_play,
)
