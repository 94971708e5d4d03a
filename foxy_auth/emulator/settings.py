"""Settings for behavior where providers differ, or where this provider's pages are silent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Pkce = Literal["ignored", "verified", "required"]
BodyShape = Literal["oauth", "empty", "html", "hal"]


@dataclass(slots=True, kw_only=True, eq=False)
class Settings:
    """
    Settings of the emulator; each may be changed at any time and applies from the next request on.

    Attributes:
        access_token_life: Lifetime in seconds of the access tokens issued from now on.

        refresh_token_life: Lifetime in seconds of the refresh tokens issued from now on; ten years by default
            (the provider's page on OAuth terms).

        code_life: Lifetime in seconds of the authorization codes issued from now on.

        rotate_refresh_tokens: Every refresh response has a new refresh token, and the old one is spent. Using a spent
            one is an `invalid_grant` and revokes all tokens of its grant (RFC 9700, section 4.14.2).

        omit_refresh_token: Refresh responses have no `refresh_token`; the old one stays valid.

        token_type: The `token_type` of token responses.

        token_fields: Overrides fields of token responses; the value `...` removes a field.

        refresh_revokes_access_tokens: A refresh revokes the earlier access tokens of the grant.

        unauthorized_body: The body of a 401 to an expired or unknown token.

        missing_token_body: The body of a 401 to a request without a token.

        unauthorized_header: Whether a 401 has a `WWW-Authenticate` header.

        require_version_at_token: Whether the token endpoint, too, requires `FOXY-API-VERSION`.

        json_at_token: Whether the token endpoint accepts a JSON object; otherwise JSON counts as an empty form.

        invalid_client_status: 400 as in the provider's library, or 401 (RFC 6749, section 5.2).

        strict_redirect_uri: Whether exchanging a code requires the client's registered `redirect_uri`, as the
            provider's page says, even if the authorization request had none.

        pkce: Of which the provider's pages do not speak (RFC 7636). `ignored`: as by a provider that does not know it.
            `verified`: a code is bound to the verifier if the authorization request had a challenge, as in newer
            versions of the provider's library. `required`: there must be one, with the method S256.

        granular_scopes: Whether the authorization endpoint accepts scopes such as `coupons_read`. They are granted as
            requested, but every resource here requires a full-access scope and refuses them with 403.

        hide_new_client: Whether the response to a client registration omits id and secret, as in 2016; they are then
            found by following `fx:client`.

        require_captcha: Whether creating a user requires the header `h-captcha-code`.

        grant_types: The grant types that clients may use; any other is an `unauthorized_client`.
    """

    access_token_life: float = 7200.0
    refresh_token_life: float = 315_360_000.0
    code_life: float = 30.0
    rotate_refresh_tokens: bool = False
    omit_refresh_token: bool = False
    token_type: str = "Bearer"  # noqa: S105 - the name of a scheme
    token_fields: Mapping[str, Any] = field(default_factory=dict[str, Any])
    refresh_revokes_access_tokens: bool = False
    unauthorized_body: BodyShape = "oauth"
    missing_token_body: BodyShape = "empty"  # noqa: S105 - a shape
    unauthorized_header: bool = True
    require_version_at_token: bool = False
    json_at_token: bool = False
    invalid_client_status: int = 400
    strict_redirect_uri: bool = False
    pkce: Pkce = "ignored"
    granular_scopes: bool = False
    hide_new_client: bool = False
    require_captcha: bool = False
    grant_types: Collection[str] = ("authorization_code", "refresh_token", "client_credentials")
