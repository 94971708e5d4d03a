"""
What happens, as records of the logger `foxy_auth`: each event is one record, which programs count and trace.

`LogRecord.foxy_event` names the event. These names, and the fields, are promises; the texts are not.

| `foxy_event` | level | what has happened | fields |
| --- | --- | --- | --- |
| `refreshed` | INFO | a new token was issued | `foxy_seconds` |
| `adopted` | INFO | a newer token was found in the store, and no token request made | |
| `repeating` | INFO | a token request failed in passing, and is sent again | `foxy_error`, `foxy_attempts` |
| `refresh_failed` | WARNING | no new token came; the old one serves until it expires | `foxy_error`, `foxy_seconds` |
| `saved` | INFO | the store has the new token | |
| `unsaved` | ERROR | the store could not save it; that is tried again | `foxy_error` |
| `delivered` | INFO | `on_token` has the new token | |
| `undelivered` | ERROR | `on_token` raised; it is called again | `foxy_error` |
| `lost` | ERROR | the program ends, and the store or `on_token` does not have the newest token | |
| `retried` | INFO | a request was sent again after a 401 | `foxy_status` |
| `unsigned` | DEBUG | a request to a foreign origin passed without a token | `foxy_origin` |
| `unsigned` | WARNING | the same, and it looks like a mistake; once for each object and origin | `foxy_origin` |
| `logged_out` | INFO | the token was removed, and the object refuses from then on | |

| field | what it is |
| --- | --- |
| `foxy_environment` | the API home; with every event |
| `foxy_store_id` | the number of the token's store, as text, or None; with all but `repeating` and `unsigned` |
| `foxy_seconds` | how long the token request took, with what was tried again; None if none was sent |
| `foxy_attempts` | how often it was tried without success, this time included |
| `foxy_error` | the name of the error's class |
| `foxy_status` | the status of the response to the retry |
| `foxy_origin` | scheme, host and port of the request |
"""

from __future__ import annotations

import logging
import traceback
from typing import Any, Literal

EventName = Literal[
    "refreshed",
    "adopted",
    "repeating",
    "refresh_failed",
    "saved",
    "unsaved",
    "delivered",
    "undelivered",
    "lost",
    "retried",
    "unsigned",
    "logged_out",
]

logger = logging.getLogger("foxy_auth")
logger.addHandler(logging.NullHandler())  # programs that configure no logging see nothing on their standard error

LEVELS: dict[EventName, int] = {
    "refresh_failed": logging.WARNING,
    "unsaved": logging.ERROR,
    "undelivered": logging.ERROR,
    "lost": logging.ERROR,
    "unsigned": logging.DEBUG,
}


def record(event: EventName, text: str, *values: object, level: int | None = None, **fields: Any) -> None:
    """
    Log an event; what a filter or a handler of the program raises is shown, and harms no token.

    Args:
        event: Its name.

        text: What it says, with places for *values* as `logging` has them.

        values: What goes there.

        level: Another level than the usual one of the event.

        fields: The fields of the table above, without the prefix `foxy_`.
    """
    extra = {f"foxy_{name}": value for name, value in {"event": event, **fields}.items()}
    level = LEVELS.get(event, logging.INFO) if level is None else level
    try:
        logger.log(level, text, *values, extra=extra, stacklevel=2)
    except Exception as error:  # noqa: BLE001
        if logging.raiseExceptions:  # as handlers ask
            traceback.print_exception(error, chain=False)  # without what is being handled, which may have secrets
