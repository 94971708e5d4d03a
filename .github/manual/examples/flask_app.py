"""
A 3rd-party integration in Flask: its users connect the Foxy stores that they have.

    pip install flask 'foxy_auth[requests,file]'
    export FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… SECRET_KEY=… REDIRECT_URI=http://127.0.0.1:5000/foxy/callback
    flask --app flask_app run

SECRET_KEY signs the sessions; `python -c "import secrets; print(secrets.token_hex())"` makes one. REDIRECT_URI is the
address that the OAuth client was registered with.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import requests
from flask import Flask, redirect, render_template_string, request, session

from foxy_auth import (
    STORE_FULL_ACCESS,
    AuthorizationError,
    LoginRequiredError,
    OAuthClient,
    TokenUnavailableError,
)
from foxy_auth.stores import FileStore

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
# Lax, not Strict: the callback is reached from Foxy's page, and needs the session. Behind https, add
# SESSION_COOKIE_SECURE=True.
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True)

client = OAuthClient.from_env(redirect_uri=os.environ["REDIRECT_URI"])
# A record for each store. On several machines, use a RedisStore or a SQLAlchemyStore.
grants = FileStore(os.environ.get("TOKENS", "tokens/foxy.json"))

PAGE = '<!doctype html><title>Widgets</title><p>{{ text }}</p><p><a href="/foxy/connect">Connect your store</a></p>'
STORE = """<!doctype html><title>Widgets</title><h1>{{ name }}</h1>
<form method="post" action="/foxy/disconnect"><button>Disconnect</button></form>"""


@app.get("/")
def start() -> ResponseReturnValue:
    """Offer the link."""
    return render_template_string(PAGE, text="Widgets works with your Foxy store.")


@app.get("/foxy/connect")
def connect() -> ResponseReturnValue:
    """Send the user to Foxy, and remember the request."""
    authorization = client.authorization_request(STORE_FULL_ACCESS)
    session["foxy"] = authorization.to_dict()
    return redirect(authorization.url)


@app.get("/foxy/callback")
def callback() -> ResponseReturnValue:
    """Take the user back: with a code, or with an error."""
    try:
        token = client.fetch_token(request.args, request=session.pop("foxy", None))
    except AuthorizationError as error:
        app.logger.warning("no access: %s", error)
        if error.error == "access_denied":
            return render_template_string(PAGE, text="Without access to your store, this is not possible."), 403
        return render_template_string(PAGE, text="That did not work. Please try again."), 400
    except TokenUnavailableError as error:
        app.logger.warning("no token: %s", error)
        return render_template_string(PAGE, text="Foxy does not answer. Please try again later."), 503
    session["store_id"] = token.store_id
    client.auth(token, store=grants.for_key(session["store_id"])).flush()  # StoreError if it cannot be saved
    return redirect("/store")


@app.get("/store")
def store() -> ResponseReturnValue:
    """Show the user's store."""
    if "store_id" not in session:
        return redirect("/")
    auth = client.auth(store=grants.for_key(session["store_id"]))
    try:
        home = requests.get(client.environment.api, auth=auth, timeout=10).json()
        found = requests.get(home["_links"]["fx:store"]["href"], auth=auth, timeout=10).json()
    except LoginRequiredError:
        return render_template_string(PAGE, text="Your store is no longer connected."), 403
    return render_template_string(STORE, name=found["store_name"])


@app.post("/foxy/disconnect")
def disconnect() -> ResponseReturnValue:
    """Forget the user's store, and its token."""
    if store_id := session.pop("store_id", None):
        grants.for_key(store_id).delete()
    return redirect("/", 303)
