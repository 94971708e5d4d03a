"""Read the credentials that a client sends with a token request."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping


class Credentials(NamedTuple):
    """What a client says it is; either may be empty."""

    client_id: str
    client_secret: str


def read_credentials(headers: Mapping[str, str], fields: Mapping[str, str]) -> Credentials | None:
    """Read HTTP Basic, or else the form's fields; None if there is neither."""
    basic = _read_basic(headers.get("Authorization", ""))
    if basic is not None:
        return basic
    if "client_id" not in fields:
        return None
    return Credentials(fields["client_id"], fields.get("client_secret", ""))


def _read_basic(header: str) -> Credentials | None:
    """
    Read HTTP Basic.

    Id and secret are taken as they stand: the provider's page joins and encodes them without percent-encoding them
    first, unlike RFC 6749, section 2.3.1.
    """
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
    client_id, _, client_secret = text.partition(":")
    return Credentials(client_id, client_secret)
