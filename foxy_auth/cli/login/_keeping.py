"""Write the token to a file."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from foxy_auth.errors import StoreError
from foxy_auth.token import Token


@contextmanager
def token_file(path: Path) -> Generator[Callable[[Token], None]]:
    """
    Prepare to write *path*, and give what writes it: all at once, readable for its owner alone (mode 0600).

    Preparing comes before the login, so that no token is obtained that could not be kept.

    Raises:
        StoreError: The file cannot be written; a file that was there is as it was.
    """
    target = Path(os.path.realpath(path))  # what a link leads to is replaced, not the link
    if os.path.lexists(target) and not target.is_file():
        raise StoreError(f"{path} is no regular file; choose another place for the token, or --json")
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise _unwritable(path, error) from error
    os.close(descriptor)
    draft = Path(name)
    try:
        yield lambda token: _write(token, draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _write(token: Token, draft: Path, target: Path) -> None:
    try:
        with draft.open("w", encoding="utf-8") as file:
            file.write(json.dumps(token.to_dict(), indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except OSError as error:
        raise _unwritable(target, error) from error


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"cannot write {path}: {error.strerror}; choose another place for the token, or --json")
