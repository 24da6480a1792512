"""Ctrl-C or SIGTERM during a command: exit 130, and what to type to go on.

    signal ──> KeyboardInterrupt in the main thread ──> work ends, files are closed ──> one sentence, exit 130
       └─────> a thread that waits a while for that, and then says the sentence and ends the process itself

A thread that hangs in storage cannot be interrupted, and neither can the main thread while it hangs there.
"""

import os
import shlex
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import typer

from pipeline.commands.say import say

GRACE_SECONDS = 15.0
"""What ending takes at most: images and uploads at hand are finished, and Ray's processes end."""


@contextmanager
def resumable(kept: str, signals: int = 1, grace_seconds: float = GRACE_SECONDS) -> Iterator[None]:
    """Say what is `kept` and how to go on if the block is interrupted, and exit with 130.

    Batch systems interrupt with SIGTERM, which counts as Ctrl-C inside the block; what it did before is restored after.
    After so many signals the process ends within `grace_seconds`, whatever its threads are waiting for.
    """
    is_main = threading.current_thread() is threading.main_thread()  # elsewhere Python sets no handlers
    former = signal.signal(signal.SIGTERM, signal.default_int_handler) if is_main else None
    sentence = f"interrupted; {kept}. Go on with: {shlex.join(['condset', *sys.argv[1:]])}"
    try:
        with _ended_all_the_same(sentence, signals, grace_seconds) if is_main else nullcontext():
            yield
    except KeyboardInterrupt:
        say(sentence)
        raise typer.Exit(130) from None
    finally:
        if is_main:
            signal.signal(signal.SIGTERM, former)


@contextmanager
def _ended_all_the_same(sentence: str, signals: int, grace_seconds: float) -> Iterator[None]:
    """End the process if the block does not end in time after it was interrupted."""
    listening, told = socket.socketpair()
    told.setblocking(False)
    is_over = threading.Event()

    def watch() -> None:
        seen = 0
        while seen < signals and (numbers := listening.recv(64)):
            seen += sum(number in (signal.SIGINT, signal.SIGTERM) for number in numbers)
        if seen >= signals and not is_over.wait(grace_seconds):
            say(f"{sentence} (a thread that hangs, in storage or on the network, was not waited for)")
            os._exit(130)

    watcher = threading.Thread(target=watch, name="interruption", daemon=True)
    watcher.start()
    # The signal's number is written at once, by C code, while the main thread may never get to run its handler.
    former = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        is_over.set()
        signal.set_wakeup_fd(former)
        told.close()
        watcher.join()
        listening.close()
