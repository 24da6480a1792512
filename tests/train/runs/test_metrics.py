"""The numbers of a run read as if it had never stopped, in metrics.jsonl and in TensorBoard."""

import json
import math
from pathlib import Path

import pytest

from train.runs.metrics import METRICS_FILE, TENSORBOARD, MetricsLog, read_metrics


def write(run: Path, steps_done: int, steps: range, loss: float = 0.5) -> None:
    log = MetricsLog(run, steps_done)
    for step in steps:
        log.write(step, {"loss": loss, "validation/loss": loss / 2})
    log.close()


def scalars(run: Path, name: str) -> dict[int, float]:
    """What TensorBoard itself shows of a run."""
    from tensorboard.backend.event_processing import event_accumulator  # type: ignore[import-untyped]

    events = event_accumulator.EventAccumulator(str(run / TENSORBOARD))
    events.Reload()
    return {event.step: event.value for event in events.Scalars(name)}


def test_a_line_is_a_step_and_its_values(tmp_path: Path) -> None:
    write(tmp_path, 0, range(10, 40, 10))
    assert read_metrics(tmp_path) == [{"step": step, "loss": 0.5, "validation/loss": 0.25} for step in (10, 20, 30)]
    assert len((tmp_path / METRICS_FILE).read_text().splitlines()) == 3


def test_the_lines_after_the_step_that_a_run_goes_on_from_are_removed(tmp_path: Path) -> None:
    write(tmp_path, 0, range(10, 60, 10), loss=0.5)
    write(tmp_path, 30, range(40, 70, 10), loss=0.25)
    losses = {line["step"]: line["loss"] for line in read_metrics(tmp_path)}
    assert losses == {10: 0.5, 20: 0.5, 30: 0.5, 40: 0.25, 50: 0.25, 60: 0.25}
    assert [line["step"] for line in read_metrics(tmp_path)] == sorted(losses)


def test_a_run_from_the_beginning_starts_an_empty_file(tmp_path: Path) -> None:
    write(tmp_path, 0, range(1, 5))
    MetricsLog(tmp_path, 0).close()
    assert read_metrics(tmp_path) == []


@pytest.mark.parametrize("length", [1, 5, 20])
def test_a_last_line_that_was_cut_off_is_left_out_and_not_written_after(tmp_path: Path, length: int) -> None:
    write(tmp_path, 0, range(1, 4))
    path = tmp_path / METRICS_FILE
    *whole, last = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole) + last[:length])
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2]
    write(tmp_path, 3, range(4, 5))
    assert [line["step"] for line in read_metrics(tmp_path)] == [1, 2, 4]
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_every_line_is_on_disk_at_once(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    log.write(1, {"loss": 1.0})
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 1.0}]
    log.close()


def test_a_run_without_metrics_has_none(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == []


def test_tensorboard_shows_the_same_numbers(tmp_path: Path) -> None:
    write(tmp_path, 0, range(10, 40, 10))
    assert scalars(tmp_path, "loss") == {10: 0.5, 20: 0.5, 30: 0.5}
    assert scalars(tmp_path, "validation/loss") == {10: 0.25, 20: 0.25, 30: 0.25}


def test_tensorboard_too_forgets_the_steps_that_were_lost(tmp_path: Path) -> None:
    write(tmp_path, 0, range(10, 60, 10), loss=0.5)
    write(tmp_path, 30, range(40, 50, 10), loss=0.25)
    assert scalars(tmp_path, "loss") == {10: 0.5, 20: 0.5, 30: 0.5, 40: 0.25}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null_and_said(value: float, tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, 0)
    log.write(1, {"loss": 1.0, "grad_norm": value})
    log.close()
    line = (tmp_path / METRICS_FILE).read_text()
    assert line == f'{{"step": 1, "loss": 1.0, "grad_norm": null, "not_finite": {{"grad_norm": "{value}"}}}}\n'
    assert read_metrics(tmp_path) == [{"step": 1, "loss": 1.0}]
    MetricsLog(tmp_path, 1).close()
    assert (tmp_path / METRICS_FILE).read_text() == line
    assert scalars(tmp_path, "loss") == {1: 1.0}
