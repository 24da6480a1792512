"""`condset prepare` of images on a web that is busy, resets, brings halves and keeps silent: nothing is lost."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import verify
from stages.rehearsal.web_server import Fault, FaultServer
from stages.weights.store import WeightsStore
from tests.console import condset
from tests.pipeline.conftest import tree
from tests.pipeline.execution.web_index import jpeg

IMAGES = 12
CONFIG = """
name = "photographs"
samples_per_shard = 4
max_rejected_fraction = 1.0
[source]
kind = "laion"
root = "{root}"
files = "*.parquet"
[image]
size_pixels = 64
[fetch]
read_seconds = 0.5
retries = {retries}
first_pause_seconds = 0.01
allow_private_hosts = ["{host}"]
[[annotators]]
kind = "color"
"""


def configure(tmp_path: Path, server: FaultServer, retries: int) -> Path:
    urls = [server.url(f"{number}.jpg") for number in range(IMAGES)]
    captions = [f"photograph {number}" for number in range(IMAGES)]
    (tmp_path / "rows").mkdir(exist_ok=True)
    pq.write_table(pa.table({"URL": urls, "TEXT": captions}), tmp_path / "rows/0.parquet")
    path = tmp_path / f"{retries}.toml"
    path.write_text(CONFIG.format(root=tmp_path / "rows", host=server.host, retries=retries))
    return path


@pytest.mark.parametrize("seed", range(3))
def test_a_web_that_fails_at_first_costs_no_sample_and_no_traceback(seed: int, tmp_path: Path) -> None:
    files = {f"{number}.jpg": jpeg(number) for number in range(IMAGES)}
    with FaultServer(files, seed, faults=2) as server:
        result = condset("prepare", configure(tmp_path, server, 2), "--out", tmp_path / "out", "--executor", "inline")
        assert result.status == 0, result.err
        assert f"{IMAGES} samples in 3 shards, none rejected" in result.out
        assert "Traceback" not in result.err
        assert sum(server.faults.values()) == 2 * IMAGES
    assert verify(Directory(str(tmp_path / "out")), False, WeightsStore(allow_network=False), "cpu").problems == ()


def test_what_was_lost_to_a_bad_day_is_counted_and_can_be_had_on_a_better_one(tmp_path: Path) -> None:
    files = {f"{number}.jpg": jpeg(number) for number in range(IMAGES)}
    with FaultServer(files, seed=5, faults=2) as server:
        config, out = configure(tmp_path, server, 1), tmp_path / "out"
        options = ("--out", out, "--executor", "inline", "--set", "source.split=train")
        result = condset("prepare", config, *options)
        assert "Traceback" not in result.err
        assert server.faults.total() == 2 * IMAGES
        rejected = (out / "rejected.jsonl").read_text().splitlines()
        assert len(rejected) == IMAGES
        assert {*server.faults} == {*Fault}
        reasons = "connect,truncated,timeout,http_5xx"
        again = condset("prepare", config, *options, "--retry-rejected", reasons)
        assert again.status == 0, again.err
        assert f"{IMAGES} samples in 3 shards, none rejected" in again.out
    assert len([name for name in tree(out) if name.endswith(".tar")]) == 3
