"""
Fuzz the readers of what comes from outside: `python tests/fuzzing --seconds 60`.

`--help` lists the options. Coverage guides it where atheris is installed, which it needs not be.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

# The folder of the tests instead of this one, so that these files are the package `fuzzing`.
sys.path[0] = str(Path(__file__).resolve().parent.parent)
runpy.run_module("fuzzing.command", run_name="__main__")
