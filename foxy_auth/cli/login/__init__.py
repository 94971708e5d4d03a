"""`foxy-auth login`: get a token by the authorization code flow, with a browser."""
