"""Run the command line with `python -m foxy_auth`."""

import sys

from foxy_auth.cli import main

if __name__ == "__main__":
    sys.exit(main())
