"""The record that a store keeps: versioned JSON, optionally encrypted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import copy
from typing import Any, Self, cast

from foxy_auth._secrets import Secret
from foxy_auth.errors import StoreError
from foxy_auth.token import Token

VERSION = 1
ENCRYPTED = "gAAAA"  # how a Fernet token begins, and no JSON
# A usual record has a few hundred characters; we neither write nor read longer ones than this.
LARGEST_RECORD = 2**16

OTHER_KEY = (
    "the stored record cannot be decrypted with this encryption_key; give the key that it was encrypted with. If there "
    "are several keys, give a list: the first encrypts, and all decrypt"
)
PLAIN_TEXT = (
    "the stored record is not encrypted, and this store has an encryption_key. If it is yours, encrypt it: "
    "token = plain.load(); plain.delete(); encrypted.save(token), where plain is the same store without an "
    "encryption_key, and encrypted is this one"
)

EncryptionKey = str | bytes | Sequence[str | bytes]


class Records:
    """
    Writes and reads records.

    A record is a JSON object with the fields of `Token.to_dict` and a `version`. Without a version it is a dict that
    somebody else has stored; all that `Token.from_dict` reads are read. Unknown fields are preserved. With an
    encryption key the whole record is encrypted (Fernet: AES-128-CBC and HMAC-SHA-256), and one in plain text is
    refused.

    An encrypted record contains its `name`: that of its file, its Redis key or its row. Under another one it is
    refused, so that nobody who can write to the store can put the record of another grant there. Folder, server and
    table are not part of the name, so that all records can be moved together. An older record of the same name is not
    noticed.
    """

    def __init__(self, encryption_key: EncryptionKey | None = None) -> None:
        """
        Choose plain text or encryption.

        Args:
            encryption_key: A Fernet key (`Fernet.generate_key()`), or a list of them: the first encrypts, all decrypt,
                so that a key can be replaced. None means plain text.

        Raises:
            ValueError: *encryption_key*, or one of several, is not a Fernet key.
        """
        self._fernet: Any = None if encryption_key is None else _fernet(encryption_key)
        self._name = ""

    def named(self, name: str) -> Self:
        """Return the same for the record *name*."""
        other = copy(self)
        other._name = name  # noqa: SLF001 - our own class
        return other

    def write(self, token: Token, former: Secret | None = None) -> Secret:
        """
        Return the record of *token*, with the unknown fields of the *former* record, unless that is damaged.

        Raises:
            TypeError: *token* is no `Token`.

            StoreError: The record would be too long to be read again.
        """
        check_saved(token)
        fields = {} if former is None or self.is_damaged(former) else self._fields(former)
        fields = {**fields, **token.to_dict(), "version": VERSION}
        if self._fernet is not None:
            fields["name"] = self._name
        record = json.dumps(fields, separators=(",", ":"))
        if self._fernet is not None:
            record = self._fernet.encrypt(record.encode()).decode()
        if len(record) > LARGEST_RECORD:
            raise StoreError(f"the token was not stored: {len(record)} characters, the limit is {LARGEST_RECORD}")
        return Secret(record)

    def read(self, record: Secret | None, place: object) -> Token | None:
        """
        Return the token of *record*, or None if there is no record.

        Raises:
            StoreError: The record is damaged, of a newer version, or not encrypted by our key. The message names the
                *place*.
        """
        try:
            return None if record is None else self._token(record)
        except StoreError as error:
            raise StoreError(f"{place}: {error}") from None

    def is_damaged(self, record: Secret) -> bool:
        """Tell whether *record* cannot be read."""
        try:
            self._token(record)
        except StoreError:
            return True
        return False

    def _token(self, record: Secret) -> Token:
        fields = self._fields(record)
        if self._fernet is not None and fields.get("name") != self._name:
            raise StoreError(
                f"the stored record was encrypted as {fields.get('name')!r} and not as {self._name!r}: it has been "
                "renamed, or somebody has put it there; give it its old name and load it, to save it under a new one"
            )
        version = fields.get("version", VERSION)
        if type(version) is not int or version < VERSION:
            raise _damaged("its version is none of ours")
        if version > VERSION:
            raise StoreError(f"the stored record is of version {version}, of a newer foxy_auth; update foxy_auth")
        try:
            return Token.from_dict(fields)
        except (TypeError, ValueError, OverflowError) as error:
            raise _damaged(error) from None

    def _fields(self, record: Secret) -> dict[str, Any]:
        text = record.reveal()
        if len(text) > LARGEST_RECORD:
            raise StoreError(f"the stored record is longer than {LARGEST_RECORD} characters")
        if not text.strip():
            raise StoreError("the record is empty, and holds no grant; remove it, or put a backup in its place")
        try:
            text.encode()  # fails on lone surrogates, which stand for bytes that are not UTF-8
            fields: Any = json.loads(self._decrypt(text))
        except (ValueError, RecursionError):
            raise _damaged("it is not JSON") from None
        if not isinstance(fields, dict):
            raise _damaged("it is not a JSON object")
        return cast("dict[str, Any]", fields)

    def _decrypt(self, record: str) -> str:
        is_encrypted = record.startswith(ENCRYPTED)
        if self._fernet is None:
            if is_encrypted:
                raise StoreError(
                    "the stored record is encrypted; give encryption_key=, the key that it was encrypted with"
                )
            return record
        from cryptography.fernet import InvalidToken

        try:
            return str(self._fernet.decrypt(record.encode()), "utf-8")
        except InvalidToken:
            raise StoreError(OTHER_KEY if is_encrypted else PLAIN_TEXT) from None


def _damaged(reason: object) -> StoreError:
    return StoreError(
        f"the stored record is damaged ({reason}); repair it, or put a backup in its place. Whoever removes it gives "
        "up its grant, and has to authorize again"
    )


def check_saved(token: object) -> None:
    """Refuse to save anything but a `Token`."""
    if not isinstance(token, Token):
        raise TypeError(f"save takes a Token, not {type(token).__name__}; Token.from_dict(…) makes one of a dict")


def check_key(key: str) -> str:
    """Return *key* if it is safe in the name of a file, a row or a Redis key; raise `ValueError` otherwise."""
    is_safe = isinstance(key, str) and key.isascii() and all(letter.isalnum() or letter in "-_." for letter in key)
    if not is_safe or not key or key.startswith(".") or key.rpartition(".")[2] in {"lock", "damaged"}:
        raise ValueError("a key takes ASCII letters, digits, '-', '_' and '.', such as 'store-123'")
    return key


def _fernet(encryption_key: EncryptionKey) -> Any:
    from cryptography.fernet import Fernet, MultiFernet

    keys = [encryption_key] if isinstance(encryption_key, str | bytes) else encryption_key
    if not isinstance(keys, Sequence) or not keys:
        raise ValueError("encryption_key takes a Fernet key or a list of them; Fernet.generate_key() makes one")
    try:
        return MultiFernet([Fernet(one) for one in keys])
    except (ValueError, TypeError):
        raise ValueError(
            "encryption_key is not a Fernet key; Fernet.generate_key() of cryptography makes one"
        ) from None
