"""The Flask application: the routes, and what holds for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, request
from werkzeug.exceptions import MethodNotAllowed, NotFound

from foxy_auth.emulator._clients import add_client_routes
from foxy_auth.emulator._consent import add_authorization_routes
from foxy_auth.emulator._faults import TOKEN_PATH
from foxy_auth.emulator._hal import refuse
from foxy_auth.emulator._home import add_home_route
from foxy_auth.emulator._integrations import add_integration_routes
from foxy_auth.emulator._method import overriding
from foxy_auth.emulator._oauth import Server, add_token_route
from foxy_auth.emulator._reporting import add_reporting_routes
from foxy_auth.emulator._stores import add_store_routes
from foxy_auth.emulator._users import add_user_routes

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from foxy_auth.emulator._state import State

_VERSION_HEADER = "FOXY-API-VERSION"
_VERSION = "1"
_VERSION_MISSING = (
    f'The {_VERSION_HEADER} header is required. Please add "{_VERSION_HEADER}: {_VERSION}" to your request.'
)
_AUTHORIZATION_PATH = "/authorize"


def make_application(state: State) -> WSGIApplication:
    """Make the application over *state*."""
    app = Flask("foxy_auth.emulator", static_folder=None)
    app.url_map.strict_slashes = False
    add_home_route(app, state)
    server = Server(state)
    add_token_route(app, server)
    add_authorization_routes(app, state, server)
    add_client_routes(app, state)
    add_user_routes(app, state)
    add_store_routes(app, state)
    add_integration_routes(app, state)
    add_reporting_routes(app, state)
    _add_rules(app, state)
    return overriding(app)


def _add_rules(app: Flask, state: State) -> None:
    @app.before_request
    def require_version() -> Response | None:
        """Check the version first of all, on paths that do not exist, too."""
        if request.path == _AUTHORIZATION_PATH or request.headers.get(_VERSION_HEADER) == _VERSION:
            return None
        if request.path == TOKEN_PATH and not state.switches.require_version_at_token:
            return None
        return refuse(400, _VERSION_MISSING)

    @app.after_request
    def set_cookie(answer: Response) -> Response:
        """Set the cookie that the query asks for: how a client treats the cookies of a 401 can be seen that way."""
        name, _, value = request.args.get("cookie", "").partition("=")
        if name:
            answer.set_cookie(name, value)
        return answer

    @app.errorhandler(NotFound)
    def say_not_found(_: NotFound) -> Response:
        return refuse(404, f'No route found for "{request.method} {request.path}"')

    @app.errorhandler(MethodNotAllowed)
    def say_wrong_method(error: MethodNotAllowed) -> Response:
        allowed = ", ".join(sorted(error.valid_methods or ()))
        message = f'No route found for "{request.method} {request.path}": Method Not Allowed (Allow: {allowed})'
        return refuse(405, message, headers={"Allow": allowed})
