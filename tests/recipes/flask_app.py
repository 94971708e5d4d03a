r"""
A third-party integration in Flask.

    FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… REDIRECT_URI=https://…/foxy/callback SECRET_KEY=… \
        PYTHONPATH=tests flask --app recipes.flask_app run
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import requests
from flask import Flask, redirect, render_template_string, request, session
from recipes import foxy

from foxy_auth import STORE_FULL_ACCESS, AuthorizationError, LoginRequiredError, TokenUnavailableError

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
# Lax, not Strict: the callback is reached from Foxy's page, and needs the session. Behind https, add
# SESSION_COOKIE_SECURE=True.
app.config.update(SESSION_COOKIE_SAMESITE="Lax", SESSION_COOKIE_HTTPONLY=True)

PAGE = '<!doctype html><title>Widgets</title><p>{{ text }}</p><p><a href="/foxy/connect">Connect your store</a></p>'


@app.get("/")
def start() -> ResponseReturnValue:
    """Offer the link."""
    return render_template_string(PAGE, text="Widgets works with your Foxy store.")


@app.get("/foxy/connect")
def connect() -> ResponseReturnValue:
    """Send the user to Foxy, and remember the request."""
    authorization = foxy.client.authorization_request(STORE_FULL_ACCESS)
    session["foxy"] = authorization.to_dict()
    return redirect(authorization.url)


@app.get("/foxy/callback")
def callback() -> ResponseReturnValue:
    """Take the user back: with a code, or with an error."""
    try:
        token = foxy.client.fetch_token(request.args, request=session.pop("foxy", None))
    except AuthorizationError as error:
        app.logger.warning("no access: %s", error)
        if error.error == "access_denied":
            return render_template_string(PAGE, text="Without access to your store, this is not possible."), 403
        return render_template_string(PAGE, text="That did not work. Please try again."), 400
    except TokenUnavailableError as error:
        app.logger.warning("no token: %s", error)
        return render_template_string(PAGE, text="Foxy does not answer. Please try again later."), 503
    session["store_id"] = foxy.connect(token)
    return redirect("/store")


@app.get("/store")
def store() -> ResponseReturnValue:
    """Show the user's store."""
    if "store_id" not in session:
        return redirect("/")
    auth = foxy.auth_of(session["store_id"])
    try:
        home = requests.get(foxy.client.environment.api, auth=auth, timeout=10).json()
        found = requests.get(home["_links"]["fx:store"]["href"], auth=auth, timeout=10).json()
    except LoginRequiredError:
        return render_template_string(PAGE, text="Your store is no longer connected."), 403
    return render_template_string("<!doctype html><title>Widgets</title><h1>{{ name }}</h1>", name=found["store_name"])
