"""A data set of a newer condset, whose rejections have reasons that this one does not know."""

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from pipeline.dataset.storage import Directory
from pipeline.inspect.dataset import inspect_data_set
from pipeline.retry import retry_rejected
from pipeline.verify.dataset import verify
from stages.records import Reason
from stages.weights.store import WeightsStore
from tests.misbehaving_server import MisbehavingServer
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.execution.web_index import fetch_table, jpeg, write_web_index
from tests.pipeline.verify.damage import Copy

NO_WEIGHTS = WeightsStore(allow_network=False)


@pytest.fixture
def newer(make_config: Make, run_inline: Run, tmp_path: Path) -> Path:
    """Six images of which one could not be had, for a reason that is not yet known here."""
    with MisbehavingServer([jpeg(number) for number in range(6)]) as server:
        write_web_index(tmp_path / "data", server, ["photo", "missing", *["photo"] * 4])
        run_inline(make_config(fetch=fetch_table(), max_rejected_fraction=1.0), tmp_path / "data")
    copy = Copy(tmp_path / "data", Random(0))
    record = copy.rejecting_shard()
    (rejection,) = record.rejected
    assert rejection.reason == Reason.HTTP_404
    copy.put_record(replace(record, rejected=(replace(rejection, reason="moonlight", detail="too bright"),)))
    copy.derive()
    return copy.path


def test_it_is_sound_and_nobody_is_told_to_delete_anything(newer: Path) -> None:
    assert verify(Directory(str(newer)), True, NO_WEIGHTS, "cpu").problems == ()


def test_it_is_described_with_its_reasons(newer: Path) -> None:
    (rejected,) = inspect_data_set(Directory(str(newer)), 0).rejections
    assert (rejected.reason, rejected.count, rejected.examples) == ("moonlight", 1, (("000001", "too bright"),))
    assert "| moonlight | 1 |" in (newer / "README.md").read_text()


def test_it_is_recognised_as_complete_and_nothing_of_it_is_retried(newer: Path, make_config: Make) -> None:
    before = tree(newer)
    config = make_config(fetch=fetch_table(), max_rejected_fraction=1.0)
    reasons = frozenset(Reason)
    done = retry_rejected(config, Directory(str(newer)), offline(), reasons)
    assert done.shards_made == 0
    assert tree(newer) == before
