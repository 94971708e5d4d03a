"""The Flask application: the token endpoint, the API home, small resources, and rules for all requests."""

from __future__ import annotations

from secrets import token_bytes
from typing import TYPE_CHECKING

from authlib.oauth2 import OAuth2Error
from flask import Flask, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from foxy_auth.emulator.accounts import accounts
from foxy_auth.emulator.authorize import authorize
from foxy_auth.emulator.bearer import find_token, require_token
from foxy_auth.emulator.hal import collection, document, error, link, respond, url_of
from foxy_auth.emulator.models import CLIENT_SCOPE, DATABASE, STORE_SCOPE, USER_SCOPE, AccessToken, Database, db
from foxy_auth.emulator.oauth import OAuthError, server
from foxy_auth.emulator.recorder import CHECK_ONLY
from foxy_auth.emulator.served import serve_own
from foxy_auth.emulator.stores import links_below, stores

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_VERSION_MISSING = 'The FOXY-API-VERSION header is required. Please add "FOXY-API-VERSION: 1" to your request.'
_PUBLIC = frozenset({"/", "/clients", "/property_helpers"})  # need no token
_RELS = "https://api.foxycart.com/rels"
_WELCOME = "Welcome to the Foxy API! Your first step should be to create an OAuth client, then a user, then a store."
_REFRESH_TITLE = (
    "The OAuth endpoint for obtaining a new access_token using an existing refresh_token. Post www-form-url-encoded "
    "data as follows: grant_type=refresh_token&refresh_token={refresh_token}&client_id={client_id}"
    "&client_secret={client_secret}"
)


class _App(Flask):
    """Flask, for clients that can send nothing but GET and POST."""

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle a POST as the method that its `X-HTTP-Method-Override` header names."""
        method = environ.get("HTTP_X_HTTP_METHOD_OVERRIDE")
        if method and environ["REQUEST_METHOD"] == "POST":
            environ["REQUEST_METHOD"] = method.upper()
        return super().wsgi_app(environ, start_response)


app: _App = _App("foxy_auth.emulator", static_folder=None)
app.secret_key = token_bytes(32)  # signs the session cookie of the consent page
app.config.from_mapping(
    SESSION_COOKIE_NAME="foxy_session", SESSION_COOKIE_PATH="/authorize", SESSION_COOKIE_SAMESITE="Lax"
)
app.url_map.strict_slashes = False
for _blueprint in (authorize, accounts, stores):
    app.register_blueprint(_blueprint)


@app.before_request
def require_version() -> Response | None:
    """Check the version before anything else, even the path."""
    exempt = {"/authorize"} if db.settings.require_version_at_token else {"/authorize", "/token"}
    if request.path in exempt or request.headers.get("FOXY-API-VERSION") == "1":
        return None
    return error(400, _VERSION_MISSING)


@app.before_request
def serve_or_check() -> Response | None:
    """Serve what the test serves itself; if a fault is to take the place of the resource, only check the token."""
    if CHECK_ONLY not in request.environ:
        return serve_own()
    if find_token() is None and request.path not in _PUBLIC:
        require_token()
    return Response(status=204)


@app.after_request
def set_cookie(response: Response) -> Response:
    """Set the cookie that `cookie` in the query names, to show what a client does with the cookies of a 401."""
    name, _, value = request.args.get("cookie", "").partition("=")
    if name:
        response.set_cookie(name, value)
    return response


@app.errorhandler(OAuth2Error)
def oauth_error(exception: OAuth2Error) -> Response:
    """Respond to a token request or an authorization request that was refused."""
    return server.respond_with(exception)


@app.errorhandler(NotFound)
def not_found(_: NotFound) -> Response:
    """Respond to a request for an unknown path."""
    return error(404, f'No route found for "{request.method} {request.path}"')


@app.errorhandler(MethodNotAllowed)
def method_not_allowed(exception: MethodNotAllowed) -> Response:
    """Respond to a method that the resource does not support."""
    if request.path == "/token":
        description = "The request method must be POST when requesting an access token"
        return server.respond_with(OAuthError("invalid_request", description, section="3.2", status=405))
    allowed = ", ".join(sorted(exception.valid_methods or ()))
    message = f'No route found for "{request.method} {request.path}": Method Not Allowed (Allow: {allowed})'
    return error(405, message, headers={"Allow": allowed})


@app.post("/token")
def issue_tokens() -> Response:
    """Respond to a token request."""
    request.get_data()  # before the lock of the database, so that a slow client does not block others
    return server.issue_tokens()


@app.get("/")
def home() -> Response:
    """Show the API home, with or without a token; a token must be valid."""
    links = {
        "self": link("/", "Your API starting point."),
        "fx:property_helpers": link("/property_helpers", "Various helpers used for determining valid values."),
        _RELS: {"href": _RELS, "title": "Custom Link Relationships."},
        **_links_for(find_token()),
        "fx:token": {"href": url_of("/token"), "title": _REFRESH_TITLE, "type": "application/json"},
    }
    return respond(document(links, {"message": _WELCOME}))


def _links_for(token: AccessToken | None) -> dict[str, dict[str, str]]:
    """Return the links that *token* gives access to; without a token, the first step."""
    if token is None:
        return {"fx:create_client": link("/clients", "Create a client")}
    links = {"fx:reporting": link("/reporting", "Reporting API Home")}
    grant = token.grant
    if CLIENT_SCOPE in token.scopes:
        links["fx:client"] = link(f"/clients/{grant.client.number}", "Your Client")
        links["fx:create_user"] = link("/users", "Create a user")
    if USER_SCOPE in token.scopes and grant.user is not None:
        links["fx:user"] = link(f"/users/{grant.user.number}", "Your User")
        links["fx:stores"] = link(f"/users/{grant.user.number}/stores", "Your Stores")
    if STORE_SCOPE in token.scopes and grant.store is not None:
        links["fx:store"] = link(f"/stores/{grant.store.number}", "Your Store")
        links["fx:encode"] = link("/encode", "POST here to encode links and forms")
    return links | links_below("")


@app.get("/property_helpers")
def property_helpers() -> Response:
    """Show the helpers; there are none."""
    return respond(document({"self": link("/property_helpers", "Property Helpers")}))


@app.post("/encode")
def encode() -> Response:
    """Return the request body unchanged: nothing is encoded here."""
    require_token()
    return respond(document({"self": link("/encode", "Encode")}, {"result": request.get_data(as_text=True)}))


@app.get("/<any(clients, users, stores):kind>/<int:number>/attributes")
def attributes(kind: str, number: int) -> Response:
    """List the attributes of a client, user or store; there are none."""
    require_token()
    return collection(f"/{kind}/{number}/attributes", "fx:attributes", [])


@app.get("/reporting")
def reporting() -> Response:
    """Show the reports."""
    require_token()
    links = {
        "self": link("/reporting", "Reporting API Home"),
        "fx:reporting_email_exists": link("/reporting/email_exists", "Check if an email exists"),
        "fx:reporting_store_domain_exists": link("/reporting/store_domain_exists", "Check if a domain exists"),
    }
    return respond(document(links))


@app.get("/reporting/email_exists")
def email_exists() -> Response:
    """Tell whether a user has the email address `email`."""
    require_token()
    exists = db.find_user(request.args.get("email", ""))
    return _report("email") if exists else error(404, "This user was not found.")


@app.get("/reporting/store_domain_exists")
def store_domain_exists() -> Response:
    """Tell whether a store has the domain `store_domain`."""
    require_token()
    exists = db.find_store(domain=request.args.get("store_domain", ""))
    return _report("store_domain") if exists else error(404, "This store domain was not found.")


def _report(name: str) -> Response:
    return respond(document({"self": link(request.full_path, "This Report")}, {"message": f"This {name} exists."}))


def application_on(database: Database) -> WSGIApplication:
    """Return the application that works on *database*."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        environ[DATABASE] = database
        return app(environ, start_response)

    return application
