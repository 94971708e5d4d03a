"""Control from outside: the paths below `/_emulator`."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from emulator.conftest import Http

from foxy_auth.emulator import Emulator
from foxy_auth.emulator.control import _KINDS, _actions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

TOKEN = "FakeControlToken"


class Control(Http):
    """Send requests to the control paths."""

    def post(self, name: str, **options: Any) -> requests.Response:
        """Do something."""
        return self.control("POST", f"/{name}", **options)

    def control(self, method: str, name: str = "", **options: Any) -> requests.Response:
        """Send any request, with the control token unless there are other headers."""
        return self.request(method, f"/_emulator{name}", **{"headers": {"Authorization": f"Bearer {TOKEN}"}, **options})


@pytest.fixture
def foxy() -> Iterator[Emulator]:
    """Run an emulator that can be controlled from outside."""
    with Emulator(control_token=TOKEN) as foxy:
        yield foxy


@pytest.fixture
def http(foxy: Emulator) -> Control:
    """Return short ways to send it requests."""
    return Control(foxy)


def test_revoke_and_expire(foxy: Emulator, http: Control) -> None:
    """Tokens are revoked by kind, or expire."""
    token = foxy.grant()
    seen = []
    for name, fields in (("expire", {}), ("revoke", {}), ("revoke", {"tokens": "all"})):
        assert http.post(name, data=fields).status_code == 204
        refused = http.store(token.access_token).json()["error_description"]
        seen.append((refused, foxy.current_refresh_token == token.refresh_token))

    expired, invalid = "The access token provided has expired", "The access token provided is invalid"
    assert seen == [(expired, True), (invalid, True), (invalid, False)]


@pytest.mark.parametrize("how", ["data", "json", "params"])
def test_fields(foxy: Emulator, http: Control, how: str) -> None:
    """Fields are those of the methods, as JSON, as a form or in the query."""
    headers: Any = {"Retry-After": "7"} if how == "json" else '{"Retry-After": "7"}'
    fields = {"status": 503, "path": "/stores/1", "times": 2, "headers": headers, "body": "<html>"}

    assert http.post("fail", **{how: fields}).status_code == 204

    token = foxy.grant().access_token
    answers = [http.store(token) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [503, 503, 200]
    assert (answers[0].headers["Retry-After"], answers[0].text) == ("7", "<html>")


def test_other_actions(foxy: Emulator, http: Control) -> None:
    """Grants, rotation, resources and a new beginning; JSON counts as such whatever curl calls it."""
    token = http.post("grant", data={"scope": "store_full_access"}).json()
    http.post("rotate")
    http.post("serve", data='{"path": "/stores/1/things", "content": [{"id": 3}]}')
    assert http.refresh(token["refresh_token"]).json()["refresh_token"] != token["refresh_token"]
    assert http.store(token["access_token"], "/things").json()["_embedded"] == {"fx:things": [{"id": 3}]}

    http.post("rotate", json={"enabled": False})
    http.post("drop", data={"path": "/"})
    http.post("clear")

    assert (http.api(None).status_code, len(foxy.calls), foxy.rotate_refresh_tokens) == (200, 1, False)


def test_calls(foxy: Emulator, http: Control) -> None:
    """The requests so far can be read; what controls the emulator is not among them."""
    http.refresh("FakeRefresh")
    http.post("expire")

    calls = http.control("GET", "/calls").json()

    (call,) = calls
    assert (call["method"], call["path"], call["status"], call["answered_at"]) == (
        "POST",
        "/token",
        400,
        foxy.calls[0].answered_at,
    )
    assert (call["form"]["refresh_token"], call["headers"]["accept"]) == ("FakeRefresh", "*/*")


REFUSED = [
    ("POST", "/brek", {}, 404, "there are GET calls, and POST clear, delay, drop, expire, fail"),
    ("GET", "/fail", {}, 405, "takes POST"),
    ("POST", "/calls", {}, 405, "takes GET"),
    ("POST", "/fail", {"data": {"state": "1"}}, 400, "no field state; there are status (a whole number), body"),
    ("POST", "/fail", {"data": {"status": "soon"}}, 400, "status takes a whole number"),
    ("POST", "/fail", {"json": {"status": True}}, 400, "status takes a whole number"),
    ("POST", "/fail", {"json": {"after": "true"}}, 400, "after takes true or false"),
    ("POST", "/fail", {"json": {"headers": []}}, 400, "headers takes an object"),
    ("POST", "/fail", {"data": "{"}, 400, "fail: "),
    ("POST", "/fail", {"json": {"status": 99}}, 400, "99 is not a valid HTTPStatus"),
    ("POST", "/delay", {}, 400, "the field seconds is missing"),
    ("POST", "/delay", {"data": {"seconds": "NaN"}}, 400, "seconds takes a number"),
    ("POST", "/fail", {"json": [1]}, 400, "the body must be an object"),
    ("POST", "/revoke", {"data": {"tokens": "mine"}}, 400, "tokens takes access, refresh or all"),
    ("POST", "/expire", {"data": {"path": "/"}}, 400, "no field path; there are none"),
    ("POST", "/serve", {"json": {"path": "/x", "content": 1}}, 400, "serve takes a list, a dict or a function"),
]


@pytest.mark.parametrize(("method", "name", "options", "status", "message"), REFUSED)
def test_wrong_use(
    http: Control, *, method: str, name: str, options: dict[str, Any], status: int, message: str
) -> None:
    """R24: an unknown action and a wrong field are errors that say what there is."""
    response = http.control(method, name, **options)

    assert response.status_code == status
    assert message in response.json()["error"]


def test_every_field_is_described(foxy: Emulator, http: Control) -> None:
    """The overview names all actions, and what the values of their fields may be."""
    overview = http.control("GET").json()

    actions = _actions(foxy)
    assert set(overview) == {"GET /_emulator/calls", *(f"POST /_emulator/{name}" for name in actions)}
    assert overview["POST /_emulator/delay"] == "seconds (a number, required), times (a whole number), path (text)"
    annotations = {
        str(one.annotation) for action in actions.values() for one in inspect.signature(action).parameters.values()
    }
    free = {annotation for annotation in annotations - set(_KINDS) if not annotation.startswith("list[Any] | dict")}
    assert free == {"object"}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": f"Bearer {TOKEN}", "Origin": "https://evil.example"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Sec-Fetch-Site": "cross-site"}, 403),
        ({"Authorization": f"Bearer {TOKEN}", "Host": "evil.example"}, 421),
    ],
)
def test_strangers(foxy: Emulator, http: Control, headers: dict[str, str], status: int) -> None:
    """Neither a program without the control token nor a page of another site controls the emulator."""
    token = foxy.grant().access_token

    assert http.post("revoke", headers=headers).status_code == status
    assert foxy.is_live(token)


def test_tokens_are_not_exchangeable(foxy: Emulator, http: Control) -> None:
    """An access token opens no control path, and the control token no resource."""
    token = foxy.grant().access_token

    assert http.post("expire", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert http.store(TOKEN).status_code == 401


def test_closed_by_default() -> None:
    """Without a control token there are no such paths."""
    with Emulator() as foxy:
        assert Http(foxy).api(None, "/_emulator/calls").status_code == 404
