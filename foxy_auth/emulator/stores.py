"""Stores, the protected resources that tests request, and their integrations."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from flask import Blueprint, Response, abort, request

from foxy_auth.emulator.bearer import deny, deny_scope, require_token
from foxy_auth.emulator.forms import Field, read_fields, validate
from foxy_auth.emulator.hal import Document, collection, created, document, error, link, respond, url_of
from foxy_auth.emulator.models import STORE_SCOPE, USER_SCOPE, Grant, Store, db

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK = 65_536
_INTEGRATION_FIELDS = (Field(name="project_name"), Field(name="project_description", required=False, limit=2000))

stores: Blueprint = Blueprint("stores", __name__)


@stores.get("/stores/<int:number>")
def show_store(number: int) -> Response:
    """Show the store of the token."""
    return respond(store_document(own_store(number)))


@stores.route("/stores/<int:number>", methods=["POST", "PUT", "PATCH"])
@stores.post("/stores/<int:number>/upload")
def upload(number: int) -> Response:
    """Read a body of any length and framing, and respond with its length and digest."""
    own_store(number)
    digest, length = hashlib.sha256(), 0
    while block := request.stream.read(_BLOCK):
        digest.update(block)
        length += len(block)
    fields = {"length": length, "sha256": digest.hexdigest(), "content_type": request.headers.get("Content-Type")}
    return Response(json.dumps(fields), content_type="application/json")


@stores.get("/stores/<int:number>/download")
def download(number: int) -> Response:
    """Stream as many bytes in as many chunks as the query says."""
    own_store(number)
    length, chunks = request.args.get("bytes", _BLOCK, int), request.args.get("chunks", 1, int)
    return Response(_chunks(length, chunks), content_type="application/octet-stream")


def _chunks(length: int, chunks: int) -> Iterator[bytes]:
    for index in range(chunks):
        yield b"f" * ((index + 1) * length // chunks - index * length // chunks)


@stores.route("/stores/<int:number>/forbidden", methods=["GET", "POST"])
def forbid(number: int) -> Response:
    """Respond with 403 to every token."""
    own_store(number)
    deny_scope(USER_SCOPE)


@stores.route("/stores/<int:number>/unauthorized", methods=["GET", "POST"])
def refuse(number: int) -> Response:
    """Respond with 401 to a valid token, and with another error code than that of an invalid one."""
    own_store(number)
    deny(401, request.args.get("error", "access_denied"), "Not because of the access token")


@stores.route("/redirect", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def redirect() -> Response:
    """Redirect where the query says."""
    require_token(STORE_SCOPE)
    status = request.args.get("status", 302, int)
    return Response(status=status, headers={"Location": request.args.get("to", "/")})


# Integrations: the grants that a store has given


@stores.get("/stores/<int:number>/integrations")
def list_integrations(number: int) -> Response:
    """List the grants for the token's store."""
    store = own_store(number)
    integrations = [_integration_document(grant, store) for grant in list(db.grants.values()) if grant.store is store]
    return collection(f"/stores/{number}/integrations", "fx:integrations", integrations)


@stores.post("/stores/<int:number>/integrations")
def create_integration(number: int) -> Response:
    """Create a client with a token, like "Get Token" in the provider's admin; secret and tokens are shown only here."""
    store, fields = own_store(number), validate(read_fields(), _INTEGRATION_FIELDS)
    with db.lock:
        client = db.add_client(fields, redirect_uri="")
        grant = db.new_grant(client, STORE_SCOPE, store.owner, store)
        token = db.issue_tokens(grant)
    shown = {"client_id": client.client_id, "client_secret": client.client_secret}
    shown |= {name: token[name] for name in ("access_token", "refresh_token")}
    return created(_integration_links(grant, store), f"integration {grant.number}", shown)


@stores.get("/integrations/<int:number>")
def show_integration(number: int) -> Response:
    """Show a grant for the token's store."""
    grant, store = _own_integration(number)
    return respond(_integration_document(grant, store))


@stores.delete("/integrations/<int:number>")
def delete_integration(number: int) -> Response:
    """Revoke all grants of the same client, user and scope."""
    deleted, _ = _own_integration(number)
    with db.lock:
        for grant in list(db.grants.values()):
            if _identity(grant) == _identity(deleted):
                db.revoke(grant)
    return respond(document({}, {"message": f"integration {number} deleted successfully."}))


def _identity(grant: Grant) -> tuple[object, ...]:
    return grant.client, grant.user, grant.store, frozenset(grant.scope.split())


def own_store(number: int) -> Store:
    """Return the store of the token, or abort if it has another number."""
    store = require_token(STORE_SCOPE).grant.store
    if not 0 < number <= len(db.stores):
        abort(error(404, f"Store {number} was not found."))
    if store is None or store.number != number:
        abort(error(403, f"The access token is not for store {number}."))
    return store


def _own_integration(number: int) -> tuple[Grant, Store]:
    """Return a grant for the token's store, or abort."""
    store = require_token(STORE_SCOPE).grant.store
    grant = db.grants.get(number)
    if grant is None:
        abort(error(404, f"Integration {number} was not found."))
    if store is None or grant.store is not store:
        abort(error(403, f"The access token is not for the store of integration {number}."))
    return grant, store


def store_document(store: Store) -> Document:
    """Return *store* as a HAL document."""
    path = f"/stores/{store.number}"
    links = {
        "self": link(path, "This Store"),
        "fx:attributes": link(f"{path}/attributes", "Attributes for This Store"),
        "fx:integrations": link(f"{path}/integrations", "Integrations that have access to this store"),
        **links_below(path),
    }
    return document(links, {**store.fields, **store.dates})


def links_below(path: str) -> dict[str, dict[str, str]]:
    """Return links to what the test serves right below *path*."""
    served = [(own, resource) for own, resource in list(db.served.items()) if own.rpartition("/")[0] == path]
    return {resource.relation: link(own, own.rpartition("/")[2]) for own, resource in served}


def _integration_links(grant: Grant, store: Store) -> dict[str, dict[str, str]]:
    return {
        "self": link(f"/integrations/{grant.number}", "This Integration"),
        "fx:store": link(f"/stores/{store.number}", "This Store"),
        "fx:client": link(f"/clients/{grant.client.number}", "This Client"),
        "fx:user": link(f"/users/{store.owner.number}", "The User that added it"),
    }


def _integration_document(grant: Grant, store: Store) -> Document:
    user = store.owner
    shown = ("project", "company", "contact")
    expiries = [token.expires_at for token in list(db.refresh_tokens.values()) if token.grant is grant]
    fields = {
        "user_uri": url_of(f"/users/{user.number}"),
        "client_id": grant.client.client_id,
        "scope": grant.scope,
        "expires": int(max(expiries, default=0)),
        **{name: value for name, value in grant.client.fields.items() if name.startswith(shown)},
        "added_by_name": f"{user.fields['first_name']} {user.fields['last_name']}",
        "added_by_email": user.fields["email"],
    }
    return document(_integration_links(grant, store), fields)
