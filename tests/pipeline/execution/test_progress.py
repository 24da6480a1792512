"""What a log file is told of a run, by a clock that the test sets."""

import pytest

from pipeline.dataset.numerics import Numerics
from pipeline.dataset.record import ShardRecord
from pipeline.execution.progress import LOG_INTERVAL_SECONDS, RunProgress
from stages.records import Reason, Rejection
from tests.clock import Clock


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(variable, raising=False)  # with them rich takes any file for a terminal


def shard_without(*reasons: Reason) -> ShardRecord:
    """A committed shard that lost a sample for each of these reasons."""
    rejected = tuple(Rejection(str(number), reason, "") for number, reason in enumerate(reasons))
    return ShardRecord("0000000", "", 0, 8, "", "", 0, Numerics("cpu", {}, 1, 1, {}), (), rejected)


def test_a_log_has_a_line_now_and_then_with_all_that_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with RunProgress(shards=3, rows=24, clock=clock) as progress:
        clock.wait(LOG_INTERVAL_SECONDS)
        progress.annotated(3)
        assert capsys.readouterr().err == ""
        clock.wait(10)
        progress.annotated(3)
        # 6 of 24 rows in 40 seconds: the other 18 take 120.
        assert capsys.readouterr().err == "shards 0/3, 6/24 samples, 0.1 img/s, none rejected, 120 s left\n"
        clock.wait(LOG_INTERVAL_SECONDS)
        progress.committed(shard_without(Reason.TRUNCATED))
        assert capsys.readouterr().err == ""
        clock.wait(10)
        progress.committed(shard_without(Reason.NO_CAPTION, Reason.TRUNCATED, Reason.NO_CAPTION))
        # 10 of 24 in 80 seconds: what is rejected is done as well, but is no image.
        assert capsys.readouterr().err == (
            "shards 2/3, 10/24 samples, 0.1 img/s, rejected: 2 no_caption, 2 truncated, 112 s left\n"
        )
        progress.annotated(4)
        assert capsys.readouterr().err == ""
    assert progress.images_per_second == 10 / 80


def test_before_the_first_sample_nobody_knows_how_long_it_takes(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with RunProgress(shards=2, rows=16, clock=clock) as progress:
        clock.wait(LOG_INTERVAL_SECONDS + 1)
        progress.committed(shard_without())
    assert capsys.readouterr().err == "shards 1/2, 0/16 samples, 0.0 img/s, none rejected, time left unknown\n"
