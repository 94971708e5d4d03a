"""
Keep many programs at work under faults, and see whether the promises hold: `python tests/soak --minutes 30`.

`--help` lists the options. It needs the extra `test` and a `redis-server`, and exits with 1 if a promise is broken.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

# The folder of the tests instead of this one, so that these files are the package `soak`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module("soak.command", run_name="__main__")
