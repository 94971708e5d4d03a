"""The authorization endpoint: the consent page, and the redirect back to the client."""

from __future__ import annotations

from secrets import compare_digest, token_urlsafe
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from flask import Blueprint, Response, make_response, render_template, request, session

from foxy_auth.emulator.models import STORE_SCOPE, USER_SCOPE, Store, db
from foxy_auth.emulator.oauth import server

if TYPE_CHECKING:
    from foxy_auth.emulator.oauth import CodeGrant

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

_PERMISSIONS = {
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


authorize: Blueprint = Blueprint("authorize", __name__)


@authorize.get("/authorize")
def show_consent_page() -> Response:
    """Ask the user."""
    return _consent_page(server.check_authorization_request())


@authorize.post("/authorize")
def decide() -> Response:
    """Take the user's decision."""
    code_grant = server.check_authorization_request()
    if not _is_own_form():
        return _consent_page(code_grant, alert=_STALE, status=403)
    decision, store = request.form.get("decision"), _chosen_store()
    if decision == "deny":
        return server.redirect(code_grant, None)
    if decision != "allow" or (_needs_store() and store is None):
        return _consent_page(code_grant, alert=_UNDECIDED, status=400)
    consented = db.new_grant(code_grant.requesting_client, request.form["scope"], db.user, store)
    return server.redirect(code_grant, consented)


def _consent_page(code_grant: CodeGrant, *, alert: str = "", status: int = 200) -> Response:
    """Show who requests which access."""
    client = code_grant.requesting_client.fields
    stores = db.stores_of(db.user) if _needs_store() else []
    page = render_template(
        "consent.html",
        alert=alert,
        client=client,
        logo=_web_url(client.get("company_logo", "")),
        website=_web_url(client.get("company_url", "")),
        destination=_destination(code_grant.redirect_uri),
        user=db.user.fields,
        stores=stores,
        chosen=request.form.get("store", type=int) or next((store.number for store in stores), None),
        needs_store=_needs_store(),
        permissions=[_permission(scope) for scope in sorted(_scopes())],
        parameters={name: request.values[name] for name in _PARAMETERS if name in request.values},
        form_token=session.setdefault("form_token", token_urlsafe(32)),
    )
    return make_response(page, status, _HEADERS)


def _is_own_form() -> bool:
    """Tell whether the form comes from a page that this browser was shown, and not from another site."""
    expected, sent = session.get("form_token", ""), request.form.get("form_token", "")
    return bool(expected) and compare_digest(expected.encode(), sent.encode())


def _destination(redirect_uri: str) -> str:
    """Say where the user goes next, in words that they can judge."""
    host = urlsplit(redirect_uri).hostname
    return "a program on this computer" if host in _LOOPBACK else host or redirect_uri


def _scopes() -> set[str]:
    return set(request.values.get("scope", "").split())


def _needs_store() -> bool:
    """Tell whether the user chooses a store: all scopes but the user's own are about one."""
    return _scopes() != {USER_SCOPE}


def _chosen_store() -> Store | None:
    """Return the store that the user has chosen, provided that it is theirs."""
    number = request.form.get("store", type=int)
    stores = db.stores_of(db.user) if _needs_store() else []
    return next((store for store in stores if store.number == number), None)


def _permission(scope: str) -> tuple[str, str]:
    """Describe what *scope* allows, and its details."""
    if scope in _PERMISSIONS:
        return _PERMISSIONS[scope]
    collection, _, right = scope.rpartition("_")
    return f"{_VERBS.get(right, right)} {collection.replace('_', ' ')}", "In the store you choose."


def _web_url(url: str) -> str:
    """Return *url* if it is one of the web, so that a client's field cannot become a script."""
    return url if url.lower().startswith(("http://", "https://")) else ""
