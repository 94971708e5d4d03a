"""Clients and users: registering, viewing and changing them; creating stores."""

from __future__ import annotations

import re

from flask import Blueprint, Response, abort, request

from foxy_auth.emulator.bearer import require_token
from foxy_auth.emulator.forms import Field, read_fields, validate
from foxy_auth.emulator.hal import Document, collection, created, document, error, link, respond
from foxy_auth.emulator.models import CLIENT_SCOPE, STORE_SCOPE, USER_SCOPE, Client, User, db
from foxy_auth.emulator.stores import links_below, store_document

# The provider's pages on creating a client, a user and a store.
_CLIENT_FIELDS = (
    Field(name="redirect_uri", limit=2000),
    Field(name="project_name"),
    Field(name="project_description", required=False, limit=2000),
    Field(name="company_name"),
    Field(name="company_url", required=False),
    Field(name="company_logo", required=False),
    Field(name="contact_name"),
    Field(name="contact_email", email=True),
    Field(name="contact_phone"),
    Field(name="javascript_origin_uri", required=False),
)
_USER_FIELDS = (
    Field(name="first_name", limit=50),
    Field(name="last_name", limit=50),
    Field(name="email", limit=100, email=True),
    Field(name="phone", required=False, limit=50),
    Field(name="affiliate_id", required=False),
    *(
        Field(name=f"is_{role}", required=False)
        for role in ("programmer", "front_end_developer", "designer", "merchant")
    ),
)
_STORE_FIELDS = (
    Field(name="store_name", limit=50),
    Field(name="store_domain", limit=100),
    Field(name="store_url", limit=300),
    Field(name="store_email", limit=300, email=True),
    Field(name="postal_code", limit=50),
    Field(name="region", limit=100),
    Field(name="country", limit=2),
)
# The names of the same fields in the provider's older samples.
_OLDER_STORE_FIELDS = {"store_postal_code": "postal_code", "store_state": "region", "store_country": "country"}
_CAPTCHA_HEADER = "h-captcha-code"
_DOMAIN = re.compile(r"[a-z0-9-]+(\.[a-z0-9-]+)*")

accounts: Blueprint = Blueprint("accounts", __name__)


@accounts.post("/clients")
def create_client() -> Response:
    """Register a client, which gets a first token."""
    sent = read_fields()
    client_id = sent.get("client_id", "").strip()
    with db.lock:
        taken = "client_id has already been taken" if client_id in db.clients else ""
        fields = validate(sent, _CLIENT_FIELDS, taken)
        client = db.add_client(fields, client_id=client_id, redirect_uri=fields.pop("redirect_uri"))
        token = db.issue_tokens(db.new_grant(client, CLIENT_SCOPE))
    credentials = {"client_id": client.client_id, "client_secret": client.client_secret}
    shown = {} if db.settings.hide_new_client else credentials
    return created(_client_links(client), f"client {client.number}", {**shown, "token": token})


@accounts.get("/clients/<int:number>")
def show_client(number: int) -> Response:
    """Show the client of the token."""
    return respond(_client_document(_own_client(number)))


@accounts.route("/clients/<int:number>", methods=["PUT", "PATCH"])
def change_client(number: int) -> Response:
    """Change the client of the token; its id and its secret stay."""
    client = _own_client(number)
    fields = validate({**client.fields, "redirect_uri": client.redirect_uri, **read_fields()}, _CLIENT_FIELDS)
    client.redirect_uri = fields.pop("redirect_uri")
    client.fields, client.modified_at = fields, db.clock()
    return respond(_client_document(client))


@accounts.post("/users")
def create_user() -> Response:
    """Create a user; the client gets a token for it."""
    client = require_token(CLIENT_SCOPE).grant.client
    if db.settings.require_captcha and not request.headers.get(_CAPTCHA_HEADER):
        abort(error(400, f"The {_CAPTCHA_HEADER} header is required."))
    sent = read_fields()
    with db.lock:
        user = db.add_user(_valid_user(sent))
        token = db.issue_tokens(db.new_grant(client, USER_SCOPE, user))
    return created(_user_links(user), f"user {user.number}", {"token": token})


@accounts.get("/users/<int:number>")
def show_user(number: int) -> Response:
    """Show the user of the token."""
    return respond(_user_document(_own_user(number)))


@accounts.route("/users/<int:number>", methods=["PUT", "PATCH"])
def change_user(number: int) -> Response:
    """Change the user of the token."""
    user, sent = _own_user(number), read_fields()
    with db.lock:
        user.fields, user.modified_at = _valid_user({**user.fields, **sent}, user), db.clock()
    return respond(_user_document(user))


@accounts.get("/users/<int:number>/stores")
def list_stores(number: int) -> Response:
    """List the stores of the token's user."""
    stores = db.stores_of(_own_user(number))
    return collection(f"/users/{number}/stores", "fx:stores", [store_document(store) for store in stores])


@accounts.post("/users/<int:number>/stores")
def create_store(number: int) -> Response:
    """Create a store; the client gets a token for it."""
    user, client = _own_user(number), require_token(USER_SCOPE).grant.client
    sent = {_OLDER_STORE_FIELDS.get(name, name): value for name, value in read_fields().items()}
    with db.lock:
        store = db.add_store(user, validate(sent, _STORE_FIELDS, _domain_error(sent.get("store_domain", "").strip())))
        token = db.issue_tokens(db.new_grant(client, STORE_SCOPE, user, store))
    return created(store_document(store)["_links"], f"store {store.number}", {"token": token})


def _own_client(number: int) -> Client:
    """Return the client of the token, or abort if it has another number."""
    client = require_token(CLIENT_SCOPE).grant.client
    if client.number != number:
        abort(error(403, f"The access token is not for client {number}."))
    return client


def _own_user(number: int) -> User:
    """Return the user of the token, or abort if it has another number."""
    user = require_token(USER_SCOPE).grant.user
    if user is None or user.number != number:
        abort(error(403, f"The access token is not for user {number}."))
    return user


def _valid_user(sent: dict[str, str], user: User | None = None) -> dict[str, str]:
    """Validate the fields of a new user, or of *user*; the email address, the login, must not be another's."""
    owner = db.find_user(sent.get("email", "").strip())
    return validate(sent, _USER_FIELDS, "email has already been taken" if owner not in {None, user} else "")


def _domain_error(domain: str) -> str:
    """Return what is wrong with a store's domain; nothing if it is missing, which `validate` reports."""
    if domain and not _DOMAIN.fullmatch(domain):
        return "store_domain may only contain lowercase letters, digits and hyphens"
    if domain.endswith("-internal"):
        return "store_domain may not end in -internal"
    return "store_domain is already in use" if db.find_store(domain=domain) else ""


def _client_links(client: Client) -> dict[str, dict[str, str]]:
    path = f"/clients/{client.number}"
    return {
        "self": link(path, "This Client"),
        "fx:attributes": link(f"{path}/attributes", "Attributes for This Client"),
    }


def _client_document(client: Client) -> Document:
    own = {name: getattr(client, name) for name in ("client_id", "client_secret", "redirect_uri")}
    return document(_client_links(client), {**own, **client.fields, **client.dates})


def _user_links(user: User) -> dict[str, dict[str, str]]:
    path = f"/users/{user.number}"
    links = {
        "self": link(path, "This User"),
        "fx:attributes": link(f"{path}/attributes", "Attributes for This User"),
        **links_below(path),
        "fx:stores": link(f"{path}/stores", "Stores of This User"),
    }
    for store in db.stores_of(user)[:1]:
        links["fx:default_store"] = link(f"/stores/{store.number}", "Default Store of This User")
    return links


def _user_document(user: User) -> Document:
    return document(_user_links(user), {**user.fields, **user.dates})
