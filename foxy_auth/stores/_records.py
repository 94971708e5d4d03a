"""The record that a store keeps: versioned JSON, encrypted on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from foxy_auth.errors import StoreError
from foxy_auth.token import Token

VERSION = 1
# No record is longer than a few hundred characters; a longer one is not ours.
LARGEST_RECORD = 2**16

Key = str | bytes | Sequence[str | bytes]


class Records:
    """
    Writes and reads records.

    A record is a JSON object with the fields of `Token.to_dict` and a `version`. Fields that others have put there
    stay. With a key it is encrypted (Fernet: AES-128-CBC and HMAC-SHA-256); what is not is then refused. A record does
    not name its place, so that it can be moved; hence who can write there can put an older one, or another's, in it.
    """

    def __init__(self, key: Key | None = None) -> None:
        """
        Agree on encryption.

        Args:
            key: A Fernet key (`Fernet.generate_key()`), or several: the first encrypts, all decrypt, so that a key can
                be replaced; None keeps records in plain text.

        Raises:
            ValueError: *key*, or one of several, is no Fernet key.
        """
        self._fernet: Any = None if key is None else _fernet(key)

    def written(self, token: Token, former: str | None = None) -> str:
        """
        Return the record of *token*; other fields of the *former* record are taken over, if it can be read.

        Raises:
            StoreError: It is longer than what would be read again.
        """
        try:
            fields = self._fields(former) if former is not None else {}
        except StoreError:
            fields = {}
        record = json.dumps({**fields, **token.to_dict(), "version": VERSION}, separators=(",", ":"))
        if self._fernet is not None:
            record = self._fernet.encrypt(record.encode()).decode()
        if len(record) > LARGEST_RECORD:
            raise StoreError(f"this token takes {len(record)} characters of {LARGEST_RECORD}, so it is not stored")
        return record

    def loaded(self, record: str | None, place: object) -> Token | None:
        """Read what a store has at *place*, if anything; an error names the place."""
        try:
            return None if record is None else self.read(record)
        except StoreError as error:
            raise StoreError(f"{place}: {error}; repair or remove it") from None

    def damaged(self, record: str) -> bool:
        """Tell whether a record cannot be read."""
        try:
            self.read(record)
        except StoreError:
            return True
        return False

    def read(self, record: str) -> Token:
        """
        Read a record.

        Raises:
            StoreError: It is damaged, of a newer version, or not encrypted as agreed.
        """
        fields = self._fields(record)
        if fields.get("version") != VERSION:
            raise StoreError(f"the stored token is a record of another version than {VERSION}; update foxy_auth")
        try:
            return Token.from_dict(fields)
        except (TypeError, ValueError, OverflowError) as error:
            raise StoreError(f"the stored token is damaged: {error}") from None

    def _fields(self, record: str) -> dict[str, Any]:
        if len(record) > LARGEST_RECORD:
            raise StoreError(f"the stored token is longer than {LARGEST_RECORD} characters, so it is none of ours")
        try:
            record.encode()  # bytes that are no text have come as half characters
            fields: Any = json.loads(self._decrypted(record))
        except (ValueError, RecursionError):
            raise StoreError("the stored token is damaged: it is no JSON") from None
        if not isinstance(fields, dict):
            raise StoreError("the stored token is damaged: it is no JSON object")
        return cast("dict[str, Any]", fields)

    def _decrypted(self, record: str) -> str:
        if self._fernet is None:
            return record
        from cryptography.fernet import InvalidToken

        try:
            return str(self._fernet.decrypt(record.encode()), "utf-8")
        except InvalidToken:
            raise StoreError("the stored token does not open with this key, or is not encrypted") from None


def check_key(key: str) -> str:
    """Return *key*, if it can stand in the name of a file, a row or a Redis key, and for nothing else there."""
    fits = isinstance(key, str) and key.isascii() and all(letter.isalnum() or letter in "-_." for letter in key)
    if not fits or not key or key.startswith(".") or key.rpartition(".")[2] in {"lock", "damaged"}:
        raise ValueError("a key takes ASCII letters, digits, '-', '_' and '.', such as 'store-123'")
    return key


def _fernet(key: Key) -> Any:
    from cryptography.fernet import Fernet, MultiFernet

    keys = [key] if isinstance(key, str | bytes) else key
    if not isinstance(keys, Sequence) or not keys:
        raise ValueError("key takes one Fernet key, or several in a list; make one by Fernet.generate_key()")
    try:
        return MultiFernet([Fernet(one) for one in keys])
    except (ValueError, TypeError):
        raise ValueError("key is no Fernet key; make one by cryptography.fernet.Fernet.generate_key()") from None
