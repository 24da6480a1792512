"""Speed and waiting, over the whole run and since the last line of metrics, by a clock that the test turns."""

from tests.clock import Clock
from train.loop.throughput import Throughput


def test_a_line_has_the_mean_loss_the_speed_and_the_share_of_waiting() -> None:
    clock = Clock()
    throughput = Throughput(samples_a_step=8, clock=clock)
    for loss in (1.0, 2.0, 6.0):
        clock.wait(2.0)
        throughput.stepped(loss, waited_seconds=0.5)
    assert throughput.take() == {"loss": 3.0, "images_per_second": 4.0, "data_wait_share": 0.25}


def test_the_next_line_counts_from_the_last_one() -> None:
    clock = Clock()
    throughput = Throughput(samples_a_step=8, clock=clock)
    clock.wait(100.0)
    throughput.stepped(5.0, waited_seconds=90.0)
    throughput.take()
    clock.wait(1.0)
    throughput.stepped(1.0, waited_seconds=0.0)
    assert throughput.take() == {"loss": 1.0, "images_per_second": 8.0, "data_wait_share": 0.0}


def test_over_the_run_everything_counts_whatever_lines_were_written() -> None:
    clock = Clock()
    throughput = Throughput(samples_a_step=4, clock=clock)
    for _ in range(5):
        clock.wait(2.0)
        throughput.stepped(1.0, waited_seconds=0.5)
        throughput.take()
    assert (throughput.overall, throughput.waiting_share) == (2.0, 0.25)


def test_before_the_first_step_nothing_has_been_done() -> None:
    clock = Clock()
    throughput = Throughput(samples_a_step=4, clock=clock)
    assert (throughput.overall, throughput.waiting_share) == (0.0, 0.0)
    clock.wait(1.0)
    assert (throughput.overall, throughput.waiting_share) == (0.0, 0.0)
