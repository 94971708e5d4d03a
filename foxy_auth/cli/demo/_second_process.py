"""The program of the second process: it starts from a saved token and makes one call."""

import json
import sys
from pathlib import Path

import requests

from foxy_auth import FoxyAuth, Token


def main(url: str, path: str) -> None:
    """Call *url* with the token that is saved at *path*."""
    token = Token.from_dict(json.loads(Path(path).read_text(encoding="ascii")))
    with FoxyAuth.from_env(token=token) as auth:
        answer = requests.get(url, auth=auth, headers={"User-Agent": "process-2"}, timeout=10)
    answer.raise_for_status()


if __name__ == "__main__":
    main(*sys.argv[1:])
