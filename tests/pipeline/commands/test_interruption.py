"""What an interrupted command says, and that SIGTERM does afterwards what it did before."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from types import FrameType

import pytest
import typer

from pipeline.commands.interruption import resumable


@pytest.fixture
def handler() -> Iterator[object]:
    """What SIGTERM does before a command."""

    def ignore(number: int, frame: FrameType | None) -> None: ...

    former = signal.signal(signal.SIGTERM, ignore)
    yield ignore
    signal.signal(signal.SIGTERM, former)


def test_sigterm_ends_a_command_with_what_to_type_and_is_as_before(
    handler: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["condset", "push", "a data set", "user/name"])
    with pytest.raises(typer.Exit) as ended, resumable("what is uploaded stays"):
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.exit_code == 130
    said = "interrupted; what is uploaded stays. Go on with: condset push 'a data set' user/name\n"
    assert capsys.readouterr() == ("", said)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_sigterm_is_as_before_after_a_command_and_after_an_error_in_it(handler: object) -> None:
    with resumable("nothing"):
        assert signal.getsignal(signal.SIGTERM) is not handler
    assert signal.getsignal(signal.SIGTERM) is handler
    with pytest.raises(ZeroDivisionError), resumable("nothing"):
        1 / 0  # noqa: B018
    assert signal.getsignal(signal.SIGTERM) is handler


HANGING = {
    "a thread": "with ThreadPoolExecutor(1) as pool: pool.submit(hang).result()",
    "the main thread": "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM}); hang()",
}
PROGRAM = """
import ctypes, signal
from concurrent.futures import ThreadPoolExecutor
from pipeline.commands.interruption import resumable

def hang():
    print("at work", flush=True)
    ctypes.CDLL(None).sleep(60)  # C code that Python cannot interrupt, as a read from storage that hangs

with resumable("committed shards stay", grace_seconds=0.5):
    WORK
"""


@pytest.mark.parametrize("who", HANGING)
def test_a_process_ends_although_a_thread_hangs_in_storage(who: str) -> None:
    program = [sys.executable, "-c", PROGRAM.replace("WORK", HANGING[who])]
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        time.sleep(0.5)  # until it is in the C code
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert errors == (
        "interrupted; committed shards stay. Go on with: condset (a thread that hangs, in storage or on the network, "
        "was not waited for)\n"
    )


def test_a_command_that_ends_in_time_leaves_the_process_alone() -> None:
    with pytest.raises(typer.Exit), resumable("nothing", grace_seconds=0.1):
        signal.raise_signal(signal.SIGTERM)
    time.sleep(0.3)
    assert signal.set_wakeup_fd(-1) == -1
