"""
The one decision about a 401, for all client libraries: values in, values out.

A request is sent again for a token that was refused, and for a header that the client library has replaced or dropped
on a redirect between own origins; at most twice, and at most one token is issued because of it (R3, R15).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from foxy_auth._engine.grant import Signature
from foxy_auth._engine.source import Obtained, TokenSource
from foxy_auth._events import record
from foxy_auth._oauth import UNAUTHORIZED
from foxy_auth._oauth.content_coding import decode, is_unknown
from foxy_auth._oauth.messages import MAX_401_BODY, MAX_RESOURCE, blames_token
from foxy_auth._oauth.origin import Origin
from foxy_auth.environment import Environment
from foxy_auth.token import Token

MAX_RETRIES = 2


@dataclass(frozen=True, slots=True)
class Attempt:
    """
    How far a request has come.

    Attributes:
        signature: What it was signed with last.

        retries: How often it was sent again.

        is_issued: Whether a token was issued because the API had refused another.

        is_signed_again: Whether it was sent again for a header that was lost.
    """

    signature: Signature
    retries: int = 0
    is_issued: bool = False
    is_signed_again: bool = False

    def is_carried_by(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request with these *headers* carries the signature, and no other or none."""
        return headers.get("Authorization") == self.signature.authorization

    def may_retry(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a 401 to a request with these *headers* may earn a retry, so that its body is worth reading."""
        is_in_vain = self.is_issued if self.is_carried_by(headers) else self.is_signed_again
        return self.retries < MAX_RETRIES and not is_in_vain

    def next(self, retry: Retry, obtained: Obtained) -> Attempt:
        """Return the next attempt, with the signature that *retry* asked for."""
        return Attempt(
            obtained.signature,
            retries=self.retries + 1,
            is_issued=self.is_issued or obtained.is_issued,
            is_signed_again=self.is_signed_again or retry.rejected is None,
        )


@dataclass(frozen=True, slots=True)
class Retry:
    """The answer to a 401: get a signature, but not that of the token *rejected*, and send the request again."""

    rejected: Token | None


def answer_401(
    attempt: Attempt, sent: Mapping[str, str], received: Mapping[str, str], body: bytes, source: TokenSource
) -> Retry | None:
    """
    Decide what to do about a 401; None leaves it to the caller.

    Args:
        attempt: What was done for the request so far; it may be retried.

        sent: The headers of the request that was answered, whose names compare without case.

        received: The response's headers, likewise.

        body: As much of its body as was read.

        source: Where tokens come from.
    """
    if not attempt.is_carried_by(sent):
        return Retry(rejected=None)
    if source.is_refresh_futile or not blames_token(received, body):
        return None
    return Retry(rejected=attempt.signature.token)


def check_not_moved(url: str, environment: Environment) -> None:
    """
    Tell, of a signed request that was sent, if somebody had given it another address after it was signed.

    Hooks, adapters and transports can do that. It is too late to keep the token from going there, but not to say so.

    Args:
        url: Where it was sent.

        environment: Where the token may go.

    Raises:
        ValueError: The token went elsewhere.
    """
    if not environment.covers(url):
        origin = Origin.of(url)
        message = (
            f"a request was moved to {origin.netloc if origin else 'another place'} after it was signed, and took its "
            f"token there: revoke it, and move requests before they are signed; or, if the API is there too, name that "
            f"origin in Environment(origins=…)"
        )
        raise ValueError(message)


def decoded_401(head: bytes, coding: str) -> tuple[bytes, bool]:
    """
    Decode the beginning of a 401's body, and tell whether the caller's client may decode it too.

    It may, unless the body is not coded as it says, or becomes too long, or is coded several times. A whole body in a
    coding that only the client knows is left to it. What is not decoded here counts as empty, and so does a long body.

    Args:
        head: As much of the body as was read.

        coding: The header `Content-Encoding`, or an empty text.
    """
    try:
        body = decode(head, coding, MAX_RESOURCE)
    except ValueError:
        return b"", is_unknown(coding) and len(head) <= MAX_401_BODY
    return body if len(body) <= MAX_401_BODY else b"", True


def record_retry(attempt: Attempt, status: int, sent: Mapping[str, str], source: TokenSource) -> None:
    """Tell that a request was sent again, and *source* if the API refused a token that was issued because of it."""
    rejected = status == UNAUTHORIZED and attempt.is_carried_by(sent)
    del sent  # the token is in it, and what is recorded may have the values of variables
    record(
        "retried",
        "a request was sent again after a 401; the response to it is a %s",
        status,
        environment=source.environment,
        store_id=attempt.signature.token.store_id,
        status=status,
    )
    if attempt.is_issued:
        source.record_retry(attempt.signature.token, rejected=rejected)
