"""Where gpuview's log goes; each in a process of its own, as logging is one for all."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str, *, level: str = "debug") -> list[str]:
    """Run ``code`` after `log_to_stderr`; return what stands on stderr."""
    setup = "import logging; from gpuview.log import log_to_stderr;"
    command = [sys.executable, "-c", setup + code.replace("LEVEL", repr(level))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stderr.splitlines()


LOG_ALL = """
for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
    logging.getLogger("gpuview.media").log(level, "hello")
"""


@pytest.mark.parametrize(
    ("level", "n_lines"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)]
)
def test_records_from_the_level_on_are_shown_once(level: str, n_lines: int) -> None:
    lines = run(f"log_to_stderr(LEVEL); log_to_stderr(LEVEL);{LOG_ALL}", level=level)
    assert len(lines) == n_lines
    assert lines[-1].endswith("ERROR gpuview.media: hello")


def test_the_log_of_others_is_let_be() -> None:
    assert run("log_to_stderr(LEVEL); logging.getLogger('other').info('hello')") == []


def test_a_program_with_a_log_of_its_own_shows_it_once() -> None:
    code = "logging.basicConfig(format='own %(message)s'); log_to_stderr(LEVEL)"
    assert run(f"{code}\nlogging.getLogger('gpuview').debug('hello')") == ["own hello"]
