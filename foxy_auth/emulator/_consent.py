"""The authorization endpoint: a page that asks the user, and the way back to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, make_response, render_template, request

from foxy_auth.emulator._forgery import Forgery
from foxy_auth.emulator._grants import Consent
from foxy_auth.emulator._records import STORE_SCOPE, USER_SCOPE
from foxy_auth.emulator._scopes import words

if TYPE_CHECKING:
    from collections.abc import Iterable

    from foxy_auth.emulator._oauth import Server
    from foxy_auth.emulator._records import Client, Store
    from foxy_auth.emulator._state import State

_PARAMETERS = (
    "response_type",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "code_challenge",
    "code_challenge_method",
)
_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src http: https: data:; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_STALE = "This page was open for too long, or opened in another way. Nothing has been decided yet: please choose again."
_UNDECIDED = "Please choose a store and press one of the two buttons."

_PLAIN = {
    STORE_SCOPE: (
        "See and change everything in the store you choose",
        "Its settings, products, customers, orders, subscriptions and payments.",
    ),
    USER_SCOPE: (
        "See and change your Foxy user account",
        "Your name and contact details, the list of your stores, and creating new stores.",
    ),
}
_VERBS = {"read": "See", "write": "See and change", "resend": "Resend"}


def add_authorization_routes(app: Flask, state: State, server: Server) -> None:
    """Serve `/authorize`: GET asks the user, POST takes the decision."""
    forgery = Forgery()

    @app.get("/authorize")
    def ask_for_consent() -> Response:
        try:
            grant, client = server.ask_for_consent()
        except OAuth2Error as error:
            return server.refuse(error)
        return _page(state, forgery, client, grant.redirect_uri)

    @app.post("/authorize")
    def take_decision() -> Response:
        try:
            grant, client = server.ask_for_consent()
        except OAuth2Error as error:
            return server.refuse(error)
        if not forgery.genuine():
            return _page(state, forgery, client, grant.redirect_uri, alert=_STALE, status=403)
        if request.form.get("decision") == "deny":
            return server.answer_decision(grant, None)
        store = _chosen_store(state)
        undecided = request.form.get("decision") != "allow" or (_wants_store() and store is None)
        if undecided:
            return _page(state, forgery, client, grant.redirect_uri, alert=_UNDECIDED, status=400)
        return server.answer_decision(grant, Consent(user=state.user, store=store))


def _page(
    state: State, forgery: Forgery, client: Client, redirect_uri: str, *, alert: str = "", status: int = 200
) -> Response:
    """Show the page that says who asks for what."""
    session = forgery.session()
    with state.lock:
        stores = state.accounts.stores_of(state.user) if _wants_store() else []
    page = render_template(
        "consent.html",
        alert=alert,
        client=client.fields,
        logo=_web_address(client.fields.get("company_logo", "")),
        website=_web_address(client.fields.get("company_url", "")),
        destination=_destination(redirect_uri),
        user=state.user.fields,
        stores=stores,
        chosen=_chosen_number() or _first_number(stores),
        wants_store=_wants_store(),
        permissions=[_plainly(scope) for scope in sorted(_asked())],
        parameters={name: request.values[name] for name in _PARAMETERS if name in request.values},
        form_token=forgery.token(session),
    )
    answer = make_response(page, status, _HEADERS)
    forgery.remember(answer, session)
    return answer


def _destination(redirect_uri: str) -> str:
    """Say where the user goes next, in words that they can judge."""
    host = urlsplit(redirect_uri).hostname
    return "a program on this computer" if host in _LOOPBACK else host or redirect_uri


def _asked() -> frozenset[str]:
    return words(request.values.get("scope", ""))


def _wants_store() -> bool:
    """Tell whether a store is to be chosen: all scopes but the user's are about one."""
    return _asked() != words(USER_SCOPE)


def _chosen_number() -> int | None:
    return request.form.get("store", type=int)


def _first_number(stores: Iterable[Store]) -> int | None:
    return next((store.number for store in stores), None)


def _chosen_store(state: State) -> Store | None:
    """Return the store that the user has picked; one of other people's does not count."""
    number = _chosen_number()
    if number is None or not _wants_store():
        return None
    with state.lock:
        return next((store for store in state.accounts.stores_of(state.user) if store.number == number), None)


def _plainly(scope: str) -> tuple[str, str]:
    """Say in plain words what *scope* allows, and what belongs to it."""
    if scope in _PLAIN:
        return _PLAIN[scope]
    collection, _, right = scope.rpartition("_")
    return f"{_VERBS.get(right, right)} {collection.replace('_', ' ')}", "In the store you choose."


def _web_address(address: str) -> str:
    """Return *address* if it is one of the web's, lest a client's field become a script."""
    return address if address.lower().startswith(("http://", "https://")) else ""
