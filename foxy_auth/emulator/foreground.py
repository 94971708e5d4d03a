"""Run the emulator in the foreground, for programs in any language."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import suppress
from secrets import token_urlsafe

from foxy_auth.emulator.emulator import Emulator

CONTROL_VARIABLE = "FOXY_EMULATOR_TOKEN"
_HINT = """\
Foxy listens at {url} until you press Ctrl-C.
The export lines are for the shell in which your program runs. From there you can break Foxy, too:
  curl -X POST -H "Authorization: Bearer ${variable}" $FOXY_API_URL/_emulator/revoke
"""


def serve(
    *, port: int = 0, redirect_uri: str = "", rotate: bool = False, access_token_lifetime: float = 7200.0
) -> None:
    """
    Serve until Ctrl-C; print what a shell needs to use it on standard output, and a hint on standard error.

    Args:
        port: As for `Emulator`.

        redirect_uri: That of the registered client, if it is to have another one.

        rotate: Whether refresh tokens are rotated.

        access_token_lifetime: Seconds.

    Raises:
        OSError: The port cannot be listened on.
    """
    control_token = token_urlsafe(24)
    foxy = Emulator(port=port, access_token_life=access_token_lifetime, control_token=control_token)
    foxy.rotate_refresh_tokens = rotate
    foxy.redirect_uri = redirect_uri or foxy.redirect_uri
    with suppress(KeyboardInterrupt), foxy:
        variables = {CONTROL_VARIABLE: control_token, **foxy.variables()}
        sys.stdout.write("".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()))
        sys.stdout.flush()
        sys.stderr.write(_HINT.format(url=foxy.url, variable=CONTROL_VARIABLE))
        sys.stderr.flush()
        while True:
            time.sleep(3600)  # Ctrl-C ends it, on every system
