"""`foxy-auth demo`: show how tokens are handled, against the emulator."""
