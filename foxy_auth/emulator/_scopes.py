"""The scopes that there are (the provider's pages on OAuth terms and on permissions)."""

from foxy_auth.emulator._records import CLIENT_SCOPE, STORE_SCOPE, USER_SCOPE

_READ_WRITE = [
    "carts",
    "clients",
    "coupons",
    "customers",
    "customer_portal_settings",
    "downloadables",
    "gift_cards",
    "integrations",
    "item_categories",
    "payment_settings",
    "reporting",
    "shipping_integrations",
    "shipping_settings",
    "stores",
    "subscriptions",
    "subscription_settings",
    "taxes",
    "templates",
    "transactions",
    "user_invitations",
    "users",
    "webhooks",
]
_RESEND = ("taxes", "transactions", "webhooks")

FULL_ACCESS = frozenset({CLIENT_SCOPE, USER_SCOPE, STORE_SCOPE})
GRANULAR = frozenset(
    [f"{collection}_{right}" for collection in _READ_WRITE for right in ("read", "write")]
    + [f"{collection}_resend" for collection in _RESEND]
)


def words(scope: str) -> frozenset[str]:
    """Split a scope; the order of its words means nothing (RFC 6749, section 3.3)."""
    return frozenset(scope.split())
