"""
Compare `foxy_auth` with its peers: `python tests/benchmarks --svg benchmarks.svg`.

`--help` lists the options. The peers come with the extra `bench`; those that are not installed are left out.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

# The folder of the tests instead of this one, so that these files are the package `benchmarks`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module("benchmarks.command", run_name="__main__")
