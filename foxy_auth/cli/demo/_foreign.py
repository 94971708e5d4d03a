"""Another origin: the token stays at home."""

from __future__ import annotations

from collections.abc import Iterator

import requests

from foxy_auth.auth import FoxyAuth
from foxy_auth.cli.demo._scene import Finding, Part, Scene
from foxy_auth.cli.demo._stage import OK, PATIENCE, UNAUTHORIZED, Stage, Watch

HEADERS = ("Authorization", "FOXY-API-VERSION")


def _play(stage: Stage) -> Iterator[Finding | Part]:
    watch, foreign = stage.watch(), f"{stage.foxy.elsewhere.url}/elsewhere"
    with stage.auth() as auth:
        yield Part("asked directly")
        requests.get(foreign, auth=auth, timeout=PATIENCE)
        yield _arrived("our headers, there", watch)
        yield from _redirected(stage, auth, foreign)


def _redirected(stage: Stage, auth: FoxyAuth, foreign: str) -> Iterator[Finding | Part]:
    """Follow a redirect from Foxy to somebody who answers 401, as if to ask for the token."""
    yield Part("by a redirect from Foxy, to somebody who answers 401")
    watch = stage.watch()
    stage.foxy.elsewhere.status = UNAUTHORIZED
    try:
        answer = requests.get(f"{stage.foxy.url}/redirect", params={"to": foreign}, auth=auth, timeout=PATIENCE)
    finally:
        stage.foxy.elsewhere.status = OK
    yield Finding.same("our token, at Foxy", expected=[True], seen=_with_token(watch))
    yield Finding.same("our token, there", expected=[None], seen=_tokens_elsewhere(watch))
    yield Finding.same("the caller sees", expected=UNAUTHORIZED, seen=answer.status_code)
    yield Finding.same("token calls", expected=0, seen=len(watch.token_calls))


def _arrived(what: str, watch: Watch) -> Finding:
    seen = [name for call in watch.foreign_calls for name in HEADERS if name in call.headers]
    return Finding.same(what, expected=[], seen=seen)


def _with_token(watch: Watch) -> list[bool]:
    return [call.access_token is not None for call in watch.api_calls]


def _tokens_elsewhere(watch: Watch) -> list[str | None]:
    """Return None for each request without a token."""
    return [None if call.access_token is None else "a token" for call in watch.foreign_calls]


FOREIGN = Scene(
    title="Requests to somebody else",
    story="The same object is used for another origin, directly and by a redirect from Foxy. No token arrives there.",
    play=_play,
)
