"""The second process of the demo: start from a saved token and send one request."""

import sys

import requests

from foxy_auth import FoxyAuth
from foxy_auth.stores import FileStore


def main(url: str, path: str) -> None:
    """Request *url* with the token that is saved at *path*."""
    with FoxyAuth.from_env(token=FileStore(path).load()) as auth:
        response = requests.get(url, auth=auth, headers={"User-Agent": "process-2"}, timeout=10)
    response.raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
