"""The API home: where every link starts."""

from flask import Flask, Response

from foxy_auth.emulator._bearer import find_token
from foxy_auth.emulator._hal import answer, document, here, link
from foxy_auth.emulator._records import CLIENT_SCOPE, STORE_SCOPE, USER_SCOPE, AccessToken
from foxy_auth.emulator._state import State

_RELS = "https://api.foxycart.com/rels"
_WELCOME = "Welcome to the Foxy API! Your first step should be to create an OAuth client, then a user, then a store."
_REFRESH_TITLE = (
    "The OAuth endpoint for obtaining a new access_token using an existing refresh_token. Post www-form-url-encoded "
    "data as follows: grant_type=refresh_token&refresh_token={refresh_token}&client_id={client_id}"
    "&client_secret={client_secret}"
)


def add_home_route(app: Flask, state: State) -> None:
    """Serve `/`; a request that carries a token must carry a good one."""

    @app.get("/")
    def show_home() -> Response:
        token = find_token(state)
        links = {
            "self": link("/", "Your API starting point."),
            "fx:property_helpers": link("/property_helpers", "Various helpers used for determining valid values."),
            _RELS: {"href": _RELS, "title": "Custom Link Relationships."},
            **_links_of(token),
            "fx:token": {"href": here("/token"), "title": _REFRESH_TITLE, "type": "application/json"},
        }
        return answer(document(links, {"message": _WELCOME}))


def _links_of(token: AccessToken | None) -> dict[str, dict[str, str]]:
    """Return the links that *token* opens; one without gets the first step of all."""
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
    return links
