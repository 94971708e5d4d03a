"""Where the three applications keep their users' tokens: SQLite, a row for each store."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing

from foxy_auth import Token

DATABASE = os.environ.get("TOKENS", "tokens.sqlite")


def save(token: Token) -> None:
    """Keep *token* instead of its store's earlier one; called from whatever thread has brought it."""
    with closing(_connected()) as database, database:
        row = (token.store_id, json.dumps(token.to_dict()))
        database.execute("INSERT OR REPLACE INTO tokens VALUES (?, ?)", row)


def load(store_id: str) -> Token | None:
    """Return the token of a store, if it was kept."""
    with closing(_connected()) as database:
        row = database.execute("SELECT token FROM tokens WHERE store_id = ?", (store_id,)).fetchone()
    return Token.from_dict(json.loads(row[0])) if row else None


def _connected() -> sqlite3.Connection:
    os.close(os.open(DATABASE, os.O_CREAT, 0o600))  # nobody else may read it
    database = sqlite3.connect(DATABASE)
    database.execute("CREATE TABLE IF NOT EXISTS tokens (store_id TEXT PRIMARY KEY, token TEXT)")
    return database
