r"""
A third-party integration in FastAPI, without a blocked event loop.

    FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… REDIRECT_URI=https://…/foxy/callback SECRET_KEY=… \
        PYTHONPATH=tests uvicorn recipes.fastapi_app:app
"""

from __future__ import annotations

import logging
import os
from html import escape

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from recipes import foxy
from starlette.concurrency import run_in_threadpool
from starlette.middleware.sessions import SessionMiddleware

from foxy_auth import STORE_FULL_ACCESS, AuthorizationError, LoginRequiredError, TokenUnavailableError

app = FastAPI()
# Lax, as is the default, not "strict": the callback is reached from Foxy's page, and needs the session. Behind https,
# add https_only=True.
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"], same_site="lax")

logger = logging.getLogger(__name__)


def page(text: str, status: int = 200) -> HTMLResponse:
    """Say *text*, and offer the link."""
    link = '<p><a href="/foxy/connect">Connect your store</a></p>'
    return HTMLResponse(f"<!doctype html><title>Widgets</title><p>{escape(text)}</p>{link}", status)


@app.get("/")
async def start() -> Response:
    """Offer the link."""
    return page("Widgets works with your Foxy store.")


@app.get("/foxy/connect")
async def connect(request: Request) -> Response:
    """Send the user to Foxy, and remember the request."""
    authorization = foxy.client.authorization_request(STORE_FULL_ACCESS)
    request.session["foxy"] = authorization.to_dict()
    return RedirectResponse(authorization.url, 302)


@app.get("/foxy/callback")
async def callback(request: Request) -> Response:
    """Take the user back: with a code, or with an error."""
    try:
        token = await foxy.client.afetch_token(request.query_params, request=request.session.pop("foxy", None))
    except AuthorizationError as error:
        logger.warning("no access: %s", error)
        if error.error == "access_denied":
            return page("Without access to your store, this is not possible.", 403)
        return page("That did not work. Please try again.", 400)
    except TokenUnavailableError as error:
        logger.warning("no token: %s", error)
        return page("Foxy does not answer. Please try again later.", 503)
    request.session["store_id"] = await run_in_threadpool(foxy.connect, token)
    return RedirectResponse("/store", 302)


@app.get("/store")
async def store(request: Request) -> Response:
    """Show the user's store."""
    if "store_id" not in request.session:
        return RedirectResponse("/", 302)
    auth = foxy.auth_of(request.session["store_id"])
    try:
        async with httpx.AsyncClient(auth=auth) as http:
            home = (await http.get(foxy.client.environment.api)).json()
            found = (await http.get(home["_links"]["fx:store"]["href"])).json()
    except LoginRequiredError:
        return page("Your store is no longer connected.", 403)
    return HTMLResponse(f"<!doctype html><title>Widgets</title><h1>{escape(found['store_name'])}</h1>")
