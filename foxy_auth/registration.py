"""
Register OAuth clients and create users, stores and integrations; each response brings a token for the next step.

Every address is found by following links from the API home.

Sources: the provider's pages "OAuth Client Creation" and "OAuth for Whitelabeled Integrations", and its pages about the
relations fx:create_client, fx:create_user, fx:stores and fx:integrations.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, get_type_hints

from foxy_auth._arguments import (
    check_api_version,
    check_callback,
    check_credential,
    check_seconds,
    is_redirect_uri,
    kind,
)
from foxy_auth._engine.concurrency import send_in_thread, twin
from foxy_auth._engine.delivery import deliver_token
from foxy_auth._libraries import HttpClient, installed_library
from foxy_auth._oauth.hal import absolute, link, read_resource, resource_request
from foxy_auth._oauth.messages import HttpResponse, authorization_header, clean, read_token
from foxy_auth._secrets import Secret, guarded, guarded_class
from foxy_auth._time import now
from foxy_auth._transport import check_client
from foxy_auth.auth import TIMEOUT, FoxyAuth, endpoint_of, settings_of
from foxy_auth.client import OAuthClient
from foxy_auth.environment import PRODUCTION, Environment, arguments_of, check_environment, environment_from
from foxy_auth.errors import RegistrationError, TokenUnavailableError
from foxy_auth.stores import TokenStore
from foxy_auth.token import Token, secrets_of

SUFFIX_LENGTH = 30
OK = 200
CREATED = 201

# Arguments of the functions that are not sent to the API, or not under this name.
NO_FIELDS = {"auth", "on_token", "environment", "api_version", "http", "timeout", "further"}

OnToken = Callable[[Token], object]


@dataclass(frozen=True, slots=True)
class Created:
    """
    A user or a store that was created.

    Keep `token.to_dict()`, or give *on_token*: `OAuthClient.auth` makes the auth object again.

    Attributes:
        token: Its token.

        auth: Its auth object, which calls `on_token`.

        url: Its address, if the API told it.
    """

    token: Token
    auth: FoxyAuth
    url: str | None


@guarded_class
@dataclass(frozen=True, slots=True)
class Registration:
    """
    A client or an integration that was created.

    Keep it at once, for it has the client's secret. This file is its owner's alone, and never half written:

    ```python
    import json, os
    from functools import partial

    with open("registration.new", "x", opener=partial(os.open, mode=0o600)) as draft:
        json.dump(registration.to_dict(), draft)
    os.replace("registration.new", "registration.json")
    ```

    Attributes:
        client: The new OAuth client, with its id and secret.

        token: Its token.

        auth: Its auth object, which calls `on_token`.

        url: Its address, if the API told it.
    """

    client: OAuthClient
    token: Token
    auth: FoxyAuth
    url: str | None

    def to_dict(self) -> dict[str, Any]:
        """
        Return what was created as JSON values, the client secret and the token among them; `from_dict` reads them.

        The token is the first one, whatever *auth* has got since then.
        """
        return {
            "client_id": self.client.client_id,
            "client_secret": self.client.client_secret,
            "redirect_uri": self.client.redirect_uri,
            "environment": arguments_of(self.client.environment),
            "api_version": self.client.api_version,
            "token": self.token.to_dict(),
            "url": self.url,
        }

    @classmethod
    def from_dict(
        cls,
        fields: Mapping[str, Any],
        *,
        on_token: OnToken | None = None,
        store: TokenStore | None = None,
        http: HttpClient | None = None,
        timeout: float = TIMEOUT,
    ) -> Self:
        """
        Read what `to_dict` wrote. Unknown fields are ignored.

        The first token is good for the first start. Its refresh token stays good, unless the provider replaces it:
        keep later tokens by *store* or *on_token*. Once *store* has a record, that counts.

        Args:
            fields: What `to_dict` wrote.

            on_token: As for `FoxyAuth`.

            store: As for `FoxyAuth`.

            http: A client for all requests, see `HttpClient`.

            timeout: As for `OAuthClient`.

        Raises:
            TypeError, ValueError: A field is missing or wrong; the message names the field, never its value.
        """
        _check_fields(fields)
        client = OAuthClient(
            fields["client_id"],
            fields["client_secret"],
            redirect_uri=fields.get("redirect_uri"),
            environment=environment_from(fields["environment"]),
            api_version=fields.get("api_version", "1"),
            http=http,
            timeout=timeout,
        )
        token = Token.from_dict(fields["token"])
        auth = FoxyAuth(**settings_of(client), token=token, on_token=on_token, store=store)
        return cls(client, token, auth, fields.get("url"))


def _check_fields(fields: Mapping[str, Any]) -> None:
    """Refuse what cannot be a kept registration; those who take the fields check their values."""
    if not isinstance(fields, Mapping):
        raise TypeError(f"Registration.from_dict takes a mapping, not {kind(fields)}")
    if missing := [name for name in ("client_id", "client_secret", "environment", "token") if name not in fields]:
        raise ValueError(f"Registration.from_dict needs the field {' and '.join(missing)}")
    if not isinstance(fields.get("url"), str | None):
        raise TypeError(f"url takes text, not {kind(fields['url'])}")


@guarded
def new_client_id(prefix: str) -> str:
    """
    Return *prefix* with 30 random letters and digits, as the client id for one installation of an integration.

    The provider's page recommends a common prefix, such as the company's name, "as a basic way to group them together".

    Raises:
        TypeError, ValueError: *prefix* has other characters than ASCII letters, digits, `-`, `_` and `.`.
    """
    from authlib.common.security import generate_token

    if not isinstance(prefix, str):
        raise TypeError(f"prefix takes text, not {kind(prefix)}")
    if not re.fullmatch("[A-Za-z0-9_.-]+", prefix):
        raise ValueError("prefix takes ASCII letters, digits, '-', '_' and '.', such as your company's name")
    return f"{prefix}{generate_token(SUFFIX_LENGTH)}"


@guarded
def register_client(
    *,
    redirect_uri: str,
    project_name: str,
    company_name: str,
    contact_name: str,
    contact_email: str,
    contact_phone: str,
    client_id: str | None = None,
    project_description: str | None = None,
    company_url: str | None = None,
    company_logo: str | None = None,
    javascript_origin_uri: str | None = None,
    on_token: OnToken | None = None,
    environment: Environment = PRODUCTION,
    api_version: str = "1",
    http: HttpClient | None = None,
    timeout: float = TIMEOUT,
) -> Registration:
    """
    Register an OAuth client (`fx:create_client`), which needs no token.

    Args:
        redirect_uri: Where users return after granting access; later requests must repeat it exactly.
        project_name: The integration's name.
        company_name: The integration's maker.
        contact_name: A person there.
        contact_email: That person's email address.
        contact_phone: That person's phone number.
        client_id: An id of your own, see `new_client_id`; by default the provider makes one. It cannot be changed.
        project_description: What the integration does.
        company_url: The company's website.
        company_logo: The address of the company's logo.
        javascript_origin_uri: The origin of an integration that runs in the browser.
        on_token: Called with the client's token (scope `client_full_access`) at once, and with each that replaces it.
        environment: Where Foxy is.
        api_version: Goes into the header `FOXY-API-VERSION`.
        http: A client for all requests, see `HttpClient`.
        timeout: Seconds for each wait on the network; each request takes three times as long at most.

    Raises:
        RegistrationError: The API refused, for example because the id is taken; `messages` lists why.

        TokenUnavailableError: The API gave no usable response. The client may exist nevertheless.
    """
    check_callback(on_token)
    check_environment(environment)
    check_api_version(api_version)
    check_client(http)
    check_seconds("timeout", timeout, least=0.001)
    if client_id is not None:
        check_credential("client_id", client_id)
    fields = _fields(register_client, locals())
    api = _Api(environment, api_version, http, timeout)
    response = api.create("fx:create_client", fields=fields)
    return _registration(api, response, on_token, redirect_uri=redirect_uri)


@guarded
def create_user(
    auth: FoxyAuth,
    *,
    first_name: str,
    last_name: str,
    email: str,
    phone: str | None = None,
    affiliate_id: int | None = None,
    is_programmer: bool | None = None,
    is_front_end_developer: bool | None = None,
    is_designer: bool | None = None,
    is_merchant: bool | None = None,
    captcha_code: str | None = None,
    on_token: OnToken | None = None,
) -> Created:
    """
    Create a Foxy user (`fx:create_user`).

    Args:
        auth: The client's own auth object (scope `client_full_access`).
        first_name: 50 characters at most.
        last_name: 50 characters at most.
        email: The user's login; 100 characters at most.
        phone: 50 characters at most.
        affiliate_id: Cannot be changed later.
        is_programmer: Whether the user is one.
        is_front_end_developer: Whether the user is one.
        is_designer: Whether the user is one.
        is_merchant: Whether the user is one.
        captcha_code: The header `h-captcha-code`, which the provider requires unless it has exempted you.
        on_token: Called with the user's token (scope `user_full_access`), and then with each that replaces it.

    Raises:
        RegistrationError: The API refused; `messages` lists why.

        FoxyAuthError: There is no token for the request, or the API gave no usable response.
    """
    fields = _fields(create_user, locals())
    captcha = fields.pop("captcha_code")
    headers = {"h-captcha-code": captcha} if captcha else None
    return _created(auth, _Api.of(auth, on_token).create("fx:create_user", fields=fields, headers=headers), on_token)


@guarded
def create_store(
    auth: FoxyAuth,
    *,
    store_name: str,
    store_domain: str,
    store_url: str,
    store_email: str,
    postal_code: str,
    region: str,
    country: str,
    on_token: OnToken | None = None,
    **further: object,
) -> Created:
    """
    Create a Foxy store (`fx:stores`).

    Args:
        auth: The auth object of the user that the store is for (scope `user_full_access`).
        store_name: 50 characters at most.
        store_domain: A subdomain of Foxy's domain, or a full domain together with `use_remote_domain`.
        store_url: The address of the shop's website.
        store_email: The sender of the store's emails.
        postal_code: The store's postal code.
        region: The store's region; its two-letter code where there is one.
        country: ISO 3166-1 alpha-2.
        on_token: Called with the store's token (scope `store_full_access`), and then with each that replaces it.
        further: Other fields of the API, such as `locale_code` or `timezone`.

    Raises:
        RegistrationError: The API refused; `messages` lists why.

        FoxyAuthError: There is no token for the request, or the API gave no usable response.
    """
    fields = {**_fields(create_store, locals()), **further}
    return _created(auth, _Api.of(auth, on_token).create("fx:stores", fields=fields), on_token)


@guarded
def create_integration(
    auth: FoxyAuth, *, project_name: str, project_description: str | None = None, on_token: OnToken | None = None
) -> Registration:
    """
    Create an integration of a store (`fx:integrations`): the same as "Get Token" in Foxy's admin.

    Args:
        auth: The store's auth object (scope `store_full_access`).

        project_name: The integration's name.

        project_description: What it does.

        on_token: Called with the integration's token, and then with each that replaces it.

    Raises:
        RegistrationError: The API refused; `messages` lists why.

        FoxyAuthError: There is no token for the request, or the API gave no usable response.
    """
    fields = _fields(create_integration, locals())
    api = _Api.of(auth, on_token)
    response = api.create("fx:store", "fx:integrations", fields=fields)
    return _registration(api, response, on_token, redirect_uri=None)


@twin(of=register_client)
def aregister_client() -> None:
    """Async version of `register_client`, on asyncio or trio."""


@twin(of=create_user)
def acreate_user() -> None:
    """Async version of `create_user`, on asyncio or trio."""


@twin(of=create_store)
def acreate_store() -> None:
    """Async version of `create_store`, on asyncio or trio."""


@twin(of=create_integration)
def acreate_integration() -> None:
    """Async version of `create_integration`, on asyncio or trio."""


def _fields(function: Callable[..., object], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return those *arguments* of *function* that are fields of what it creates.

    Raises:
        TypeError: One that takes text has another value.
    """
    types = get_type_hints(function)
    fields = {name: value for name, value in arguments.items() if name not in NO_FIELDS}
    for name, value in fields.items():
        if issubclass(str, types[name]) and not isinstance(value, types[name]):
            raise TypeError(f"{name} takes text, not {kind(value)}")
    return fields


def _created(auth: FoxyAuth, response: _CreateResponse, on_token: OnToken | None) -> Created:
    return Created(response.token, auth.for_token(response.token, on_token=on_token), response.url)


def _registration(
    api: _Api, response: _CreateResponse, on_token: OnToken | None, *, redirect_uri: str | None
) -> Registration:
    try:
        client_id, client_secret = _credentials(response.fields)
    except (TypeError, ValueError):
        # What follows may fail.
        deliver_token(response.token, on_token, timeout=api.timeout, environment=api.environment.api)
        client_id, client_secret = _find_credentials(api, response)
    client = OAuthClient(
        client_id,
        client_secret.reveal(),
        redirect_uri=redirect_uri if redirect_uri and is_redirect_uri(redirect_uri) else None,  # it may be several
        environment=api.environment,
        api_version=api.api_version,
        http=api.http,
        timeout=api.timeout,
    )
    return Registration(client, response.token, client.auth(response.token, on_token=on_token), response.url)


def _find_credentials(api: _Api, response: _CreateResponse) -> tuple[str, Secret]:
    """Read a new client's id and secret from its own resource; a recorded response to its creation had neither."""
    try:
        return _credentials(api.get("fx:client", token=response.token))
    except (TypeError, ValueError, RegistrationError, TokenUnavailableError) as error:
        message = (
            f"the API created {response.url or 'it'}, and its token went to on_token, if there is one; but its client "
            f"id and secret could not be read ({error}); look in Foxy's admin"
        )
        raise RegistrationError(message, status=CREATED) from None


def _credentials(fields: Mapping[str, Any]) -> tuple[str, Secret]:
    """Return the client id and secret; `TypeError` or `ValueError` if one of them is missing or cannot be sent."""
    for name in ("client_id", "client_secret"):
        check_credential(name, fields.get(name))
    return fields["client_id"], Secret(fields["client_secret"])


# --- requests --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _CreateResponse:
    """The resource that was created, its token and its address."""

    fields: Mapping[str, Any] = field(repr=False)
    token: Token
    url: str | None


@dataclass(frozen=True, slots=True)
class _Api:
    """Makes requests to the API, and finds addresses by their link relations."""

    environment: Environment
    api_version: str
    http: HttpClient | None = field(repr=False)
    timeout: float
    auth: FoxyAuth | None = None

    @classmethod
    def of(cls, auth: FoxyAuth, on_token: OnToken | None) -> _Api:
        """Return the API for requests with *auth*."""
        check_callback(on_token)
        if not isinstance(auth, FoxyAuth):
            raise TypeError(f"auth takes the FoxyAuth of whoever creates something, not {kind(auth)}")
        endpoint = endpoint_of(auth)
        return cls(auth.environment, endpoint.api_version, endpoint.http, endpoint.timeout, auth)

    def get(self, *relations: str, token: Token | None = None) -> Mapping[str, Any]:
        """Return the API home, or the resource to which *relations* lead from there; signed with *token*, if given."""
        resource = self._read(self._send(self.environment.api, token=token), token)
        for relation in relations:
            resource = self._read(self._send(self._linked(resource, relation), token=token), token)
        return resource

    def create(
        self, *relations: str, fields: Mapping[str, object], headers: Mapping[str, str] | None = None
    ) -> _CreateResponse:
        """POST *fields* to the address to which *relations* lead from the API home."""
        url = self._linked(self.get(*relations[:-1]), relations[-1])
        asked_at = now()
        response = self._send(url, {name: value for name, value in fields.items() if value is not None}, headers)
        created = self._read(response)
        location = response.headers.get("location")
        address = link(created, "self", base=url) or (absolute(location, base=url) if location else None)
        try:
            token = read_token(created.get("token") or created, asked_at=asked_at)  # an integration's is not nested
        except (KeyError, TypeError, ValueError, AttributeError):
            place = clean(address or "it", self._secrets(None))
            message = f"the API created {place}, but its response has no token to use; look in Foxy's admin"
            raise RegistrationError(message, status=CREATED) from None
        return _CreateResponse(created, replace(token, api=self.environment.api), address)

    def _linked(self, resource: Mapping[str, Any], relation: str) -> str:
        url = link(resource, relation, base=self.environment.api)
        if url is None:
            message = f"the API offers no link {relation} here; does the token have the right scope?"
            raise RegistrationError(message, status=OK)
        if not self.environment.covers(url):
            message = f"the API's link {relation} leads to another origin; nothing was sent there"
            raise RegistrationError(message, status=OK)
        return url

    def _send(
        self,
        url: str,
        fields: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        token: Token | None = None,
    ) -> HttpResponse:
        if token:
            headers = {"Authorization": authorization_header(token)}
        request = resource_request(url, api_version=self.api_version, fields=fields, headers=headers)
        return send_in_thread(
            request,
            through=self.http or installed_library(),
            timeout=self.timeout,
            auth=None if token else self.auth,
            hidden=lambda: self._secrets(token),
        )

    def _read(self, response: HttpResponse, token: Token | None = None) -> Mapping[str, Any]:
        return read_resource(response, hidden=self._secrets(token))

    def _secrets(self, token: Token | None) -> tuple[Secret, ...]:
        """Return what a request was signed with, which the API may repeat in an error."""
        token = token or (self.auth.token if self.auth else None)
        return secrets_of(token) if token else ()
