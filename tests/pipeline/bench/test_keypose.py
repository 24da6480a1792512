import logging
from pathlib import Path
from typing import Any

import pytest

from pipeline.bench.keypose import build_reference, log_disabled, random_rtmo
from pipeline.bench.measure import fresh
from pipeline.bench.networks import build_annotator, scenes
from stages.annotators.keypose.annotator import KeyposeConfig
from tests.pipeline.bench.bench_command import assert_consistent, bench_for_machines


def persons_found(weights: Path) -> tuple[list[int], list[int]]:
    """Return how many persons mmpose and condset find in each of two scenes."""
    config, images = KeyposeConfig(model="rtmo-s", weights=str(weights)), scenes(64, 2)
    theirs: Any
    ours: Any
    with build_reference(config, weights, "cpu") as run:
        theirs = run(images)
    with build_annotator(config, "cpu") as run:
        ours = run(images)
    return (
        [len(result["predictions"][0]) for result in theirs],
        [members[0].values.size // (17 * 3) for members in ours],
    )


def test_the_log_is_shown_again_after_the_block_and_after_an_error_in_it() -> None:
    log = logging.getLogger("mmengine")
    with log_disabled():
        assert not log.isEnabledFor(logging.WARNING)
        assert log.isEnabledFor(logging.ERROR)
    with pytest.raises(ZeroDivisionError), log_disabled():
        1 / 0  # noqa: B018
    assert log.isEnabledFor(logging.WARNING)


@pytest.mark.slow
def test_random_weights_find_a_few_persons_and_the_same_in_both(tmp_path: Path) -> None:
    theirs, ours = fresh(persons_found, fresh(random_rtmo, "rtmo-s", 64, tmp_path / "random.pth"))
    assert ours == theirs
    assert 1 <= sum(ours) <= 12


@pytest.mark.slow
def test_keypose_is_measured_beside_mmpose() -> None:
    table = bench_for_machines("keypose", "--model", "rtmo-s", "--images-timed", "2")
    assert_consistent(table, "keypose")
    assert [row["name"] for row in table["rows"]] == [
        "mmpose MMPoseInferencer",
        "condset float32, batches of 2",
        "condset float32",
    ]
    assert table["title"].startswith("RTMO-S at 64x64, ")
