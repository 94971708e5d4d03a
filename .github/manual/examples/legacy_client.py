"""
A command for one store, with the OAuth code that integrations write by hand. `migrated_client.py` does the same.

    export FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… FOXY_API_REFRESH_TOKEN=…
    python legacy_client.py show
    python legacy_client.py integrations
    python legacy_client.py add "Stock report"
"""

import argparse
import base64
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path

import requests

API = os.environ.get("FOXY_API_URL", "https://api.foxycart.com")
TOKEN_URL = API + "/token"
TOKEN_FILE = Path(os.environ.get("FOXY_TOKEN_FILE", "token.json"))
MARGIN = 300  # seconds before its expiry that a token is refreshed
TIMEOUT = 30
PAGE = 100

logger = logging.getLogger("foxy")


class FoxyError(Exception):
    """Something went wrong at Foxy."""

    def __init__(self, message, response=None):
        """Keep the response too."""
        super().__init__(message)
        self.response = response


class TokenKeeper:
    """Keeps the access token in a file, and refreshes it."""

    def __init__(self, client_id, client_secret, refresh_token, path):
        """Read the file, if there is one."""
        self.client_id = client_id
        self.client_secret = client_secret
        self.refresh_token = refresh_token
        self.path = path
        self.lock = threading.Lock()
        self.access_token = None
        self.expires_at = 0
        self.read()

    def read(self):
        """Read the token file."""
        try:
            stored = json.loads(self.path.read_text())
        except FileNotFoundError:
            return
        except ValueError:
            logger.warning("%s is damaged, asking for a new token", self.path)
            return
        self.access_token = stored.get("access_token")
        self.expires_at = stored.get("expires_at", 0)
        self.refresh_token = stored.get("refresh_token") or self.refresh_token

    def write(self):
        """Write the token file."""
        stored = {
            "access_token": self.access_token,
            "refresh_token": self.refresh_token,
            "expires_at": self.expires_at,
            "scope": "store_full_access",
        }
        self.path.write_text(json.dumps(stored))
        self.path.chmod(0o600)

    def is_usable(self):
        """Tell whether the token will last for a while."""
        return self.access_token is not None and time.time() < self.expires_at - MARGIN

    def get(self):
        """Return an access token, a new one if need be."""
        with self.lock:
            if not self.is_usable():
                self.refresh()
            return self.access_token

    def replace(self, rejected):
        """Return another token than the *rejected* one."""
        with self.lock:
            if self.access_token == rejected:
                self.refresh()
            return self.access_token

    def refresh(self):
        """Exchange the refresh token."""
        credentials = f"{self.client_id}:{self.client_secret}"
        basic = base64.b64encode(credentials.encode()).decode()
        response = requests.post(
            TOKEN_URL,
            data={"grant_type": "refresh_token", "refresh_token": self.refresh_token},
            headers={"Authorization": f"Basic {basic}", "FOXY-API-VERSION": "1"},
            timeout=TIMEOUT,
        )
        try:
            answer = response.json()
        except ValueError:
            raise FoxyError(f"no JSON from {TOKEN_URL}: {response.status_code}", response) from None
        if response.status_code != 200:
            raise FoxyError(f"no token: {answer.get('error_description', answer)}", response)
        self.access_token = answer["access_token"]
        self.expires_at = time.time() + int(answer["expires_in"])
        self.refresh_token = answer.get("refresh_token") or self.refresh_token
        self.write()
        logger.info("there is a new access token")


class FoxyClient:
    """Sends requests with the token."""

    def __init__(self, keeper):
        """Open a session."""
        self.keeper = keeper
        self.session = requests.Session()
        self.session.headers["FOXY-API-VERSION"] = "1"

    def request(self, method, url, **options):
        """Send a request; once more, if the token is refused."""
        if not url.startswith(API):
            raise FoxyError(f"{url} is not at Foxy; the token is not sent there")
        token = self.keeper.get()
        response = self._send(method, url, token, **options)
        if response.status_code == 401:
            logger.info("the token was refused, trying another")
            token = self.keeper.replace(token)
            response = self._send(method, url, token, **options)
        if not response.ok:
            raise FoxyError(f"{method} {url}: {response.status_code} {self._messages(response)}", response)
        return response.json()

    def _send(self, method, url, token, **options):
        headers = {"Authorization": f"Bearer {token}"}
        try:
            return self.session.request(method, url, headers=headers, timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise FoxyError(f"{method} {url}: {error}") from error

    @staticmethod
    def _messages(response):
        try:
            errors = response.json()["_embedded"]["fx:errors"]
        except (ValueError, KeyError, TypeError):
            return response.text[:200]
        return "; ".join(error["message"] for error in errors)

    def store(self):
        """Return the store."""
        home = self.request("GET", API + "/")
        return self.request("GET", home["_links"]["fx:store"]["href"])

    def pages(self, url, relation):
        """Yield the members of a collection."""
        offset = 0
        while True:
            page = self.request("GET", url, params={"offset": offset, "limit": PAGE})
            yield from page["_embedded"][relation]
            offset += page["returned_items"]
            if not page["returned_items"] or offset >= int(page["total_items"]):
                return


def make_client():
    """Make the client that the environment describes."""
    names = ("FOXY_API_CLIENT_ID", "FOXY_API_CLIENT_SECRET", "FOXY_API_REFRESH_TOKEN")
    missing = [name for name in names if not os.environ.get(name)]
    if missing:
        sys.exit(f"set {', '.join(missing)}")
    return FoxyClient(TokenKeeper(*(os.environ[name] for name in names), TOKEN_FILE))


def main():
    """Run the command."""
    parser = argparse.ArgumentParser(description="Look at a Foxy store.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show")
    commands.add_parser("integrations")
    commands.add_parser("add").add_argument("name")
    arguments = parser.parse_args()
    client = make_client()
    try:
        store = client.store()
        integrations = store["_links"]["fx:integrations"]["href"]
        if arguments.command == "show":
            print(store["store_name"])
        elif arguments.command == "integrations":
            for number, integration in enumerate(client.pages(integrations, "fx:integrations"), start=1):
                print(number, integration["project_name"])
        else:
            print(client.request("POST", integrations, json={"project_name": arguments.name})["message"])
    except FoxyError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
