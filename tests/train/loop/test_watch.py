"""What a user sees of a run."""

import os
import signal

import pytest

from train.loop import watch
from train.loop.watch import StepReport, terminal


def test_a_report_names_loss_speed_and_waiting() -> None:
    assert str(StepReport(7, 0.51234, 12.34, 0.056)) == "loss 0.5123, 12.3 img/s, 6% waiting for data"


def test_elsewhere_than_on_a_terminal_a_line_comes_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "LOG_INTERVAL_SECONDS", -1.0)
    with terminal() as shown:
        shown.say("about to start")
        shown.started(10, 20)
        shown.stepped(StepReport(20, 0.5, 2.0, 0.0))
    assert capsys.readouterr().err.splitlines() == [
        "about to start",
        "step 20/20, loss 0.5000, 2.0 img/s, 0% waiting for data, 0 s left",
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
