"""
Registering: OAuth clients, users, stores and integrations, each of whose answers carries the next token.

Every address is found by following links from the API home, none is built by hand.

Sources: the provider's pages "OAuth Client Creation" and "OAuth for Whitelabeled Integrations", and its pages about the
relations fx:create_client, fx:create_user, fx:stores and fx:integrations.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from foxy_auth._arguments import (
    check_api_version,
    check_callback,
    check_credential,
    check_seconds,
    is_redirect_uri,
    kind,
)
from foxy_auth._engine.concurrency import twin
from foxy_auth._oauth.messages import HttpResponse, absolute, bearer, link, read_resource, read_token, resource_request
from foxy_auth._transport import check_client, installed_library, send
from foxy_auth.auth import TIMEOUT, FoxyAuth, hand_over
from foxy_auth.client import OAuthClient
from foxy_auth.environment import PRODUCTION, Environment, check_environment
from foxy_auth.errors import RegistrationError, TokenUnavailableError
from foxy_auth.token import Token

SUFFIX_LENGTH = 30
OK = 200
CREATED = 201

OnToken = Callable[[Token], object]


@dataclass(frozen=True, slots=True)
class Created:
    """
    What a user or a store that was created brought.

    Attributes:
        token: The token for it.

        auth: The auth object for it; `on_token` is its callback.

        url: Its address, worth keeping.
    """

    token: Token
    auth: FoxyAuth
    url: str | None


@dataclass(frozen=True, slots=True)
class Registration:
    """
    What a client or an integration that was created brought.

    Attributes:
        client: The new OAuth client; its id and secret are shown here only, so keep them.

        token: The token for it.

        auth: The auth object for it; `on_token` is its callback.

        url: Its address, worth keeping.
    """

    client: OAuthClient
    token: Token
    auth: FoxyAuth
    url: str | None


def new_client_id(prefix: str) -> str:
    """
    Return a client id for one installation of a distributed integration: *prefix* and 30 random letters and digits.

    The provider's page recommends a common prefix, such as the company's name, "as a basic way to group them together".

    Raises:
        TypeError, ValueError: *prefix* is not made of ASCII letters, digits, `-`, `_` and `.`.
    """
    from authlib.common.security import generate_token

    if not isinstance(prefix, str):
        raise TypeError(f"prefix takes text, not {kind(prefix)}")
    if not prefix.isascii() or not prefix.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise ValueError("prefix takes ASCII letters, digits, '-', '_' and '.', such as your company's name")
    return f"{prefix}{generate_token(SUFFIX_LENGTH)}"


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
    http: object | None = None,
    timeout: float = TIMEOUT,
) -> Registration:
    """
    Register an OAuth client (`fx:create_client`), which needs no token.

    Args:
        redirect_uri: Where users come back to after they have granted access; compared to the letter later.

        project_name: The integration's name.

        company_name: Who makes it.

        contact_name: A person there.

        contact_email: That person's address.

        contact_phone: That person's number.

        client_id: An id of your own, see `new_client_id`; by default the provider makes one. It can never be changed.

        project_description: What the integration does.

        company_url: The company's page.

        company_logo: The address of the company's logo, which users may be shown.

        javascript_origin_uri: The origin of an integration in the browser.

        on_token: Called with the client's token (scope `client_full_access`) before anything else is done with it, and
            then with each that replaces it.

        environment: Where Foxy is.

        api_version: Goes into the header `FOXY-API-VERSION`.

        http: A `requests.Session`, `httpx.Client`, `httpx2.Client` or `niquests.Session` for all calls.

        timeout: Seconds for each wait on the network; each of the calls takes three times as long at most.

    Raises:
        RegistrationError: The API refuses, say because the id is taken or a field is missing; it lists each fault.

        TokenUnavailableError: The API gave no usable answer. Whether the client exists is not known.
    """
    check_callback(on_token)
    if client_id is not None:
        check_credential("client_id", client_id)  # now, for the secret would be lost with a client that is of no use
    required = {
        "redirect_uri": redirect_uri,
        "project_name": project_name,
        "company_name": company_name,
        "contact_name": contact_name,
        "contact_email": contact_email,
        "contact_phone": contact_phone,
    }
    optional = {
        "client_id": client_id,
        "project_description": project_description,
        "company_url": company_url,
        "company_logo": company_logo,
        "javascript_origin_uri": javascript_origin_uri,
    }
    fields = _texts(required, optional)
    api = _Api(environment, api_version, http, timeout)
    answer = api.create(api.home(), "fx:create_client", fields)
    return _registration(answer, answer.nested_token(), api, redirect_uri=redirect_uri, on_token=on_token)


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

        affiliate_id: Can be given at creation only.

        is_programmer: What the user does.

        is_front_end_developer: What the user does.

        is_designer: What the user does.

        is_merchant: What the user does.

        captcha_code: Goes into the header `h-captcha-code`, which the provider demands of those it has not exempted.

        on_token: Called with the user's token (scope `user_full_access`), and then with each that replaces it.

    Raises:
        RegistrationError: The API refuses; it lists each fault.

        FoxyAuthError: There is no token to sign the call with, or the API gave no usable answer.
    """
    required = {"first_name": first_name, "last_name": last_name, "email": email}
    texts = _texts(required, {"phone": phone, "captcha_code": captcha_code})
    captcha_code = texts.pop("captcha_code", None)
    fields = {
        **texts,
        "affiliate_id": affiliate_id,
        "is_programmer": is_programmer,
        "is_front_end_developer": is_front_end_developer,
        "is_designer": is_designer,
        "is_merchant": is_merchant,
    }
    headers = {"h-captcha-code": captcha_code} if captcha_code else {}
    api = _Api.of(auth, on_token)
    answer = api.create(api.home(), "fx:create_user", fields, headers)
    return _created(auth, answer, on_token)


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

        store_domain: A label of Foxy's domain, or a full domain together with `use_remote_domain`.

        store_url: The address of the shop's own site.

        store_email: Where the store's mail comes from.

        postal_code: The store's postal code.

        region: The store's region, of two letters where the country has such codes.

        country: ISO 3166-1 alpha-2.

        on_token: Called with the store's token (scope `store_full_access`), and then with each that replaces it.

        further: Further fields of the provider's, such as `locale_code` or `timezone`.

    Raises:
        RegistrationError: The API refuses; it lists each fault.

        FoxyAuthError: There is no token to sign the call with, or the API gave no usable answer.
    """
    required = {
        "store_name": store_name,
        "store_domain": store_domain,
        "store_url": store_url,
        "store_email": store_email,
        "postal_code": postal_code,
        "region": region,
        "country": country,
    }
    fields = {**_texts(required, {}), **further}
    api = _Api.of(auth, on_token)
    answer = api.create(api.home(), "fx:stores", fields)
    return _created(auth, answer, on_token)


def create_integration(
    auth: FoxyAuth, *, project_name: str, project_description: str | None = None, on_token: OnToken | None = None
) -> Registration:
    """
    Create an integration of a store (`fx:integrations`): what "Get Token" does in Foxy's admin.

    Args:
        auth: The store's auth object (scope `store_full_access`).

        project_name: The integration's name.

        project_description: What it does.

        on_token: Called with the integration's token, and then with each that replaces it.

    Raises:
        RegistrationError: The API refuses; it lists each fault.

        FoxyAuthError: There is no token to sign the call with, or the API gave no usable answer.
    """
    api = _Api.of(auth, on_token)
    fields = _texts({"project_name": project_name}, {"project_description": project_description})
    store = api.follow(api.home(), "fx:store")
    answer = api.create(store, "fx:integrations", fields)
    return _registration(answer, answer.token(answer.fields), api, redirect_uri=None, on_token=on_token)


aregister_client = twin(register_client)
acreate_user = twin(create_user)
acreate_store = twin(create_store)
acreate_integration = twin(create_integration)


def _texts(required: Mapping[str, object], optional: Mapping[str, object]) -> dict[str, Any]:
    """Return the fields that are given, and refuse what is no text: told later, it would lose what was created."""
    given = {**required, **{name: value for name, value in optional.items() if value is not None}}
    for name, value in given.items():
        if not isinstance(value, str):
            raise TypeError(f"{name} takes text, not {kind(value)}")
    return given


# --- the conversation ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer to a creation, the address of what was created, and the moment before it was asked for."""

    fields: Mapping[str, Any] = field(repr=False)
    url: str | None
    asked_at: float

    def nested_token(self) -> Token:
        return self.token(self.fields.get("token"))

    def token(self, fields: Any) -> Token:
        try:
            return read_token(fields, asked_at=self.asked_at)
        except (KeyError, TypeError, ValueError, AttributeError):
            message = f"the API has created {self.url or 'it'}, but its answer has no token; look in Foxy's admin"
            raise RegistrationError(message, status=CREATED) from None


@dataclass(frozen=True, slots=True)
class _Api:
    """The API as its home shows it: follows links by their relations, and creates by them."""

    environment: Environment
    api_version: str
    http: object | None = field(repr=False)
    timeout: float
    auth: object | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)

    def __post_init__(self) -> None:
        check_environment(self.environment)
        check_api_version(self.api_version)
        check_seconds("timeout", self.timeout, least=0.001)
        check_client(self.http)

    @classmethod
    def of(cls, auth: FoxyAuth, on_token: OnToken | None) -> _Api:
        """Return the API for requests that *auth* signs."""
        check_callback(on_token)
        if not isinstance(auth, FoxyAuth):
            raise TypeError(f"auth takes the FoxyAuth of whoever creates something, not {kind(auth)}")
        exchange, timeout = auth._exchange, auth._timeout  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]
        return cls(exchange.environment, exchange.api_version, exchange.http, timeout, auth)

    def signed(self, token: Token) -> _Api:
        """Return the API for requests that *token* signs, where there is no auth object yet."""
        return replace(self, headers={"Authorization": bearer(token)})

    def home(self) -> Mapping[str, Any]:
        return read_resource(self._send(self.environment.api))

    def follow(self, resource: Mapping[str, Any], relation: str) -> Mapping[str, Any]:
        return read_resource(self._send(self._target(resource, relation)))

    def create(
        self,
        resource: Mapping[str, Any],
        relation: str,
        fields: Mapping[str, object],
        headers: Mapping[str, str] | None = None,
    ) -> _Answer:
        target = self._target(resource, relation)
        given = {name: value for name, value in fields.items() if value is not None}
        asked_at = time.time()
        reply = self._send(target, given, headers)
        created = read_resource(reply)
        address = link(created, "self") or reply.headers.get("location")
        return _Answer(created, absolute(address, base=target) if address else None, asked_at)

    def _target(self, resource: Mapping[str, Any], relation: str) -> str:
        found = link(resource, relation)
        if found is None:
            message = f"the API offers no link {relation} here; is the token of the right scope?"
            raise RegistrationError(message, status=OK)
        target = absolute(found, base=self.environment.api)
        if not self.environment.covers(target):
            raise RegistrationError(f"the API's link {relation} leads elsewhere; nothing was sent there", status=OK)
        return target

    def _send(
        self, url: str, fields: Mapping[str, object] | None = None, headers: Mapping[str, str] | None = None
    ) -> HttpResponse:
        request = resource_request(
            url, api_version=self.api_version, fields=fields, headers={**self.headers, **(headers or {})}
        )
        through = self.http or installed_library()
        return send(request, through=through, timeout=self.timeout, auth=self.auth)


def _created(auth: FoxyAuth, answer: _Answer, on_token: OnToken | None) -> Created:
    token = answer.nested_token()
    return Created(token, auth.for_token(token, on_token=on_token), answer.url)


def _registration(
    answer: _Answer, token: Token, api: _Api, *, redirect_uri: str | None, on_token: OnToken | None
) -> Registration:
    credentials = _credentials(answer.fields)
    if credentials is None:
        # They stand in the client's own resource, too. Until they are here, the token is not to be lost.
        hand_over(token, on_token, timeout=api.timeout)
        credentials = _looked_up(answer, api.signed(token))
    client = OAuthClient(
        *credentials,
        redirect_uri=redirect_uri if redirect_uri and is_redirect_uri(redirect_uri) else None,  # several are none
        environment=api.environment,
        api_version=api.api_version,
        http=api.http,
        timeout=api.timeout,
    )
    return Registration(client, token, client.auth(token, on_token=on_token), answer.url)


def _looked_up(answer: _Answer, api: _Api) -> tuple[str, str]:
    """Find a new client's id and secret in its own resource."""
    reason = "only printable ASCII can be sent, and an id without a colon"
    try:
        credentials = _credentials(api.follow(api.home(), "fx:client"))
    except (RegistrationError, TokenUnavailableError) as error:
        credentials, reason = None, str(error)
    if credentials is None:
        message = (
            f"the API has created {answer.url or 'it'}, and its token went to on_token, if there is one; but it tells "
            f"no client id and secret of use ({reason}), so look in Foxy's admin"
        )
        raise RegistrationError(message, status=CREATED)
    return credentials


def _credentials(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """Read a client's id and secret, if both are there and of use."""
    try:
        client_id, client_secret = fields["client_id"], fields["client_secret"]
        check_credential("client_id", client_id)
        check_credential("client_secret", client_secret)
    except (KeyError, TypeError, ValueError):
        return None
    return client_id, client_secret
