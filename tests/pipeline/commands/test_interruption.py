"""What an interrupted command says, and that SIGTERM does afterwards what it did before."""

import signal
import sys
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
