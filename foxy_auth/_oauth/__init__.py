"""OAuth and Foxy's API as values: no client library, no I/O, no clock."""

VERSION_HEADER = "FOXY-API-VERSION"
UNAUTHORIZED = 401
