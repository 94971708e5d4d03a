"""`foxy-auth request`: its options."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

import click

from foxy_auth.cli.command_help import OF_TOKENS, epilog
from foxy_auth.cli.exit_status import ExitStatus
from foxy_auth.cli.fields import read_fields, read_headers, with_query
from foxy_auth.cli.settings import Settings, usage_errors, with_settings

if TYPE_CHECKING:
    from foxy_auth import FoxyAuth

METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
BODILESS = ("GET", "HEAD", "OPTIONS")
EXAMPLES = (
    "foxy-auth request fx:store",
    "foxy-auth request fx:store/fx:transactions -f limit=5",
    "foxy-auth request /stores/1 fx:customers --paginate",
    "foxy-auth request PATCH fx:store -f store_name=Tea",
    "foxy-auth request POST fx:store/fx:coupons --input -",
)


class _Input(click.File):
    """A file, or the standard input, which may be closed."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Open what *value* names."""
        try:
            return super().convert(value, param, ctx)
        except RuntimeError:
            self.fail("there is no standard input.", param, ctx)


def _instead(remedy: str, *options: str) -> Callable[[Any], Any]:
    """Say what to do in place of *options*, which users of curl and gh know."""

    def refuse(_: click.Context, __: click.Parameter, value: str | None) -> None:
        if value is not None:
            raise click.UsageError(f"There is no option {' or '.join(options)}: {remedy}.")

    return click.option(*options, hidden=True, expose_value=False, callback=refuse)


@click.command(epilog=epilog(*EXAMPLES, also=[*OF_TOKENS, ExitStatus.API_ERROR]))
@click.argument("words", nargs=-1, required=True, metavar="[METHOD] TARGET...")
@click.option(
    "--field",
    "-f",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    callback=read_fields,
    help="A field of the JSON body; with GET, of the query. VALUE is text; NAME:=JSON is a number, true, null, a list "
    "or an object. Repeatable.",
)
@click.option(
    "--input", "file", type=_Input("rb"), metavar="FILE", help="The file to send as the body; - is standard input."
)
@click.option(
    "--header",
    "-H",
    "headers",
    multiple=True,
    metavar="'NAME: VALUE'",
    callback=read_headers,
    help="A header of the request. Repeatable.",
)
@_instead("name METHOD before the target, such as POST fx:stores", "-X", "--method")
@_instead("for a number, true, null, a list or an object write --field NAME:=JSON", "-F", "--raw-field")
@_instead("pipe the output to jq", "--jq")
@click.option("--include", "-i", is_flag=True, help="Print the status line and the headers of the response too.")
@click.option("--paginate", is_flag=True, help="Follow the links next, and print the items of all pages as one array.")
@click.option("--quiet", "-q", is_flag=True, help="Do not print the body; errors and the exit status tell the rest.")
@with_settings
def request(
    settings: Settings,
    *,
    words: tuple[str, ...],
    fields: dict[str, Any],
    file: IO[bytes] | None,
    headers: dict[str, str],
    include: bool,
    paginate: bool,
    quiet: bool,
) -> None:
    """
    Make a signed request to the API.

    METHOD is GET if it is left out, so nothing changes unless you say so.

    TARGET is a path (/stores/1), an address of this environment, or link relations from the API home
    (fx:store/fx:transactions, also as several words). Relations can follow a path, and a query the last of them
    (fx:store/fx:transactions?limit=5).

    The response is printed as it is, or, on a terminal, as indented JSON. If it is an error, its messages go to
    standard error too.
    """
    method, target = _method(words)
    if method in BODILESS and file:
        raise click.UsageError(f"{method} sends no body: name another METHOD, such as POST, before the target.")
    if fields and file:
        raise click.UsageError("Choose --field or --input.")
    if paginate and (method != "GET" or include):
        raise click.UsageError("--paginate is for GET, and without --include.")
    with usage_errors(), settings.auth() as auth:
        from foxy_auth.cli.request.output import print_items
        from foxy_auth.cli.request.target import HEADERS, find_target, items, pages

        url = find_target(auth, target)
        if method in BODILESS:
            url, fields = with_query(url, fields), {}
        sent = _merged({**HEADERS, **({"Content-Type": "application/json"} if fields or file else {})}, headers)
        if paginate:
            found = (item for page in pages(auth, url, sent) for item in items(page))
            print_items(found) if not quiet else [*found]
        else:
            shows_head = include or method == "HEAD"
            _exchange(auth, method, url, sent, _body(fields, file), shows_head=shows_head, shows_body=not quiet)


def _method(words: tuple[str, ...]) -> tuple[str, tuple[str, ...]]:
    if words[0].upper() not in METHODS:
        return "GET", words
    if len(words) == 1:
        raise click.UsageError("Missing TARGET, such as / for the API home, fx:store, or /stores/1.")
    return words[0].upper(), words[1:]


def _body(fields: dict[str, Any], file: IO[bytes] | None) -> bytes | IO[bytes] | None:
    if file is None:
        return json.dumps(fields).encode() if fields else None
    return file if file.seekable() else file.read()  # what is in memory can be sent again after a 401


def _merged(defaults: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """Return the headers with *own* in place of *defaults* of the same name, in whatever case."""
    names = {name.lower() for name in own}
    return {**{name: value for name, value in defaults.items() if name.lower() not in names}, **own}


def _exchange(
    auth: FoxyAuth,
    method: str,
    url: str,
    headers: dict[str, str],
    body: bytes | IO[bytes] | None,
    *,
    shows_head: bool,
    shows_body: bool,
) -> None:
    """Make the request, print the response, and raise the error that it is, if it is one."""
    from foxy_auth.cli.request.exchange import error_of, exchange
    from foxy_auth.cli.request.output import print_body, print_head

    with exchange(auth, method, url, headers=headers, body=body) as response:
        if shows_head:
            print_head(response)
        chunks = response.chunks if response.is_success else [*response.chunks]
        if shows_body:
            print_body(response, chunks)
        if not response.is_success:
            raise error_of(response, b"".join(chunks), auth)
