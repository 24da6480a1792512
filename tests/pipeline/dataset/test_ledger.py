from pathlib import Path

import pytest

from pipeline.dataset.ledger import committed_names, make_folders, missing
from pipeline.dataset.plan import plan_shards
from pipeline.dataset.storage import Directory


def test_only_records_of_shards_count_as_committed(tmp_path: Path) -> None:
    records = tmp_path / "records"
    records.mkdir()
    for name in ("0000001.json", "0000000.json", "0000002.tar", "0000003.json.ab12.partial", "x.json", "00001.json"):
        (records / name).touch()
    assert committed_names(Directory(str(tmp_path))) == ["0000000", "0000001"]
    assert [plan.number for plan in missing(plan_shards(40, 10), Directory(str(tmp_path)))] == [2, 3]


@pytest.mark.slow
def test_a_hundred_thousand_committed_shards_are_recognised_by_their_names(tmp_path: Path) -> None:
    home = Directory(str(tmp_path))
    make_folders(home)
    for number in range(100_000):
        (tmp_path / f"shards/{number:07d}.tar").touch()
        if number % 10_000 != 7:
            (tmp_path / f"records/{number:07d}.json").write_bytes(b"{}")
    todo = missing(plan_shards(100_000_500, 1000), home)
    assert [plan.number for plan in todo] == [*range(7, 100_000, 10_000), 100_000]
    assert (todo[-1].start, todo[-1].stop) == (100_000_000, 100_000_500)
