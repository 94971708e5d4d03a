"""
A 3rd-party integration in Django: its users connect the Foxy stores that they have.

    pip install django 'foxy_auth[requests,file]'
    export FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… SECRET_KEY=… REDIRECT_URI=http://127.0.0.1:8000/foxy/callback
    python django_app.py runserver --noreload

SECRET_KEY signs the sessions; `python -c "import secrets; print(secrets.token_hex())"` makes one. REDIRECT_URI is the
address that the OAuth client was registered with.

This is all in one file; in a project, the settings and addresses stand where they always do.
"""

from __future__ import annotations

import logging
import os
import sys
from urllib.parse import urlsplit

import django
import requests
from django.conf import settings
from django.core.management import execute_from_command_line
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.html import format_html

from foxy_auth import (
    STORE_FULL_ACCESS,
    AuthorizationError,
    LoginRequiredError,
    OAuthClient,
    TokenUnavailableError,
)
from foxy_auth.stores import FileStore

settings.configure(
    SECRET_KEY=os.environ["SECRET_KEY"],
    ALLOWED_HOSTS=[urlsplit(os.environ["REDIRECT_URI"]).hostname],
    ROOT_URLCONF=__name__,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware"],
    SESSION_ENGINE="django.contrib.sessions.backends.signed_cookies",
    # Lax, as is the default, not Strict: the callback is reached from Foxy's page, and needs the session. Behind https,
    # add SESSION_COOKIE_SECURE=True.
    SESSION_COOKIE_SAMESITE="Lax",
)
django.setup()

logger = logging.getLogger(__name__)

client = OAuthClient.from_env(redirect_uri=os.environ["REDIRECT_URI"])
# A record for each store. On several machines, use a RedisStore or a SQLAlchemyStore.
grants = FileStore(os.environ.get("TOKENS", "tokens/foxy.json"))

PAGE = '<!doctype html><title>Widgets</title><p>{}</p><p><a href="/foxy/connect">Connect your store</a></p>'
STORE = """<!doctype html><title>Widgets</title><h1>{}</h1>
<form method="post" action="/foxy/disconnect"><button>Disconnect</button></form>"""


def start(request: HttpRequest) -> HttpResponse:
    """Offer the link."""
    return HttpResponse(format_html(PAGE, "Widgets works with your Foxy store."))


def connect(request: HttpRequest) -> HttpResponse:
    """Send the user to Foxy, and remember the request."""
    authorization = client.authorization_request(STORE_FULL_ACCESS)
    request.session["foxy"] = authorization.to_dict()
    return HttpResponseRedirect(authorization.url)


def callback(request: HttpRequest) -> HttpResponse:
    """Take the user back: with a code, or with an error."""
    try:
        token = client.fetch_token(request.GET, request=request.session.pop("foxy", None))
    except AuthorizationError as error:
        logger.warning("no access: %s", error)
        if error.error == "access_denied":
            return HttpResponse(format_html(PAGE, "Without access to your store, this is not possible."), status=403)
        return HttpResponse(format_html(PAGE, "That did not work. Please try again."), status=400)
    except TokenUnavailableError as error:
        logger.warning("no token: %s", error)
        return HttpResponse(format_html(PAGE, "Foxy does not answer. Please try again later."), status=503)
    request.session["store_id"] = token.store_id
    client.auth(token, store=grants.for_key(request.session["store_id"])).flush()  # StoreError if it cannot be saved
    return HttpResponseRedirect("/store")


def store(request: HttpRequest) -> HttpResponse:
    """Show the user's store."""
    if "store_id" not in request.session:
        return HttpResponseRedirect("/")
    auth = client.auth(store=grants.for_key(request.session["store_id"]))
    try:
        home = requests.get(client.environment.api, auth=auth, timeout=10).json()
        found = requests.get(home["_links"]["fx:store"]["href"], auth=auth, timeout=10).json()
    except LoginRequiredError:
        return HttpResponse(format_html(PAGE, "Your store is no longer connected."), status=403)
    return HttpResponse(format_html(STORE, found["store_name"]))


def disconnect(request: HttpRequest) -> HttpResponse:
    """Forget the user's store, and its token."""
    if request.method == "POST" and (store_id := request.session.pop("store_id", None)):
        grants.for_key(store_id).delete()
    return HttpResponseRedirect("/")


urlpatterns = [
    path("", start),
    path("foxy/connect", connect),
    path("foxy/callback", callback),
    path("foxy/disconnect", disconnect),
    path("store", store),
]
application = get_wsgi_application()

if __name__ == "__main__":
    execute_from_command_line(sys.argv)
