"""`foxy-auth request`: one request to the API, as `gh api` makes them to another."""
