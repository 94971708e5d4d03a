"""Profiles: the settings of a client under a name, in one file that only its owner can read."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, cast

import platformdirs
import tomlkit

from foxy_auth.errors import StoreError
from foxy_auth.stores._file_lock import lock_file
from foxy_auth.stores._private_files import private_file, resolve

APP = "foxy-auth"
DEFAULT = "default"
NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
LOCK_TIMEOUT = 10.0  # seconds to wait for another program


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """
    What one client is and where its token is kept; None where the profile does not say.

    Attributes:
        client_id: The client's id.

        client_secret: The client's secret, if the user typed it or registered the client here.

        redirect_uri: The registered redirect URI.

        environment: As the option `--environment` takes it.

        store: As the option `--store` takes it; it may contain a password.
    """

    client_id: str | None = None
    client_secret: str | None = field(default=None, repr=False)
    redirect_uri: str | None = None
    environment: str | None = None
    store: str | None = field(default=None, repr=False)


def profiles_path() -> Path:
    """
    Return the file of the profiles; a link that leads to it is followed.

    Raises:
        StoreError: There is no home folder, as for the users of some containers.
    """
    with _in_home():
        return resolve(platformdirs.user_config_path(APP, appauthor=False) / "profiles.toml")[0]


def data_folder() -> Path:
    """
    Return the folder of what is kept besides the profiles.

    Raises:
        StoreError: There is no home folder.
    """
    with _in_home():
        return platformdirs.user_data_path(APP, appauthor=False)


def token_path(name: str, client_id: str) -> Path:
    """Return the file in which the token of the profile *name* is kept, if no other store is chosen."""
    safe = re.sub("[^A-Za-z0-9_-]", "-", client_id)
    return data_folder() / f"{name}.{safe}.json"


def load_profile(name: str) -> Profile | None:
    """
    Return the profile *name*, or None if there is none.

    Raises:
        StoreError: The file cannot be read.
    """
    found = _load().get(name)
    if found is None:
        return None
    known = sorted(one.name for one in fields(Profile))
    values = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    if not values or not values.keys() <= {*known} or not all(isinstance(value, str) for value in values.values()):
        raise StoreError(f"{profiles_path()}: the profile {name} takes text, under the names {', '.join(known)}")
    return Profile(**values)


def save_profile(name: str, profile: Profile, *, is_new: bool = False) -> Path:
    """
    Write the profile *name*, leave the others and the comments as they are, and return the file.

    Raises:
        StoreError: The file cannot be written; or there is such a profile, and it was to be a new one.
    """
    values = {one.name: getattr(profile, one.name) for one in fields(Profile)}
    return _change(name, {key: value for key, value in values.items() if value is not None}, is_new=is_new)


def remove_profile(name: str) -> Path:
    """
    Remove the profile *name*, and return the file.

    Raises:
        StoreError: The file cannot be written.
    """
    return _change(name, None)


def profile_names() -> list[str]:
    """Return the names of all profiles; none if the file cannot be read."""
    with suppress(StoreError):
        return sorted(_load())
    return []


@contextmanager
def _in_home() -> Generator[None]:
    try:
        yield
    except RuntimeError:
        raise StoreError("there is no home folder to keep anything in; set HOME") from None


def _load() -> dict[str, Any]:
    try:
        path = profiles_path()
    except StoreError:
        return {}  # without a home folder there are no profiles, and all else works
    try:
        return tomllib.loads(_read(path))
    except tomllib.TOMLDecodeError as error:
        raise StoreError(f"{path} is not TOML ({error}); correct it") from None


def _read(path: Path) -> str:
    try:
        with private_file(path, "rb") as file:
            return file.read().decode()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} cannot be read ({type(error).__name__}); repair it") from None


def _change(name: str, values: dict[str, str] | None, *, is_new: bool = False) -> Path:
    path = profiles_path()
    try:
        with lock_file(f"{path}.lock", LOCK_TIMEOUT):  # so that what other programs write meanwhile is not lost
            if name in _load() and is_new:  # and what is not TOML is not written over
                raise StoreError(f"{path} has a profile {name} by now, which is not replaced")
            document: Any = tomlkit.parse(_read(path))
            document.pop(name, None)
            if values is not None:
                document[name] = values
            _replace(path, tomlkit.dumps(document))
    except TimeoutError:
        raise StoreError(f"{path} is locked by another program; try again") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}") from None
    return path


def _replace(path: Path, content: str) -> None:
    """Write *content* to *path*, whole or not at all."""
    descriptor, draft = tempfile.mkstemp(prefix="profiles.", suffix=".new", dir=path.parent)  # with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink()
        raise
