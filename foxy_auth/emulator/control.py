"""Control from outside the process: the paths below `/_emulator`, for tests in any language."""

from __future__ import annotations

import inspect
import json
from dataclasses import asdict, replace
from functools import partial
from secrets import compare_digest
from typing import TYPE_CHECKING, Any, NoReturn, cast

from werkzeug.exceptions import HTTPException, abort
from werkzeug.wrappers import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from foxy_auth.emulator.emulator import Emulator

PREFIX = "/_emulator"
_TOKEN_NEEDED = "this needs the emulator's own control token: Authorization: Bearer …"  # noqa: S105 - a message
_LARGEST_BODY = 16 * 1024 * 1024  # bytes
# What the values of a field may be, by the annotation of the argument that it stands for.
_KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "bool": ((bool,), "true or false"),
    "float": ((int, float), "a number"),
    "int": ((int,), "a whole number"),
    "int | None": ((int, type(None)), "a whole number"),
    "str": ((str,), "text"),
    "Mapping[str, str] | None": ((dict, type(None)), "an object"),
}
_ANYTHING: tuple[tuple[type, ...], str] = ((object,), "anything")
_TEXTS = frozenset({"str", "object"})  # what a form can hold as it is; other values in it are JSON


class Control:
    """WSGI middleware that takes the requests below `/_emulator`, so that they are not recorded."""

    def __init__(self, application: WSGIApplication, foxy: Emulator, token: str) -> None:
        """Control *foxy* for those who have the *token*, and pass all other requests to *application*."""
        self._application = application
        self._foxy = foxy
        self._token = token

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Handle one request (PEP 3333)."""
        path = environ["PATH_INFO"]
        if path != PREFIX and not path.startswith(f"{PREFIX}/"):
            return self._application(environ, start_response)
        request = Request(environ)
        request.max_content_length = _LARGEST_BODY
        try:
            self._check(request)
            response = self._respond(request, path.removeprefix(PREFIX).strip("/"))
        except HTTPException as error:
            response = error.get_response(environ)
        return response(environ, start_response)

    def _check(self, request: Request) -> None:
        """Refuse whoever has no control token, and web pages of other sites."""
        if _is_cross_site(request):
            _refuse(403, "web pages of other sites have no access")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not compare_digest(token.strip().encode(), self._token.encode()):
            _refuse(401, _TOKEN_NEEDED, {"WWW-Authenticate": 'Bearer realm="emulator"'})

    def _respond(self, request: Request, name: str) -> Response:
        actions = _actions(self._foxy)
        views: dict[str, Callable[[], object]] = {"": lambda: _overview(actions), "calls": self._calls}
        if name not in {*views, *actions}:
            _refuse(404, f"there is no {PREFIX}/{name}; there are GET calls, and POST {', '.join(actions)}")
        method = "GET" if name in views else "POST"
        if request.method != method:
            _refuse(405, f"{PREFIX}/{name} takes {method}", {"Allow": method})
        try:
            outcome = views[name]() if name in views else actions[name](**_arguments(actions[name], request))
        except (TypeError, ValueError) as error:
            _refuse(400, f"{name}: {error}")
        return Response(status=204) if outcome is None else _json(outcome)

    def _calls(self) -> list[dict[str, object]]:
        return [asdict(replace(call, headers=dict(call.headers), form=dict(call.form))) for call in self._foxy.calls]


def _actions(foxy: Emulator) -> dict[str, Callable[..., object]]:
    """Return what can be done, by name: most are methods of the emulator, with the arguments of these."""
    return {
        "clear": partial(_clear, foxy),
        "delay": foxy.delay,
        "drop": foxy.drop,
        "expire": foxy.expire_access_tokens,
        "fail": foxy.fail,
        "grant": partial(_grant, foxy),
        "oversize": foxy.oversize,
        "redirect": foxy.redirect_token_calls,
        "revoke": partial(_revoke, foxy),
        "rotate": partial(_rotate, foxy),
        "serve": foxy.serve,
        "truncate": foxy.truncate,
    }


def _clear(foxy: Emulator) -> None:
    """Forget the requests so far, and the faults that have not been applied."""
    foxy.clear_calls()
    foxy.clear_faults()


def _grant(foxy: Emulator, scope: str = "store_full_access") -> Mapping[str, object]:
    """Grant the client access once more; the response is the token."""
    return foxy.grant(scope).to_dict()


def _revoke(foxy: Emulator, tokens: str = "access") -> None:
    """Revoke the `access` tokens issued so far, the `refresh` tokens, or `all`."""
    if tokens not in {"access", "refresh", "all"}:
        raise ValueError("tokens takes access, refresh or all")
    if tokens != "refresh":
        foxy.revoke_access_tokens()
    if tokens != "access":
        foxy.revoke_refresh_tokens()


def _rotate(foxy: Emulator, enabled: bool = True) -> None:  # noqa: FBT001, FBT002 - a field
    """Rotate refresh tokens from now on, or no more."""
    foxy.rotate_refresh_tokens = enabled


def _arguments(action: Callable[..., object], request: Request) -> dict[str, Any]:
    """Read the fields of a request: a JSON object, or a form, whose values are JSON where they are not text."""
    parameters = inspect.signature(action).parameters
    text = request.get_data(as_text=True, cache=True)
    is_json = request.is_json or text.lstrip().startswith("{")  # curl sends anything as a form
    content: Any = _read_json(text) if is_json else request.values.to_dict()
    if not isinstance(content, dict):
        raise TypeError("the body must be an object")
    sent = cast("dict[str, Any]", content)
    if unknown := sorted(set(sent) - set(parameters)):
        raise ValueError(f"there is no field {', '.join(unknown)}; there are {_described(parameters) or 'none'}")
    if missing := [name for name, one in parameters.items() if one.default is one.empty and name not in sent]:
        raise ValueError(f"the field {', '.join(missing)} is missing; there are {_described(parameters)}")
    return {name: _value(name, parameters[name].annotation, value, is_json) for name, value in sent.items()}


def _value(name: str, annotation: str, value: Any, is_json: bool) -> Any:  # noqa: FBT001 - of one caller
    kinds, described = _KINDS.get(annotation, _ANYTHING)
    if not is_json and annotation not in _TEXTS:
        try:
            value = _read_json(value)
        except ValueError:
            raise ValueError(f"{name} takes {described}, as JSON") from None
    if not isinstance(value, kinds) or (isinstance(value, bool) and int in kinds):  # a bool is an int in Python
        raise ValueError(f"{name} takes {described}")
    return value


def _read_json(text: str) -> Any:
    """Read JSON in which numbers are finite, unlike in Python's."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


def _described(parameters: Mapping[str, inspect.Parameter]) -> str:
    return ", ".join(
        f"{name} ({_KINDS.get(one.annotation, _ANYTHING)[1]}{', required' if one.default is one.empty else ''})"
        for name, one in parameters.items()
    )


def _overview(actions: Mapping[str, Callable[..., object]]) -> dict[str, str]:
    """Describe what there is, by method and path."""
    own = {f"GET {PREFIX}/calls": "the requests so far"}
    return own | {
        f"POST {PREFIX}/{name}": _described(inspect.signature(action).parameters) for name, action in actions.items()
    }


def _is_cross_site(request: Request) -> bool:
    """Tell whether a browser sends this on behalf of a page of another site."""
    origin = request.headers.get("Origin", "")
    site = request.headers.get("Sec-Fetch-Site", "none")
    return site not in {"none", "same-origin"} or (bool(origin) and f"{origin}/" != request.host_url)


def _json(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(f"{json.dumps(content)}\n", status, dict(headers or {}), content_type="application/json")


def _refuse(status: int, message: str, headers: Mapping[str, str] | None = None) -> NoReturn:
    abort(_json({"error": message}, status, headers))
