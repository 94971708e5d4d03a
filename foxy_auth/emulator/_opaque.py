"""Make values that mean nothing, in the shapes that the provider's have."""

import secrets
from string import ascii_letters, digits

_ALPHANUMERICS = ascii_letters + digits


def new_code() -> str:
    """Make an authorization code: 40 hexadecimal digits, as in the provider's sample."""
    return secrets.token_hex(20)


def new_access_token() -> str:
    """Make an access token: 40 hexadecimal digits."""
    return secrets.token_hex(20)


def new_refresh_token() -> str:
    """Make a refresh token: 40 letters and digits."""
    return alphanumerics(40)


def new_client_id() -> str:
    """Make the id of a client that chose none: `client_` and 20 letters and digits."""
    return f"client_{alphanumerics(20)}"


def new_client_secret() -> str:
    """Make a client's secret: 40 letters and digits."""
    return alphanumerics(40)


def alphanumerics(length: int) -> str:
    """Make *length* unguessable letters and digits."""
    return "".join(secrets.choice(_ALPHANUMERICS) for _ in range(length))
