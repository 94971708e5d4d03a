"""Users: creating one, looking after oneself, and creating stores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flask import Flask, Response, abort, request

from foxy_auth.emulator._bearer import require
from foxy_auth.emulator._fields import Field, checked_fields, read_fields
from foxy_auth.emulator._hal import Document, answer, collection, created, document, link, refuse, timestamp
from foxy_auth.emulator._records import CLIENT_SCOPE, STORE_SCOPE, USER_SCOPE, Store, User
from foxy_auth.emulator._state import granted_scope
from foxy_auth.emulator._stores import store_document

if TYPE_CHECKING:
    from foxy_auth.emulator._state import State

# The provider's pages on creating a user and on stores.
USER_FIELDS = (
    Field(name="first_name", limit=50),
    Field(name="last_name", limit=50),
    Field(name="email", limit=100, email=True),
    Field(name="phone", required=False, limit=50),
    Field(name="affiliate_id", required=False),
    Field(name="is_programmer", required=False),
    Field(name="is_front_end_developer", required=False),
    Field(name="is_designer", required=False),
    Field(name="is_merchant", required=False),
)
STORE_FIELDS = (
    Field(name="store_name", limit=50),
    Field(name="store_domain", limit=100),
    Field(name="store_url", limit=300),
    Field(name="store_email", limit=300, email=True),
    Field(name="postal_code", limit=50),
    Field(name="region", limit=100),
    Field(name="country", limit=2),
)
# The provider's older samples have other names for the same fields.
OLDER_STORE_FIELDS = {"store_postal_code": "postal_code", "store_state": "region", "store_country": "country"}

_CAPTCHA_HEADER = "h-captcha-code"
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")


def add_user_routes(app: Flask, state: State) -> None:
    """Serve `/users` and what lies below it."""

    @app.post("/users")
    def create_user() -> Response:
        token = require(state, CLIENT_SCOPE)
        if state.switches.require_captcha and not request.headers.get(_CAPTCHA_HEADER):
            abort(refuse(400, f"The {_CAPTCHA_HEADER} header is required."))
        sent = read_fields()
        with state.lock:
            user = state.accounts.add_user(checked_fields(sent, USER_FIELDS, _email_fault(state, sent)))
            grant = state.ledger.open_grant(token.grant.client, USER_SCOPE, user=user, store=None)
            fields = state.issue_first(grant)
        return created(_links(state, user), f"user {user.number}", {"token": fields})

    @app.get("/users/<int:number>")
    def show_user(number: int) -> Response:
        return answer(_document(state, _own_user(state, number)))

    @app.route("/users/<int:number>", methods=["PUT", "PATCH"])
    def change_user(number: int) -> Response:
        user, sent = _own_user(state, number), read_fields()
        with state.lock:
            user.fields = checked_fields({**user.fields, **sent}, USER_FIELDS, _email_fault(state, sent, but=user))
            user.modified_at = state.clock()
        return answer(_document(state, user))

    @app.get("/users/<int:number>/attributes")
    def list_attributes_of_user(number: int) -> Response:
        _own_user(state, number)
        return answer(collection(f"/users/{number}/attributes", "fx:attributes", []))

    @app.get("/users/<int:number>/stores")
    def list_stores(number: int) -> Response:
        user = _own_user(state, number)
        with state.lock:
            stores = [store_document(store) for store in state.accounts.stores_of(user)]
        return answer(collection(f"/users/{number}/stores", "fx:stores", stores))

    @app.post("/users/<int:number>/stores")
    def create_store(number: int) -> Response:
        user, token, sent = _own_user(state, number), require(state, USER_SCOPE), read_fields()
        with state.lock:
            store = _add_store(state, user, sent)
            scope = granted_scope(STORE_SCOPE, store)
            fields = state.issue_first(state.ledger.open_grant(token.grant.client, scope, user=user, store=store))
        return created(store_document(store)["_links"], f"store {store.number}", {"token": fields})


def _add_store(state: State, user: User, sent: dict[str, str]) -> Store:
    sent = {OLDER_STORE_FIELDS.get(name, name): value for name, value in sent.items()}
    domain = sent.get("store_domain", "").strip()
    fields = checked_fields(sent, STORE_FIELDS, _domain_fault(state, domain))
    return state.accounts.add_store(user, fields)


def _domain_fault(state: State, domain: str) -> str:
    """Say what is wrong with a store's domain; nothing if it is missing, which is told anyway."""
    if not domain:
        return ""
    if not _DOMAIN.fullmatch(domain):
        return "store_domain may only contain lowercase letters, digits and hyphens"
    if domain.endswith("-internal"):
        return "store_domain may not end in -internal"
    return "store_domain is already in use" if state.accounts.find_store(domain) else ""


def _email_fault(state: State, sent: dict[str, str], *, but: User | None = None) -> str:
    """Say so if the address, which is what a user signs in with, is another's."""
    owner = state.accounts.find_user(sent.get("email", "").strip())
    return "email has already been taken" if owner not in {None, but} else ""


def _own_user(state: State, number: int) -> User:
    """Return the user that the current request may look after, or refuse."""
    user = require(state, USER_SCOPE).grant.user
    if user is None or user.number != number:
        abort(refuse(403, f"The access token is not for user {number}."))
    return user


def _links(state: State, user: User) -> dict[str, dict[str, str]]:
    path = f"/users/{user.number}"
    links = {
        "self": link(path, "This User"),
        "fx:attributes": link(f"{path}/attributes", "Attributes for This User"),
        "fx:stores": link(f"{path}/stores", "Stores of This User"),
    }
    stores = state.accounts.stores_of(user)
    if stores:
        links["fx:default_store"] = link(f"/stores/{stores[0].number}", "Default Store of This User")
    return links


def _document(state: State, user: User) -> Document:
    dates = {"date_created": timestamp(user.created_at), "date_modified": timestamp(user.modified_at)}
    with state.lock:
        return document(_links(state, user), {**user.fields, **dates})
