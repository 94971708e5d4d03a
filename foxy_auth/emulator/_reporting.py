"""Small resources that the API home leads to: who exists already, and helpers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, request

from foxy_auth.emulator._bearer import MISSING, deny, find_token
from foxy_auth.emulator._hal import answer, document, link, refuse

if TYPE_CHECKING:
    from foxy_auth.emulator._state import State


def add_reporting_routes(app: Flask, state: State) -> None:
    """Serve `/reporting` and what lies below it, `/property_helpers` and `/encode`."""

    @app.get("/reporting")
    def show_reporting() -> Response:
        _require_any_token(state)
        links = {
            "self": link("/reporting", "Reporting API Home"),
            "fx:reporting_email_exists": link("/reporting/email_exists", "Check if an email exists"),
            "fx:reporting_store_domain_exists": link("/reporting/store_domain_exists", "Check if a domain exists"),
        }
        return answer(document(links))

    @app.get("/reporting/email_exists")
    def say_whether_email_exists() -> Response:
        _require_any_token(state)
        with state.lock:
            found = state.accounts.find_user(request.args.get("email", ""))
        return _found("email") if found else refuse(404, "This user was not found.")

    @app.get("/reporting/store_domain_exists")
    def say_whether_domain_exists() -> Response:
        _require_any_token(state)
        with state.lock:
            found = state.accounts.find_store(request.args.get("store_domain", ""))
        return _found("store_domain") if found else refuse(404, "This store domain was not found.")

    @app.get("/property_helpers")
    def show_property_helpers() -> Response:
        return answer(document({"self": link("/property_helpers", "Property Helpers")}))

    @app.post("/encode")
    def encode() -> Response:
        _require_any_token(state)
        return answer(document({"self": link("/encode", "Encode")}, {"result": request.get_data(as_text=True)}))


def _require_any_token(state: State) -> None:
    if find_token(state) is None:
        deny(state, MISSING)


def _found(what: str) -> Response:
    return answer(document({"self": link(request.full_path, "This Report")}, {"message": f"This {what} exists."}))
