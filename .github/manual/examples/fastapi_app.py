"""
A 3rd-party integration in FastAPI: its users connect the Foxy stores that they have. No event loop is blocked.

    pip install fastapi uvicorn itsdangerous 'foxy_auth[httpx,file]'
    export FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… SECRET_KEY=… REDIRECT_URI=http://127.0.0.1:8000/foxy/callback
    uvicorn fastapi_app:app

SECRET_KEY signs the sessions; `python -c "import secrets; print(secrets.token_hex())"` makes one. REDIRECT_URI is the
address that the OAuth client was registered with.
"""

from __future__ import annotations

import logging
import os
from html import escape

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.middleware.sessions import SessionMiddleware

from foxy_auth import (
    STORE_FULL_ACCESS,
    AuthorizationError,
    LoginRequiredError,
    OAuthClient,
    TokenUnavailableError,
)
from foxy_auth.stores import FileStore

app = FastAPI()
# Lax, as is the default, not "strict": the callback is reached from Foxy's page, and needs the session. Behind https,
# add https_only=True.
app.add_middleware(SessionMiddleware, secret_key=os.environ["SECRET_KEY"], same_site="lax")

logger = logging.getLogger(__name__)

client = OAuthClient.from_env(redirect_uri=os.environ["REDIRECT_URI"])
# A record for each store. On several machines, use a RedisStore or a SQLAlchemyStore.
grants = FileStore(os.environ.get("TOKENS", "tokens/foxy.json"))

STORE = """<!doctype html><title>Widgets</title><h1>{}</h1>
<form method="post" action="/foxy/disconnect"><button>Disconnect</button></form>"""


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
    authorization = client.authorization_request(STORE_FULL_ACCESS)
    request.session["foxy"] = authorization.to_dict()
    return RedirectResponse(authorization.url, 302)


@app.get("/foxy/callback")
async def callback(request: Request) -> Response:
    """Take the user back: with a code, or with an error."""
    try:
        token = await client.afetch_token(request.query_params, request=request.session.pop("foxy", None))
    except AuthorizationError as error:
        logger.warning("no access: %s", error)
        if error.error == "access_denied":
            return page("Without access to your store, this is not possible.", 403)
        return page("That did not work. Please try again.", 400)
    except TokenUnavailableError as error:
        logger.warning("no token: %s", error)
        return page("Foxy does not answer. Please try again later.", 503)
    request.session["store_id"] = token.store_id
    auth = client.auth(token, store=grants.for_key(request.session["store_id"]))
    await auth.aflush()  # StoreError if it cannot be saved
    return RedirectResponse("/store", 302)


@app.get("/store")
async def store(request: Request) -> Response:
    """Show the user's store."""
    if "store_id" not in request.session:
        return RedirectResponse("/", 302)
    auth = client.auth(store=grants.for_key(request.session["store_id"]))
    try:
        async with httpx.AsyncClient(auth=auth) as http:
            home = (await http.get(client.environment.api)).json()
            found = (await http.get(home["_links"]["fx:store"]["href"])).json()
    except LoginRequiredError:
        return page("Your store is no longer connected.", 403)
    return HTMLResponse(STORE.format(escape(found["store_name"])))


@app.post("/foxy/disconnect")
async def disconnect(request: Request) -> Response:
    """Forget the user's store, and its token."""
    if store_id := request.session.pop("store_id", None):
        await run_in_threadpool(grants.for_key(store_id).delete)
    return RedirectResponse("/", 303)
