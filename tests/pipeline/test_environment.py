"""What a run is given: every run leaves the executor without workers, so that the next one may use it."""

from pathlib import Path

import numpy as np
import pytest

from pipeline.config import PrepareConfig
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import InlineExecutor
from pipeline.layer import prepare_layer
from pipeline.retry import retry_rejected
from pipeline.run import plan_dataset, prepare
from stages.errors import SourceError, TooManyRejected
from stages.image.encode import encode_png
from stages.records import Reason
from tests.offline import offline
from tests.pipeline.conftest import Make, tree


class Watched(InlineExecutor):
    """Knows whether its workers were ended since it was asked for some, and how often it was asked."""

    has_workers = False
    beginnings = 0

    def numerics(self, config: PrepareConfig) -> Numerics:
        self.beginnings += not self.has_workers
        self.has_workers = True
        return super().numerics(config)

    def close(self) -> None:
        super().close()
        self.has_workers = False


def test_one_executor_serves_run_after_run_and_none_leaves_workers(
    make_config: Make, data_set: Path, tmp_path: Path
) -> None:
    executor, out = Watched(), Directory(str(tmp_path / "out"))
    environment, config = offline(executor), make_config()
    prepare(config, out, environment)
    assert (executor.beginnings, executor.has_workers) == (1, False)
    assert tree(tmp_path / "out") == tree(data_set)
    retry_rejected(config, out, environment, frozenset({Reason.TIMEOUT}))
    prepare_layer(make_config(annotators=[{"kind": "canny"}]), out, environment)
    assert (executor.beginnings, executor.has_workers) == (2, False)  # there was nothing to retry


def test_a_run_that_fails_while_it_lists_leaves_no_workers(make_config: Make, tmp_path: Path) -> None:
    executor = Watched()
    config = make_config(source={"kind": "coco", "root": str(tmp_path / "nowhere"), "split": "val2017"})
    with pytest.raises(SourceError, match="nowhere"):
        prepare(config, Directory(str(tmp_path / "out")), offline(executor))
    assert (executor.beginnings, executor.has_workers) == (1, False)


def test_a_run_that_fails_at_work_leaves_no_workers(make_config: Make, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "lost.png"
    picture.parent.mkdir()
    picture.write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8)))
    picture.with_suffix(".txt").write_text("a black square")
    executor, out = Watched(), Directory(str(tmp_path / "out"))
    config = make_config(source={"kind": "folder", "root": str(picture.parent)})
    plan_dataset(config, out, offline())
    picture.unlink()
    with pytest.raises(TooManyRejected, match="missing_file"):
        prepare(config, out, offline(executor))
    assert (executor.beginnings, executor.has_workers) == (1, False)
