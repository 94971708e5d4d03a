"""
The command of `legacy_client.py`, with `foxy_auth` in place of the OAuth code. It goes on with the token of token.json.

    pip install 'foxy_auth[requests,file]'
    export FOXY_API_CLIENT_ID=… FOXY_API_CLIENT_SECRET=… FOXY_API_REFRESH_TOKEN=…
    python migrated_client.py show
    python migrated_client.py integrations
    python migrated_client.py add "Stock report"
"""

import argparse
import os
import sys

import requests

from foxy_auth import FoxyAuth
from foxy_auth.stores import FileStore

TOKEN_FILE = os.environ.get("FOXY_TOKEN_FILE", "token.json")
TIMEOUT = 30
PAGE = 100


class FoxyError(Exception):
    """Something went wrong at Foxy."""

    def __init__(self, message, response=None):
        """Keep the response too."""
        super().__init__(message)
        self.response = response


class FoxyClient:
    """Sends requests with the token."""

    def __init__(self, auth):
        """Open a session."""
        self.api = auth.environment.api
        self.session = requests.Session()
        self.session.auth = auth

    def request(self, method, url, **options):
        """Send a request."""
        try:
            response = self.session.request(method, url, timeout=TIMEOUT, **options)
        except requests.RequestException as error:
            raise FoxyError(f"{method} {url}: {error}") from error
        if not response.ok:
            raise FoxyError(f"{method} {url}: {response.status_code} {self._messages(response)}", response)
        return response.json()

    @staticmethod
    def _messages(response):
        try:
            errors = response.json()["_embedded"]["fx:errors"]
        except (ValueError, KeyError, TypeError):
            return response.text[:200]
        return "; ".join(error["message"] for error in errors)

    def store(self):
        """Return the store."""
        home = self.request("GET", self.api)
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
    try:
        return FoxyClient(FoxyAuth.from_env(store=FileStore(TOKEN_FILE)))
    except ValueError as error:
        sys.exit(str(error))


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
