"""
Proxies that would get a token: of requests in plain http, which stay on this machine otherwise.

Nothing of this is done for https, where a proxy sees nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from traceback import walk_stack
from typing import TYPE_CHECKING, Any

from foxy_auth._oauth.origin import Origin
from foxy_auth._transport import PROXY_REFUSAL, is_by_proxy, tells_of_proxy

if TYPE_CHECKING:
    import httpx


def refuse_proxy(library: str, url: str) -> None:
    """
    Refuse a request of requests or niquests to *url* whose session would send it through a proxy.

    No prepared request tells its session, so that is looked for among the callers. If there is none, because the
    request is prepared by hand, the session that sends it is taken for one without settings of its own.

    Raises:
        ValueError: A proxy of the request, of its session or of the environment would get it.
    """
    module = import_module(library)
    session = proxies = None
    for frame, _ in walk_stack(None):
        caller = frame.f_locals.get("self")
        if isinstance(caller, module.Session):
            session = session or caller
            if frame.f_code.co_name == "request" and caller is session:
                proxies = frame.f_locals.get("proxies")
                break
    if is_by_proxy(module, session or module.Session(), url, proxies):
        raise ValueError(PROXY_REFUSAL)


def guard(request: httpx.Request, *, is_async: bool) -> None:
    """Have *request* of httpx or httpx2 refused, with a `ValueError`, when it is about to be sent through a proxy."""
    former = request.extensions.get("trace")
    if isinstance(former, _Guard):  # perhaps for where it was before a redirect
        former = former.former
    origin = Origin.of(str(request.url))
    if origin:
        request.extensions = {**request.extensions, "trace": _Guard(origin, former, is_async)}


@dataclass(frozen=True, slots=True)
class _Guard:
    """The trace of one request: what httpcore calls before and after each of its steps."""

    origin: Origin
    former: Callable[[str, Any], Any] | None
    is_async: bool

    def __call__(self, event: str, info: Any) -> Any:
        if tells_of_proxy(event, info, self.origin):
            raise ValueError(PROXY_REFUSAL)
        if self.former is not None:
            return self.former(event, info)
        return _nothing() if self.is_async else None


async def _nothing() -> None:
    """Do what an async trace has to do."""
