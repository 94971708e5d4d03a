"""OAuth and Foxy's API as values: no client library, no I/O, no clock."""

VERSION_HEADER = "FOXY-API-VERSION"
UNAUTHORIZED = 401

# The environment variables of the provider's own SDK, by the arguments that they give; and that of the API home.
VARIABLES = {
    "client_id": "FOXY_API_CLIENT_ID",
    "client_secret": "FOXY_API_CLIENT_SECRET",
    "refresh_token": "FOXY_API_REFRESH_TOKEN",
}
URL_VARIABLE = "FOXY_API_URL"
