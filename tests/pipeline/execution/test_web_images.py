"""Images on the web, from the index to the shards: the same bytes whatever finishes first, and a clean end."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.config import check_config
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import Executor, InlineExecutor
from pipeline.execution.ray import RayExecutor
from pipeline.run import prepare
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, TooManyRejected
from stages.web.config import FetchConfig
from stages.weights.store import WeightsStore
from tests.misbehaving_server import MisbehavingServer, load_photographs
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.execution.web_index import fetch_table, jpeg, write_web_index

WAYS = [
    "photo",
    "chunked",
    "flaky",
    "missing",
    "redirect",
    "unsized",
    "photo",
    "down",
    "html",
    "optout",
    "reset",
    "cut",
]


@pytest.fixture
def server(shared: Path) -> Iterator[MisbehavingServer]:
    with MisbehavingServer(load_photographs(shared), longest_delay_seconds=0.3) as serving:
        yield serving


@pytest.mark.parametrize("other", [InlineExecutor, pytest.param(RayExecutor, marks=pytest.mark.ray)])
def test_shards_have_the_same_bytes_whatever_download_finishes_first(
    server: MisbehavingServer,
    make_config: Make,
    other: type[InlineExecutor] | type[RayExecutor],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    if other is RayExecutor:
        request.getfixturevalue("local_ray")
    config = make_config(samples_per_shard=10, fetch=fetch_table(retries=2), max_rejected_fraction=1.0)
    executors: list[Executor] = [InlineExecutor(), other()]
    for seed, executor in enumerate(executors):
        server.seed = seed
        server.hits.clear()
        write_web_index(tmp_path / str(seed), server, WAYS * 2)
        prepare(config, Directory(str(tmp_path / str(seed))), offline(executor))
    assert tree(tmp_path / "0") == tree(tmp_path / "1")
    totals = read_manifest(Directory(str(tmp_path / "0"))).totals
    assert totals.rejected_by_reason == {
        "connect": 2,
        "http_404": 2,
        "http_5xx": 2,
        "not_an_image": 2,
        "opted_out": 2,
        "truncated": 2,
    }
    assert (totals.rows, totals.samples) == (24, 12)
    assert verify(Directory(str(tmp_path / "0")), True, WeightsStore(), "cpu").problems == ()


def test_an_outage_of_the_web_stops_the_run_and_dead_links_do_not(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    with MisbehavingServer([jpeg(0)]) as server:
        write_web_index(tmp_path / "dead", server, ["photo", "missing", "gone", "forbidden", "optout"])
        assert run_inline(make_config(fetch=fetch_table()), tmp_path / "dead").totals.samples == 1
        write_web_index(tmp_path / "out", server, ["photo", "down", "photo", "photo", "photo"])
        with pytest.raises(
            TooManyRejected,
            match=r"shard 0000000 must lose at most 5% of its 5 rows, got 1 lost, first 000001: http_5xx "
            r"\(server must answer with status 200, got 503\)",
        ):
            run_inline(make_config(fetch=fetch_table()), tmp_path / "out")
    assert list((tmp_path / "out/shards").iterdir()) == []


CONFIG = """
name = "interrupted"
samples_per_shard = 2
max_rejected_fraction = 1.0
[source]
kind = "synthetic"
[fetch]
read_seconds = 3600
total_seconds = 3600
allow_private_hosts = ["127.0.0.1"]
[image]
size_pixels = 64
[[annotators]]
kind = "color"
[execution]
device = "cpu"
threads_per_worker = 1
"""


def test_ctrl_c_does_not_wait_for_servers_that_stall(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    out = tmp_path / "data"
    command = [sys.executable, "-c", "from train.cli import main; main()", "prepare", str(tmp_path / "config.toml")]
    with MisbehavingServer([jpeg(0)]) as server:
        write_web_index(out, server, ["photo", "photo", "stall", "stall", "photo", "photo"])
        full = [*command, "--out", str(out), "--executor", "inline"]
        process = subprocess.Popen(full, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while process.poll() is None and not (list(out.glob("records/*.json")) and server.hits["/stall/3"]):
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert [path.name for path in (out / "shards").iterdir()] == ["0000000.tar"]
    assert [path.name for path in (out / "records").iterdir()] == ["0000000.json"]


def test_the_settings_of_fetching_are_checked_and_are_no_part_of_the_fingerprint(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"fetch\.allow_private_hosts: must be addresses or networks .*'intranet'"):
        make_config(fetch={"allow_private_hosts": ["intranet"]})
    with pytest.raises(ConfigError, match=r"fetch\.max_size is not a setting"):
        make_config(fetch={"max_size": 3})
    with pytest.raises(ConfigError, match=r"test contact: .*X-Other"):
        check_config({"contact": "me\r\nX-Other: header"}, "test", FetchConfig)
    first = run_inline(make_config(), tmp_path / "data")
    assert run_inline(make_config(fetch={"max_bytes": 5, "respect_robots": False}), tmp_path / "data") == first
