"""`python -m foxy_auth`: the command line."""

import sys

from foxy_auth.cli import main

if __name__ == "__main__":
    sys.exit(main())
