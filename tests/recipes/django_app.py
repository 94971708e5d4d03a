r"""
A third-party integration in Django, in one file; in a project, the settings and addresses stand where they always do.

    FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… REDIRECT_URI=https://…/foxy/callback SECRET_KEY=… \
        PYTHONPATH=tests gunicorn recipes.django_app  # or any other server of WSGI applications
"""

from __future__ import annotations

import logging
import os
from urllib.parse import urlsplit

import django
import requests
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path
from django.utils.html import format_html
from recipes import foxy

from foxy_auth import STORE_FULL_ACCESS, AuthorizationError, LoginRequiredError, TokenUnavailableError

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

PAGE = '<!doctype html><title>Widgets</title><p>{}</p><p><a href="/foxy/connect">Connect your store</a></p>'


def start(request: HttpRequest) -> HttpResponse:
    """Offer the link."""
    return HttpResponse(format_html(PAGE, "Widgets works with your Foxy store."))


def connect(request: HttpRequest) -> HttpResponse:
    """Send the user to Foxy, and remember the request."""
    authorization = foxy.client.authorization_request(STORE_FULL_ACCESS)
    request.session["foxy"] = authorization.to_dict()
    return HttpResponseRedirect(authorization.url)


def callback(request: HttpRequest) -> HttpResponse:
    """Take the user back: with a code, or with an error."""
    try:
        token = foxy.client.fetch_token(request.GET, request=request.session.pop("foxy", None))
    except AuthorizationError as error:
        logger.warning("no access: %s", error)
        if error.error == "access_denied":
            return HttpResponse(format_html(PAGE, "Without access to your store, this is not possible."), status=403)
        return HttpResponse(format_html(PAGE, "That did not work. Please try again."), status=400)
    except TokenUnavailableError as error:
        logger.warning("no token: %s", error)
        return HttpResponse(format_html(PAGE, "Foxy does not answer. Please try again later."), status=503)
    request.session["store_id"] = foxy.connect(token)
    return HttpResponseRedirect("/store")


def store(request: HttpRequest) -> HttpResponse:
    """Show the user's store."""
    if "store_id" not in request.session:
        return HttpResponseRedirect("/")
    auth = foxy.auth_of(request.session["store_id"])
    try:
        home = requests.get(foxy.client.environment.api, auth=auth, timeout=10).json()
        found = requests.get(home["_links"]["fx:store"]["href"], auth=auth, timeout=10).json()
    except LoginRequiredError:
        return HttpResponse(format_html(PAGE, "Your store is no longer connected."), status=403)
    return HttpResponse(format_html("<!doctype html><title>Widgets</title><h1>{}</h1>", found["store_name"]))


urlpatterns = [
    path("", start),
    path("foxy/connect", connect),
    path("foxy/callback", callback),
    path("store", store),
]
application = get_wsgi_application()
