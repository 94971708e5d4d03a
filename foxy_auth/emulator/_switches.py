"""The switches: how the server behaves where providers differ, or where this provider's pages are silent."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

BodyShape = Literal["oauth", "empty", "html", "hal"]


@dataclass(slots=True, kw_only=True, eq=False)
class Switches:
    """
    Hold the switches; each may be set at any time and counts from the next request on.

    Attributes:
        access_token_life: Seconds that the access tokens issued from now on live.

        refresh_token_life: Seconds that the refresh tokens issued from now on live: ten years, says the provider's page
            on OAuth terms.

        code_life: Seconds that the authorization codes issued from now on are good.

        rotate_refresh_tokens: Every refresh answer brings a new refresh token and the old one is spent; whoever uses a
            spent one is told `invalid_grant`, and all tokens of the grant are revoked (RFC 9700, section 4.14.2).

        omit_refresh_token: Refresh answers come without `refresh_token`; the old one stays good.

        token_type: As token answers spell it.

        token_fields: Laid over the fields of token answers; `...` as a value removes the field.

        refresh_revokes_access_tokens: A refresh ends the grant's earlier access tokens.

        unauthorized_body: What the body of a 401 to an expired or unknown token looks like.

        missing_token_body: What the body of a 401 to a request without a token looks like.

        unauthorized_header: Whether a 401 has a `WWW-Authenticate` header.

        require_version_at_token: Whether the token endpoint too insists on `FOXY-API-VERSION`.

        json_at_token: Whether the token endpoint reads a JSON object too; otherwise it counts as no form at all.

        invalid_client_status: 400 as the provider's library has it, or 401 (RFC 6749, section 5.2).

        strict_redirect_uri: Whether a code is exchanged only with the client's registered `redirect_uri`, as the
            provider's page has it, even if the authorization request named none.

        granular_scopes: Whether the authorization endpoint knows scopes such as `coupons_read`. They are granted as
            asked for; what is served here wants one of the three full scopes, and refuses these with 403.

        hide_new_client: Whether the answer to a registration leaves id and secret out, as it did in 2016; they are then
            found by following `fx:client`.

        require_captcha: Whether creating a user needs the header `h-captcha-code`.

        grant_types: The grant types that clients may use; another one is answered `unauthorized_client`.
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
    granular_scopes: bool = False
    hide_new_client: bool = False
    require_captcha: bool = False
    grant_types: Collection[str] = ("authorization_code", "refresh_token", "client_credentials")
