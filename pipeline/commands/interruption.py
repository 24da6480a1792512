"""Ctrl-C or SIGTERM during a command: exit 130, and what to type to go on."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from pipeline.commands.say import say


@contextmanager
def resumable(kept: str) -> Iterator[None]:
    """Say what is `kept` and how to go on if the block is interrupted, and exit with 130.

    Batch systems interrupt with SIGTERM, which counts as Ctrl-C inside the block; what it did before is restored after.
    """
    is_main = threading.current_thread() is threading.main_thread()  # elsewhere Python sets no handlers
    former = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted; {kept}. Go on with: {shlex.join(['condset', *sys.argv[1:]])}")
        raise typer.Exit(130) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, former)
