"""Weights that are missing, cut or there."""

from pathlib import Path

from pipeline.doctor.finding import Level
from pipeline.doctor.weights import WeightsState, examine_weights
from stages.weights.catalogue import MODELS


def about(model: str, weights_dir: Path | None = None) -> WeightsState:
    (found,) = [state for state in examine_weights(weights_dir) if state.model == model]
    return found


def test_missing_weights_are_a_warning_with_the_command_that_fetches_them() -> None:
    assert about("rtmo_s") == WeightsState("rtmo_s", Level.WARNING, None, "", "condset weights fetch rtmo_s")


def test_truncated_weights_are_a_problem(tmp_path: Path) -> None:
    path = tmp_path / MODELS["pidinet"].file
    path.parent.mkdir()
    path.write_bytes(b"short")
    assert about("pidinet", tmp_path) == WeightsState(
        "pidinet",
        Level.PROBLEM,
        2871148,
        str(path),
        "5 of 2871148 bytes: delete it and run condset weights fetch pidinet",
    )


def test_every_model_has_a_state() -> None:
    assert [state.model for state in examine_weights(None)] == list(MODELS)
