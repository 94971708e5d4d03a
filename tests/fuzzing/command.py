"""The command: fuzz each reader in a process of its own, and show how often it ran."""

from __future__ import annotations

import re
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE, STDOUT
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from fuzzing.inputs import TOKENS, inputs

MAIN = Path(__file__).with_name("__main__.py")
NAMES = (
    "token",
    "outage",
    "401",
    "hal",
    "callback",
    "session",
    "pasted-line",
    "redirect-uri",
    "record",
    "encrypted-record",
    "environment",
    "origin",
)
LONGEST_INPUT = 4096  # bytes; long inputs are for test_readers.py
INPUT_TIMEOUT = 5  # seconds that a reader may take for one
MOST_MEMORY = 512  # MiB of its process, the instrumented package included


def main() -> None:
    """Fuzz the readers one after the other, or one in this process."""
    options = _options()
    if options.one:
        _fuzz(options.one, options.seconds)
        return
    failed = [name for name in options.only or NAMES if not _fuzz_in_process(name, options.seconds)]
    sys.exit(f"found something in: {', '.join(failed)}" if failed else 0)


def _options() -> Namespace:
    parser = ArgumentParser(prog="python tests/fuzzing", description="Fuzz the readers of what comes from outside.")
    parser.add_argument("--seconds", type=int, default=60, help="how long to fuzz each reader (default: 60)")
    parser.add_argument("--only", action="append", choices=NAMES, help="fuzz this; may be given several times")
    parser.add_argument("--one", choices=NAMES, help="fuzz this in this process, as the fuzzer's own program")
    return parser.parse_args()


def _fuzz_in_process(name: str, seconds: int) -> bool:
    """Fuzz a reader, print a line about it, and return whether nothing was found."""
    command = [sys.executable, str(MAIN), "--one", name, "--seconds", str(seconds)]
    ended = subprocess.run(command, stdout=PIPE, stderr=STDOUT, text=True, errors="replace", check=False)
    runs = re.findall(r"number_of_executed_units:\s*(\d+)", ended.stdout) or ["?"]
    reached = re.findall(r"cov: (\d+)", ended.stdout) or ["?"]
    verdict = "FOUND SOMETHING" if ended.returncode else "nothing found"
    sys.stdout.write(f"{name:18} {runs[-1]:>10} inputs, {reached[-1]:>4} edges reached: {verdict}\n")
    if ended.returncode:
        progress = re.compile(r"^(#\d|INFO|WARNING).*\n", re.MULTILINE)
        sys.stdout.write(progress.sub("", ended.stdout))
    sys.stdout.flush()
    return not ended.returncode


def _fuzz(name: str, seconds: int) -> None:
    if find_spec("atheris"):
        _fuzz_by_coverage(name, seconds)
    else:
        _fuzz_by_time(name, seconds)


def _fuzz_by_coverage(name: str, seconds: int) -> None:
    atheris: Any = import_module("atheris")
    with atheris.instrument_imports(include=["foxy_auth"]):
        reader = import_module("fuzzing.readers").READERS[name]
    with TemporaryDirectory() as folder:
        corpus, dictionary = Path(folder, "corpus"), Path(folder, "dictionary")
        corpus.mkdir()
        for number, seed in enumerate(reader.seeds):
            (corpus / str(number)).write_bytes(seed)
        words = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
        dictionary.write_text("".join(f'"{word}"\n' for word in words), encoding="ascii")
        arguments = {
            "max_total_time": seconds,
            "max_len": LONGEST_INPUT,
            "timeout": INPUT_TIMEOUT,
            "rss_limit_mb": MOST_MEMORY,
            "dict": dictionary,
            "artifact_prefix": f"{folder}/",
            "print_final_stats": 1,
        }
        given = [f"-{argument}={value}" for argument, value in arguments.items()]
        atheris.Setup([name, *given, str(corpus)], reader.read)
        atheris.Fuzz()


def _fuzz_by_time(name: str, seconds: int) -> None:
    """Fuzz without coverage, towards the inputs that take longest."""
    from fuzzing.readers import READERS
    from hypothesis import HealthCheck, given, settings, target

    reader = READERS[name]
    runs = 0

    @settings(max_examples=2_000, deadline=INPUT_TIMEOUT * 1000, database=None, suppress_health_check=list(HealthCheck))
    @given(inputs(reader))
    def read(data: bytes) -> None:
        nonlocal runs
        runs += 1
        begun = monotonic()
        reader.read(data)
        target(monotonic() - begun)

    end = monotonic() + seconds
    while monotonic() < end:
        read()
    sys.stderr.write(f"number_of_executed_units: {runs}\n")


if __name__ == "__main__":
    main()
