"""After an inline run its process is as before it: what trains or scores there next does so on every core."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import cv2
import pytest
import torch

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.ledger import make_folders
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.worker import THREADS, Work
from pipeline.run import plan_dataset, prepare
from stages.errors import StorageError
from stages.hardware.process import opencv_threads, torch_threads
from tests.offline import offline

State: TypeAlias = tuple[int, int, str, list[str]]

CONFIG = check_config(
    {
        "name": "guest",
        "samples_per_shard": 2,
        "source": {"kind": "synthetic", "count": 8, "width_pixels": 64, "height_pixels": 64},
        "image": {"size_pixels": 64},
        "annotators": [{"kind": "color"}],
        "execution": {"device": "cpu"},
    },
    "test",
    PrepareConfig,
)


def now() -> State:
    """What a run changes of its process, and its threads that are alive."""
    names = [each.name for each in threading.enumerate() if each.name.startswith(("load", "shard", THREADS))]
    return torch.get_num_threads(), cv2.getNumThreads(), torch.get_float32_matmul_precision(), names


@pytest.fixture
def before() -> Iterator[State]:
    """The process with numbers of threads that no run asks for."""
    with torch_threads(5), opencv_threads(6):
        yield now()


def planned(out: Path) -> tuple[list[ShardPlan], Work]:
    environment, directory = offline(), Directory(str(out))
    job = plan_dataset(CONFIG, directory, environment)
    make_folders(directory)
    numerics = environment.executor.numerics(CONFIG)
    return job.plans, Work(directory, job.origin, CONFIG.annotators, "f", numerics, environment.weights)


def test_after_a_data_set_is_made(tmp_path: Path, before: State) -> None:
    prepare(CONFIG, Directory(str(tmp_path / "out")), offline())
    assert now() == before


def test_after_a_run_whose_records_nobody_wants_any_more(tmp_path: Path, before: State) -> None:
    with closing(InlineExecutor().run(*planned(tmp_path / "out"), lambda samples: None)) as records:
        next(records)
        assert torch.get_num_threads() == 1
    assert now() == before


def test_after_a_run_that_fails(tmp_path: Path, before: State) -> None:
    plans, work = planned(tmp_path / "out")
    shutil.rmtree(tmp_path / "out/shards")
    (tmp_path / "out/shards").write_text("a file where the directory was")
    with pytest.raises(StorageError, match="must be writable, got Not a directory"):
        list(InlineExecutor().run(plans, work, lambda samples: None))
    assert now() == before
