"""Where the API home says that tokens are issued."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from foxy_auth._arguments import check_seconds
from foxy_auth._engine.concurrency import twin
from foxy_auth._oauth.messages import absolute, link, read_resource, resource_request
from foxy_auth._transport import check_client, installed_library, send
from foxy_auth.environment import Environment, Origin
from foxy_auth.errors import RegistrationError, TokenUnavailableError


def discover(environment: Environment, *, http: object | None, timeout: float) -> Environment:
    """
    Return *environment* with the token endpoint that its API home names; see `Environment.discover`.

    The link must stay within the environment's own origins, for it decides where the client secret is sent.
    """
    check_seconds("timeout", timeout, least=0.001)
    check_client(http)
    request = resource_request(environment.api, api_version="1")
    try:
        home = read_resource(send(request, through=http or installed_library(), timeout=timeout))
    except RegistrationError as error:
        raise TokenUnavailableError(f"{environment.api} is no API home: {error}") from None
    found = link(home, "fx:token")
    if found is None:
        raise TokenUnavailableError(f"{environment.api} is no API home: it has no link fx:token; check the address")
    endpoint = absolute(found, base=environment.api)
    if Origin.of(endpoint) not in environment.origins or "@" in urlsplit(endpoint).netloc:
        raise TokenUnavailableError(
            f"{environment.api} links to a token endpoint elsewhere; secrets are not sent there"
        )
    return replace(environment, token_endpoint=endpoint)


adiscover = twin(discover)
