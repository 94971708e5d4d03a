"""Rows: what the API refuses to create, or tells wrongly about what it has created."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote_plus

from secrecy.made_up import secret
from secrecy.provider import DROP, Answer, Asked, badly_framed, closed_port, document
from secrecy.saving import _callback
from secrecy.world import ECHOES, LATER, REDIRECT_URI, Row, World, new_token

import foxy_auth
from foxy_auth import Environment, FoxyAuthError, RegistrationError, TokenUnavailableError

CLIENT: dict[str, Any] = {
    "redirect_uri": REDIRECT_URI,
    "project_name": "made-up",
    "company_name": "made-up",
    "contact_name": "made-up",
    "contact_email": "somebody@example.com",
    "contact_phone": "1",
}
USER: dict[str, Any] = {"first_name": "made-up", "last_name": "made-up", "email": "somebody@example.com"}
STORE: dict[str, Any] = {
    **dict.fromkeys(("store_name", "store_domain", "postal_code", "region", "country"), "made-up"),
    "store_url": "https://www.example.com",
    "store_email": "somebody@example.com",
}

Options = Callable[[], dict[str, Any]]  # no variable of these tests holds a secret

CALLS: dict[str, Callable[[World, str, Options], Any]] = {
    "register_client": lambda world, prefix, options: getattr(foxy_auth, f"{prefix}register_client")(
        **CLIENT, environment=world.environment, timeout=world.timeout, **options()
    ),
    "create_user": lambda world, prefix, options: getattr(foxy_auth, f"{prefix}create_user")(
        world.auth(left=7200.0), **USER, **options()
    ),
    "create_store": lambda world, prefix, options: getattr(foxy_auth, f"{prefix}create_store")(
        world.auth(left=7200.0), **STORE, **options()
    ),
    "create_integration": lambda world, prefix, options: getattr(foxy_auth, f"{prefix}create_integration")(
        world.auth(left=7200.0), project_name="made-up", **options()
    ),
}
RELATIONS = ("fx:create_client", "fx:create_user", "fx:stores", "fx:store", "fx:integrations", "fx:client", "fx:token")


def _resource(world: World, links: dict[str, str]) -> Answer:
    hrefs = {relation: {"href": f"{world.provider.url}/{relation}"} for relation in RELATIONS}
    return document(200, {"_links": {**hrefs, **{relation: {"href": href} for relation, href in links.items()}}})


Prepare = Callable[[World], None]


def _answering(
    created: Callable[[Asked], Answer] = lambda _: DROP,
    client: Callable[[Asked], Answer] | None = None,
    **links: str,
) -> Prepare:
    """Answer GET with links, POST with what was created, and let the new client's own resource be *client*."""
    named = {f"fx:{relation}": href for relation, href in links.items()}

    def prepare(world: World) -> None:
        def answer(asked: Asked) -> Answer:
            if asked.method == "POST":
                return created(asked)
            if client and asked.path == "/fx:client":
                return client(asked)
            return _resource(world, named)

        world.provider.answer = answer

    return prepare


def _echoing(echo: Callable[[str], str]) -> Prepare:
    def created(asked: Asked) -> Answer:
        return document(400, {"_embedded": {"fx:errors": [{"message": echo(one)} for one in asked.secrets]}})

    return _answering(created)


def _echoing_error(asked: Asked) -> Answer:
    text = " ".join(asked.secrets)
    return document(401, {"error": text, "error_description": text})


def _created(token: object, **fields: Any) -> Callable[[Asked], Answer]:
    return lambda _: document(201, {"token": token, **fields}, Location="/made/1")


def _echoing_later(asked: Asked) -> Answer:
    return document(503, {"error": "x", "error_description": " ".join(asked.secrets)}, **LATER)


def _refusing_after(asked: Asked) -> Answer:
    """Refuse to show the new client, and repeat its token."""
    return document(403, {"error": "no", "error_description": f"no: {asked.secrets}"})


def _closed(world: World) -> None:
    world.environment = Environment(api=f"http://127.0.0.1:{closed_port()}")


def _unauthorized(world: World) -> None:
    """Refuse the token, and then to issue another."""

    def answer(asked: Asked) -> Answer:
        if asked.path == "/token":
            return document(400, {"error": "invalid_grant", "error_description": " ".join(asked.secrets)})
        return document(401, {"error": "invalid_token", "error_description": secret("access token")})

    world.provider.answer = answer


BROKEN_SECRET = {"client_id": "made-up", "client_secret": None}

FAILURES: dict[str, tuple[Prepare, type[FoxyAuthError]]] = {
    **{f"the API repeats the token {name}": (_echoing(echo), RegistrationError) for name, echo in ECHOES.items()},
    "the API repeats the token as an error": (_answering(_echoing_error), FoxyAuthError),
    "the API asks to try later": (_answering(_echoing_later), TokenUnavailableError),
    "the response is badly framed": (_answering(badly_framed), TokenUnavailableError),
    "the address repeats the token": (
        _answering(lambda asked: document(201, {}, Location=f"/made/{quote_plus(asked.secrets[0])}")),
        RegistrationError,
    ),
    "the connection drops": (_answering(), TokenUnavailableError),
    "nothing answers": (_closed, TokenUnavailableError),
    "the response has no token": (_answering(_created(None, secret_text="x")), RegistrationError),
    "the response has a broken token": (
        _answering(lambda _: document(201, {"token": new_token(access_token=f"{secret('new access token')} ")})),
        RegistrationError,
    ),
    "the token is text": (
        _answering(lambda _: document(201, {"token": secret("new access token")})),
        RegistrationError,
    ),
    "the response breaks off": (
        _answering(lambda _: Answer(201, f'{{"token": "{secret("new access token")}'.encode(), sent=100)),
        FoxyAuthError,
    ),
    "there is no link": (
        lambda world: setattr(world.provider, "answer", lambda _: document(200, {"x": secret("access token")})),
        RegistrationError,
    ),
    "the link leads elsewhere": (
        _answering(
            create_client="https://example.com/",
            create_user="https://example.com/",
            stores="https://example.com/",
            integrations="https://example.com/",
        ),
        RegistrationError,
    ),
    "the token is refused": (_unauthorized, FoxyAuthError),
}
USUAL = {"the connection drops", "the response has a broken token", "the API repeats the token percent-encoded"}
# What every call meets; these calls meet the rest too.
THOROUGH = {"acreate_user", "create_integration"}
OF_CREDENTIALS: dict[str, Prepare] = {
    "there is no client secret": _answering(
        lambda _: document(201, {"token": new_token(), "client_id": "made-up"}), _refusing_after
    ),
    "the client secret is broken": _answering(
        lambda _: document(
            201, {"token": new_token(), "client_id": "x", "client_secret": f"{secret('new client secret')}\n"}
        ),
        lambda _: document(200, {"client_id": f"{secret('new client secret')}:", "client_secret": 7}),
    ),
    "the new client cannot be read": _answering(lambda _: document(201, {"token": new_token()}), lambda _: DROP),
}


def _row(call: str, failure: str, prepare: Prepare, raises: type[FoxyAuthError], *, options: Options = dict) -> Row:
    prefix, name = ("a", call[1:]) if call[1:] in CALLS else ("", call)

    def attempt(world: World) -> Any:
        prepare(world)
        return CALLS[name](world, prefix, options)

    return Row(f"{call}: {failure}", attempt, raises, (call,))


def _rows() -> list[Row]:
    rows = [
        _row(f"{prefix}{call}", failure, prepare, raises)
        for call in CALLS
        for prefix in ("", "a")
        for failure, (prepare, raises) in FAILURES.items()
        if failure in USUAL or f"{prefix}{call}" in THOROUGH
    ]
    rows += [
        _row(call, failure, prepare, RegistrationError, options=lambda: {"on_token": _callback("with causes")})
        for call in ("register_client", "aregister_client", "create_integration", "acreate_integration")
        for failure, prepare in OF_CREDENTIALS.items()
    ]
    return rows


def _wrong(name: str, act: Callable[[World], Any]) -> Row:
    return Row(f"wrong use of {name}", act, (TypeError, ValueError))


def _unheard(world: World) -> None:
    """Create a user whose token nobody takes: that is logged."""
    _answering(lambda _: document(201, {"token": new_token()}))(world)
    foxy_auth.create_user(world.auth(left=7200.0), **USER, on_token=_callback("with causes"))


def _undiscovered(world: World, failure: str) -> Any:
    FAILURES[failure][0](world)
    return Environment.discover(world.environment.api)


def _elsewhere(world: World) -> Any:
    _answering(token=f"https://u:{secret('client secret')}@example.com/token")(world)
    return Environment.adiscover(world.environment.api)


def _kept(changes: Options) -> Any:
    """Read a registration that was kept, but for what *changes* returns."""
    return foxy_auth.Registration.from_dict(
        {
            "client_id": "made-up",
            "client_secret": secret("client secret"),
            "environment": {"api": "https://api.foxycart.com"},
            "token": new_token(),
            **changes(),
        }
    )


def _text() -> Any:
    return secret("access token")


ROWS = [
    *_rows(),
    _wrong(
        "register_client: on_token", lambda world: CALLS["register_client"](world, "", lambda: {"on_token": _text()})
    ),
    _wrong(
        "register_client: client_id",
        lambda world: CALLS["register_client"](world, "", lambda: {"client_id": f"{_text()}:"}),
    ),
    _wrong("register_client: http", lambda world: CALLS["register_client"](world, "", lambda: {"http": _text()})),
    _wrong(
        "register_client: version", lambda world: CALLS["register_client"](world, "", lambda: {"api_version": _text()})
    ),
    Row(
        "Registration.from_dict: secret",
        lambda _: _kept(lambda: {"client_secret": f" {secret('client secret')}"}),
        ValueError,
        ("Registration.from_dict",),
    ),
    _wrong("Registration.from_dict: token", lambda _: _kept(lambda: {"token": _text()})),
    _wrong("create_user: auth", lambda _: foxy_auth.create_user(_text(), **USER)),
    _wrong("acreate_user: auth", lambda _: foxy_auth.acreate_user(_text(), **USER)),
    _wrong(
        "create_user: captcha",
        lambda world: CALLS["create_user"](world, "", lambda: {"captcha_code": _text().encode()}),
    ),
    _wrong("create_store: auth", lambda _: foxy_auth.create_store(_text(), **STORE)),
    _wrong(
        "create_integration: on_token",
        lambda world: CALLS["create_integration"](world, "", lambda: {"on_token": _text()}),
    ),
    _wrong(
        "create_integration: text",
        lambda world: CALLS["create_integration"](world, "", lambda: {"project_description": 7}),
    ),
    Row("create_user: callback fails", _unheard, None),
    Row("discover: no answer", lambda world: _undiscovered(world, "nothing answers"), TokenUnavailableError),
    Row("discover: no link", lambda world: _undiscovered(world, "there is no link"), TokenUnavailableError),
    Row("adiscover: elsewhere", _elsewhere, TokenUnavailableError),
]
