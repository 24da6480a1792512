"""The console script as a user types it, within the test's process: importing torch and diffusers takes seconds."""

import io
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import NamedTuple, Protocol

import pytest


class Ended(NamedTuple):
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


class Console(Protocol):
    """Runs `condset ARGUMENTS` to its end."""

    def __call__(self, *arguments: object) -> Ended: ...


def condset(*arguments: object) -> Ended:
    """Run the console script on a terminal's width of plain text."""
    from train.cli import main

    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
        patched.setattr(sys, "argv", ["condset", *map(str, arguments)])
        patched.setenv("COLUMNS", "120")
        patched.setenv("NO_COLOR", "1")
        try:
            main()
        except SystemExit as exit:
            return Ended(int(exit.code or 0), out.getvalue(), err.getvalue())
    raise AssertionError("the console script ends by SystemExit")
