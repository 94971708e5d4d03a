"""The login: a token by the authorization code flow, for a person at a browser."""

from foxy_auth.cli.login._command import login

__all__ = ["login"]
