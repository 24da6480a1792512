"""What a user sees of a run."""

import os
import signal

import pytest

from tests.clock import Clock
from train.loop.watch import LOG_INTERVAL_SECONDS, StepReport, terminal


def test_a_report_names_loss_speed_and_waiting() -> None:
    assert str(StepReport(7, 0.51234, 12.34, 0.056)) == "loss 0.5123, 12.3 img/s, 6% waiting for data"


def test_elsewhere_than_on_a_terminal_a_line_comes_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with terminal(clock) as shown:
        shown.say("about to start")
        shown.started(10, 20)
        for done in (11, 12, 13):
            clock.wait(LOG_INTERVAL_SECONDS * 0.4)
            shown.stepped(StepReport(done, 0.5, 2.0, 0.0))
    assert capsys.readouterr().err.splitlines() == [
        "about to start",
        "step 13/20, loss 0.5000, 2.0 img/s, 0% waiting for data, 84 s left",
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_asks_to_stop_and_a_second_one_interrupts(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with terminal() as shown:
        assert not shown.stop_requested()
        os.kill(os.getpid(), number)
        assert shown.stop_requested()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    with pytest.raises(ZeroDivisionError), terminal():
        1 / 0  # noqa: B018
    assert signal.getsignal(number) is before
