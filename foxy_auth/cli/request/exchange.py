"""One signed request to the API, whose response is read as it comes."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

from foxy_auth import FoxyAuth
from foxy_auth._libraries import installed_library
from foxy_auth._oauth.messages import clean, error_messages, json_object, text_of
from foxy_auth._transport import explained, make_client
from foxy_auth.cli.exit_status import ApiError
from foxy_auth.token import secrets_of

TIMEOUT = 60.0  # seconds for each wait on the network: reports take their time
CHUNK = 2**16  # bytes


@dataclass(frozen=True, slots=True)
class Response:
    """The API's response; its body can be read once."""

    status: int
    reason: str
    version: str
    headers: Mapping[str, str]
    chunks: Iterator[bytes]

    @property
    def is_success(self) -> bool:
        """Whether the API did what it was asked for."""
        return 200 <= self.status < 300  # noqa: PLR2004

    @property
    def is_json(self) -> bool:
        """Whether the body says that it is JSON, such as `application/hal+json`."""
        kind = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        return kind.endswith(("/json", "+json"))


@contextmanager
def exchange(
    auth: FoxyAuth, method: str, url: str, *, headers: Mapping[str, str], body: bytes | IO[bytes] | None = None
) -> Generator[Response]:
    """
    Send a request, which is signed, and yield its response, whatever its status. No redirect is followed.

    Raises:
        TokenUnavailableError: There was no response, or it broke off.
    """
    library = installed_library()
    is_requests = library in {"requests", "niquests"}
    with make_client(library, url) as client:
        with explained(url, library, timeout=TIMEOUT):
            send = _by_requests if is_requests else _by_httpx
            response = send(client, method, url, auth=auth, headers={**headers}, body=body)
        try:
            yield _read_by_requests(response, url, library) if is_requests else _read_by_httpx(response, url, library)
        finally:
            response.close()


def error_of(response: Response, body: bytes, auth: FoxyAuth) -> ApiError:
    """Return the error that *response*, which is no success, tells of: the provider's messages, without secrets."""
    hidden = secrets_of(auth.token) if auth.token else ()
    fields = json_object(body)
    reason = text_of(fields.get("error_description")) or text_of(fields.get("error"))
    messages = [clean(message, hidden) for message in (*error_messages(fields), reason) if message]
    if address := response.headers.get("location") if 300 <= response.status < 400 else "":  # noqa: PLR2004
        messages = [f"it redirects to {clean(address, hidden)}, and no redirect is followed"]
    status = f"{response.status} {clean(response.reason, hidden)}".strip()
    return ApiError(f"the API responded with {status}{': ' if messages else ''}{'; '.join(messages)}")


def _by_requests(client: Any, method: str, url: str, *, auth: FoxyAuth, headers: dict[str, str], body: Any) -> Any:
    return client.request(
        method, url, headers=headers, data=body, auth=auth, stream=True, allow_redirects=False, timeout=TIMEOUT
    )


def _by_httpx(client: Any, method: str, url: str, *, auth: FoxyAuth, headers: dict[str, str], body: Any) -> Any:
    request = client.build_request(method, url, headers=headers, content=body, timeout=TIMEOUT)
    return client.send(request, auth=auth, follow_redirects=False, stream=True)


def _read_by_requests(response: Any, url: str, library: str) -> Response:
    version = {10: "1.0", 11: "1.1", 20: "2", 30: "3"}.get(getattr(response.raw, "version", 11), "1.1")
    chunks = _chunks(response.iter_content(CHUNK), url, library)
    return Response(response.status_code, response.reason or "", version, response.headers, chunks)


def _read_by_httpx(response: Any, url: str, library: str) -> Response:
    version = response.http_version.partition("/")[2]
    chunks = _chunks(response.iter_bytes(CHUNK), url, library)
    return Response(response.status_code, response.reason_phrase, version, response.headers, chunks)


def _chunks(chunks: Iterator[bytes], url: str, library: str) -> Iterator[bytes]:
    with explained(url, library, timeout=TIMEOUT):
        yield from chunks
