"""Integrations: the permissions that a store has given, and taking them back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, abort

from foxy_auth.emulator._bearer import require
from foxy_auth.emulator._fields import Field, checked_fields, read_fields
from foxy_auth.emulator._hal import Document, answer, collection, created, document, here, link, refuse
from foxy_auth.emulator._opaque import new_client_id, new_client_secret
from foxy_auth.emulator._records import STORE_SCOPE, Client, Grant, Store
from foxy_auth.emulator._state import granted_scope
from foxy_auth.emulator._stores import own_store

if TYPE_CHECKING:
    from foxy_auth.emulator._state import State

_FIELDS = (Field(name="project_name"), Field(name="project_description", required=False, limit=2000))


def add_integration_routes(app: Flask, state: State) -> None:
    """Serve `/stores/N/integrations` and `/integrations/N`."""

    @app.get("/stores/<int:number>/integrations")
    def list_integrations(number: int) -> Response:
        store = own_store(state, number)
        with state.lock:
            documents = [_document(state, grant) for grant in state.ledger.grants() if grant.store is store]
        return answer(collection(f"/stores/{number}/integrations", "fx:integrations", documents))

    @app.post("/stores/<int:number>/integrations")
    def create_integration(number: int) -> Response:
        """Do what "Get Token" in the provider's administration does; the answer's values are shown this once."""
        store, sent = own_store(state, number), read_fields()
        with state.lock:
            client = _add_client(state, checked_fields(sent, _FIELDS))
            user = require(state, STORE_SCOPE).grant.user
            grant = state.ledger.open_grant(client, granted_scope(STORE_SCOPE, store), user=user, store=store)
            fields = state.issue_first(grant)
        shown = {"client_id": client.client_id, "client_secret": client.client_secret}
        shown |= {name: fields[name] for name in ("access_token", "refresh_token")}
        return created(_links(grant, store), f"integration {grant.number}", shown)

    @app.get("/integrations/<int:number>")
    def show_integration(number: int) -> Response:
        with state.lock:
            return answer(_document(state, _own_integration(state, number)))

    @app.delete("/integrations/<int:number>")
    def delete_integration(number: int) -> Response:
        with state.lock:
            ended = _own_integration(state, number)
            for grant in state.ledger.grants():
                if _alike(grant, ended):
                    state.ledger.revoke(grant)
        return answer(document({}, {"message": f"integration {number} deleted successfully."}))


def _add_client(state: State, fields: dict[str, str]) -> Client:
    return state.accounts.add_client(
        client_id=new_client_id(), client_secret=new_client_secret(), redirect_uri="", fields=fields
    )


def _own_integration(state: State, number: int) -> Grant:
    """Return the permission that the current request may see and end, or refuse."""
    store = require(state, STORE_SCOPE).grant.store
    grant = state.ledger.find_grant(number)
    if grant is None:
        abort(refuse(404, f"Integration {number} was not found."))
    if grant.store is None or grant.store is not store:
        abort(refuse(403, f"The access token is not for the store of integration {number}."))
    return grant


def _alike(one: Grant, other: Grant) -> bool:
    """Tell whether two permissions end together: they are of the same client, user and scope."""
    return (one.client, one.user, one.store, one.scopes) == (other.client, other.user, other.store, other.scopes)


def _links(grant: Grant, store: Store) -> dict[str, dict[str, str]]:
    links = {
        "self": link(f"/integrations/{grant.number}", "This Integration"),
        "fx:store": link(f"/stores/{store.number}", "This Store"),
        "fx:client": link(f"/clients/{grant.client.number}", "This Client"),
    }
    if grant.user is not None:
        links["fx:user"] = link(f"/users/{grant.user.number}", "The User that added it")
    return links


def _document(state: State, grant: Grant) -> Document:
    if grant.store is None:
        raise ValueError("only a permission for a store is an integration")
    user = {} if grant.user is None else grant.user.fields
    expiries = [token.expires_at for token in state.ledger.refresh_tokens(grant)]
    fields = {
        "user_uri": "" if grant.user is None else here(f"/users/{grant.user.number}"),
        "client_id": grant.client.client_id,
        "scope": grant.scope,
        "expires": int(max(expiries, default=0)),
        **{
            name: value
            for name, value in grant.client.fields.items()
            if name.startswith(("project", "company", "contact"))
        },
        "added_by_name": f"{user.get('first_name', '')} {user.get('last_name', '')}".strip(),
        "added_by_email": user.get("email", ""),
    }
    return document(_links(grant, grant.store), fields)
