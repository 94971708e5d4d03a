"""Clients: registering one, and looking after one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, abort

from foxy_auth.emulator._bearer import require
from foxy_auth.emulator._fields import Field, checked_fields, read_fields
from foxy_auth.emulator._hal import Document, answer, collection, created, document, link, refuse, timestamp
from foxy_auth.emulator._opaque import new_client_id, new_client_secret
from foxy_auth.emulator._records import CLIENT_SCOPE, Client

if TYPE_CHECKING:
    from foxy_auth.emulator._state import State

# The provider's page on creating a client.
CLIENT_FIELDS = (
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


def add_client_routes(app: Flask, state: State) -> None:
    """Serve `/clients` and what lies below it."""

    @app.post("/clients")
    def create_client() -> Response:
        sent = read_fields()
        with state.lock:
            client = _register(state, sent)
            fields = state.issue_first(state.open_grant(client, CLIENT_SCOPE))
        secrets = {"client_id": client.client_id, "client_secret": client.client_secret}
        shown = {} if state.switches.hide_new_client else secrets
        return created(_links(client), f"client {client.number}", {**shown, "token": fields})

    @app.get("/clients/<int:number>")
    def show_client(number: int) -> Response:
        return answer(_document(_own_client(state, number)))

    @app.route("/clients/<int:number>", methods=["PUT", "PATCH"])
    def change_client(number: int) -> Response:
        client = _own_client(state, number)
        with state.lock:
            fields = checked_fields(
                {**client.fields, "redirect_uri": client.redirect_uri, **read_fields()}, CLIENT_FIELDS
            )
            client.redirect_uri = fields.pop("redirect_uri")
            client.fields, client.modified_at = fields, state.clock()
        return answer(_document(client))

    @app.get("/clients/<int:number>/attributes")
    def list_attributes_of_client(number: int) -> Response:
        _own_client(state, number)
        return answer(collection(f"/clients/{number}/attributes", "fx:attributes", []))


def _register(state: State, sent: dict[str, str]) -> Client:
    client_id = sent.get("client_id", "").strip()
    taken = "client_id has already been taken" if client_id and state.accounts.find_client(client_id) else ""
    fields = checked_fields(sent, CLIENT_FIELDS, taken)
    return state.accounts.add_client(
        client_id=client_id or new_client_id(),
        client_secret=new_client_secret(),
        redirect_uri=fields.pop("redirect_uri"),
        fields=fields,
    )


def _own_client(state: State, number: int) -> Client:
    """Return the client that the current request may look after, or refuse."""
    client = require(state, CLIENT_SCOPE).grant.client
    if client.number != number:
        abort(refuse(403, f"The access token is not for client {number}."))
    return client


def _links(client: Client) -> dict[str, dict[str, str]]:
    path = f"/clients/{client.number}"
    return {
        "self": link(path, "This Client"),
        "fx:attributes": link(f"{path}/attributes", "Attributes for This Client"),
    }


def _document(client: Client) -> Document:
    fields = {
        "client_id": client.client_id,
        "client_secret": client.client_secret,
        "redirect_uri": client.redirect_uri,
        **client.fields,
        "date_created": timestamp(client.created_at),
        "date_modified": timestamp(client.modified_at),
    }
    return document(_links(client), fields)
