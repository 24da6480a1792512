"""`--retry-rejected`: what can be had now joins its shard, and nothing that is committed is ever lost."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

from pipeline.config import PrepareConfig
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.record import read_record
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.environment import silent
from pipeline.execution.inline import Executor
from pipeline.execution.ray import RayExecutor
from pipeline.retry import parse_reasons, retry_rejected
from pipeline.run import Summary
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, ShardCorrupt
from stages.records import Reason
from stages.weights.store import WeightsStore
from tests.misbehaving_server import MisbehavingServer
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.execution.web_index import fetch_table, jpeg, write_web_index

WAYS = ["photo", "missing", "down", "photo", "photo", *["photo"] * 5, "down", "optout"]
"""Five rows a shard: the first keeps three of five samples, the second all, the third none of its two."""

Retry: TypeAlias = Callable[..., Summary]


@pytest.fixture
def server() -> Iterator[MisbehavingServer]:
    with MisbehavingServer([jpeg(number) for number in range(12)]) as serving:
        yield serving


@pytest.fixture
def config(make_config: Make) -> PrepareConfig:
    return make_config(fetch=fetch_table(), max_rejected_fraction=1.0)


@pytest.fixture
def out(server: MisbehavingServer, config: PrepareConfig, run_inline: Run, tmp_path: Path) -> Path:
    """A data set of which four of twelve images could not be had."""
    write_web_index(tmp_path / "data", server, WAYS)
    run_inline(config, tmp_path / "data")
    server.hits.clear()
    return tmp_path / "data"


@pytest.fixture
def retry(config: PrepareConfig, out: Path) -> Retry:
    def run(reasons: str, executor: Executor | None = None, say: Callable[[str], None] = silent) -> Summary:
        return retry_rejected(config, Directory(str(out)), offline(executor, say=say), parse_reasons(reasons))

    return run


def problems(out: Path) -> list[str]:
    return [str(each) for each in verify(Directory(str(out)), True, WeightsStore(), "cpu").problems]


def test_what_can_be_had_now_joins_its_shard_in_the_order_of_the_index(
    server: MisbehavingServer, out: Path, retry: Retry
) -> None:
    home = Directory(str(out))
    former = read_record(home, "0000000")
    kept = {entry.key: read_sample(home, former, entry) for entry in former.samples}
    server.is_fixed = True
    summary = retry("http_5xx")
    assert summary.shards_made == 2
    record = read_record(home, "0000000")
    assert record.tar == "0000000.r1.tar"
    assert [entry.key for entry in record.samples] == [f"{n:06}" for n in (0, 2, 3, 4)]
    assert [(each.key, each.reason) for each in record.rejected] == [("000001", Reason.HTTP_404)]
    members = {entry.key: read_sample(home, record, entry) for entry in record.samples}
    assert members == kept | {"000002": members["000002"]}
    assert sorted(members["000002"]) == ["color.png", "jpg", "json", "txt"]
    assert [(entry.key, record.tar) for record in [read_record(home, "0000002")] for entry in record.samples] == [
        ("000010", "0000002.r1.tar")
    ]
    assert set((home / "shards").names()) == {"0000000.r1.tar", "0000001.tar", "0000002.r1.tar"}
    assert problems(out) == []


def test_a_retry_that_brings_all_gives_the_samples_of_a_data_set_that_never_lost_any(
    server: MisbehavingServer, out: Path, retry: Retry, config: PrepareConfig, run_inline: Run, tmp_path: Path
) -> None:
    server.is_fixed = True
    retry("http_5xx,http_404,opted_out")
    write_web_index(tmp_path / "whole", server, WAYS)
    run_inline(config, tmp_path / "whole")
    for number in range(3):
        whole = tmp_path / f"whole/shards/000000{number}.tar"
        name = whole.name if number == 1 else f"000000{number}.r1.tar"
        assert (out / "shards" / name).read_bytes() == whole.read_bytes()
    assert read_manifest(Directory(str(out))).totals == read_manifest(Directory(str(tmp_path / "whole"))).totals


def test_only_the_keys_that_were_rejected_so_are_fetched_again(
    server: MisbehavingServer, out: Path, retry: Retry
) -> None:
    untouched = {name: (out / name).stat().st_mtime_ns for name in ("shards/0000001.tar", "records/0000001.json")}
    retry("opted_out")
    assert server.hits == {"/optout/11": 1}
    assert {name: (out / name).stat().st_mtime_ns for name in untouched} == untouched


def test_what_is_lost_again_keeps_its_shard_and_gets_its_new_reason(
    server: MisbehavingServer, out: Path, retry: Retry, config: PrepareConfig
) -> None:
    before = tree(out)
    retry("http_5xx")
    assert tree(out) == before
    retry_rejected(
        PrepareConfig.model_validate(config.model_dump() | {"fetch": fetch_table(respect_robots=False, max_bytes=9)}),
        Directory(str(out)),
        offline(),
        frozenset({Reason.OPTED_OUT}),
    )
    record = read_record(Directory(str(out)), "0000002")
    assert [each.reason for each in record.rejected] == [Reason.HTTP_5XX, Reason.TOO_LARGE]
    assert record.tar == ""
    assert problems(out) == []


def test_with_nothing_to_retry_nothing_is_done_and_it_is_said(
    server: MisbehavingServer, out: Path, retry: Retry
) -> None:
    said: list[str] = []
    before = tree(out)
    assert retry("timeout,dns", say=said.append).shards_made == 0
    assert said == ["no sample was rejected as dns, timeout: nothing to retry"]
    assert tree(out) == before
    assert not server.hits


def test_each_retry_names_its_tars_anew(server: MisbehavingServer, out: Path, retry: Retry) -> None:
    server.is_fixed = True
    retry("http_404")
    retry("http_5xx,opted_out")
    tars = sorted(name.name for name in (out / "shards").glob("*.tar"))
    assert tars == ["0000000.r2.tar", "0000001.tar", "0000002.r2.tar"]
    assert read_manifest(Directory(str(out))).totals.samples == 12
    assert problems(out) == []


@pytest.mark.ray
@pytest.mark.usefixtures("local_ray")
def test_ray_makes_the_same_bytes(
    server: MisbehavingServer, out: Path, retry: Retry, config: PrepareConfig, run_inline: Run, tmp_path: Path
) -> None:
    write_web_index(tmp_path / "other", server, WAYS)
    run_inline(config, tmp_path / "other")
    server.is_fixed = True
    retry("http_5xx,http_404", RayExecutor())
    reasons = frozenset({Reason.HTTP_5XX, Reason.HTTP_404})
    retry_rejected(config, Directory(str(tmp_path / "other")), offline(), reasons)
    assert tree(out) == tree(tmp_path / "other")


def test_an_unfinished_data_set_is_finished_first(server: MisbehavingServer, out: Path, retry: Retry) -> None:
    (out / "records/0000001.json").unlink()
    (out / "dataset.json").unlink()
    server.is_fixed = True
    retry("http_5xx")
    assert read_manifest(Directory(str(out))).totals.samples == 10
    assert problems(out) == []


def test_a_tar_that_its_record_does_not_name_goes_with_the_next_run(
    server: MisbehavingServer, out: Path, retry: Retry, config: PrepareConfig, run_inline: Run
) -> None:
    server.is_fixed = True
    retry("http_404")
    whole = tree(out)
    (out / "shards/0000000.tar").write_bytes(b"a former tar, whose removal was cut off")
    (out / "shards/0000002.r7.tar").write_bytes(b"a new tar, whose record was cut off")
    (out / "dataset.json").write_text(json.dumps(json.loads((out / "dataset.json").read_text()) | {"complete": False}))
    run_inline(config, out)
    assert tree(out) == whole


def test_a_damaged_sample_is_not_copied_and_the_shard_stays(server: MisbehavingServer, out: Path, retry: Retry) -> None:
    tar = out / "shards/0000000.tar"
    content = bytearray(tar.read_bytes())
    content[700] ^= 1
    tar.write_bytes(content)

    def damaged() -> dict[str, bytes]:
        """The files of the damaged shard; a neighbour may have been made again before the run ended."""
        return {name: data for name, data in tree(out).items() if "/0000000." in name}

    before = damaged()
    server.is_fixed = True
    with pytest.raises(ShardCorrupt, match=r"0000000\.tar sample 000000 must have crc32"):
        retry("http_5xx")
    assert damaged() == before


def test_a_data_set_with_layers_is_refused(out: Path, retry: Retry) -> None:
    (out / "layers/depth").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"must have no layers to be changed by --retry-rejected, got depth; remove"):
        retry("http_5xx")


def test_what_is_no_reason_is_named_with_all_that_are() -> None:
    assert parse_reasons("timeout, http_5xx") == {Reason.TIMEOUT, Reason.HTTP_5XX}
    with pytest.raises(
        ConfigError, match=r"reasons separated by commas, got 'time-out'; choose from no_caption, .*dns"
    ):
        parse_reasons("dns,time-out")
