"""A store: the protected resource that tests call, with uploads, downloads, redirects and refusals."""

import hashlib
import json
from collections.abc import Iterator

from flask import Flask, Response, abort, request

from foxy_auth.emulator._bearer import Denial, deny, insufficient, require
from foxy_auth.emulator._hal import Document, answer, collection, document, link, refuse, timestamp
from foxy_auth.emulator._records import STORE_SCOPE, Store
from foxy_auth.emulator._state import State

_BLOCK = 65_536
_REDIRECTS = range(300, 400)


def add_store_routes(app: Flask, state: State) -> None:
    """Serve `/stores/N` and what lies below it, and `/redirect`."""

    @app.get("/stores/<int:number>")
    def show_store(number: int) -> Response:
        return answer(store_document(own_store(state, number)))

    @app.route("/stores/<int:number>", methods=["POST", "PUT", "PATCH"])
    def write_store(number: int) -> Response:
        own_store(state, number)
        return _digest()

    @app.get("/stores/<int:number>/attributes")
    def list_attributes_of_store(number: int) -> Response:
        own_store(state, number)
        return answer(collection(f"/stores/{number}/attributes", "fx:attributes", []))

    @app.post("/stores/<int:number>/upload")
    def upload(number: int) -> Response:
        own_store(state, number)
        return _digest()

    @app.get("/stores/<int:number>/download")
    def download(number: int) -> Response:
        own_store(state, number)
        length, chunks = request.args.get("bytes", _BLOCK, int), request.args.get("chunks", 1, int)
        return Response(_blocks(length, chunks), content_type="application/octet-stream")

    @app.route("/stores/<int:number>/forbidden", methods=["GET", "POST"])
    def forbid(number: int) -> Response:
        own_store(state, number)
        deny(state, insufficient("user_full_access"))

    @app.route("/stores/<int:number>/unauthorized", methods=["GET", "POST"])
    def unauthorize(number: int) -> Response:
        own_store(state, number)
        error = request.args.get("error", "access_denied")
        deny(state, Denial(status=401, error=error, description="Not because of the access token"))

    @app.route("/redirect", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
    def redirect() -> Response:
        require(state, STORE_SCOPE)
        status = request.args.get("status", 302, int)
        if status not in _REDIRECTS:
            abort(refuse(400, f"The status {status} is none of a redirect."))
        return Response(status=status, headers={"Location": request.args.get("to", "/")})


def own_store(state: State, number: int) -> Store:
    """Return the store that the current request may use, or refuse."""
    token = require(state, STORE_SCOPE)
    with state.lock:
        store = state.accounts.store(number)
    if store is None:
        abort(refuse(404, f"Store {number} was not found."))
    if token.grant.store is not store:
        abort(refuse(403, f"The access token is not for store {number}."))
    return store


def store_document(store: Store) -> Document:
    """Describe a store."""
    path = f"/stores/{store.number}"
    links = {
        "self": link(path, "This Store"),
        "fx:attributes": link(f"{path}/attributes", "Attributes for This Store"),
        "fx:integrations": link(f"{path}/integrations", "Integrations that have access to this store"),
    }
    dates = {"date_created": timestamp(store.created_at), "date_modified": timestamp(store.modified_at)}
    return document(links, {**store.fields, **dates})


def _digest() -> Response:
    """Read the body, however long and however framed, and tell what it was."""
    digest, length = hashlib.sha256(), 0
    while block := request.stream.read(_BLOCK):
        digest.update(block)
        length += len(block)
    fields = {"length": length, "sha256": digest.hexdigest(), "content_type": request.headers.get("Content-Type")}
    return Response(json.dumps(fields), content_type="application/json")


def _blocks(length: int, chunks: int) -> Iterator[bytes]:
    """Yield *length* bytes in *chunks* pieces as equal as can be."""
    for index in range(chunks):
        yield b"f" * ((index + 1) * length // chunks - index * length // chunks)
