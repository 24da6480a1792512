"""What is no data set of format 1, or does not belong together, is refused in one line, and nothing of it is lost."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.storage import Directory
from stages.errors import CondsetError, ConfigError, ManifestError, ShardCorrupt
from tests.pipeline.conftest import Run, tree
from tests.pipeline.upgrade.conftest import Formats, bring_over


@pytest.fixture
def data(layered: Formats, tmp_path: Path) -> Path:
    return layered.copy(tmp_path / "data")


def refusal(data: Path, kind: type[CondsetError] = ManifestError) -> str:
    """What an upgrade says that it cannot do; no file of before is another one after, or gone."""
    before = tree(data)
    with pytest.raises(kind) as refused:
        bring_over(data)
    after = tree(data)
    assert {name: after.get(name) for name in before} == before
    return str(refused.value).replace(str(data), "DATA")


def rewrite(file: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    fields = json.loads(file.read_text())
    change(fields)
    file.write_text(json.dumps(fields))


def test_a_directory_without_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    expected = "DATA/dataset.json must be a data set's manifest, got none; `condset prepare` makes one"
    assert refusal(tmp_path / "data") == expected


def test_a_layer_alone(data: Path) -> None:
    assert refusal(data / "layers/canny") == (
        "DATA must be a data set, got a layer of one; upgrade the data set, and its layers come along"
    )


def test_records_of_which_nothing_tells(data: Path) -> None:
    (data / "dataset.json").unlink()
    assert refusal(data) == (
        "DATA/dataset.json must be there to tell what the records are of, got none; run the condset that made them "
        "once more, then upgrade"
    )


def test_records_of_a_layer_of_which_nothing_tells(data: Path) -> None:
    (data / "layers/canny/dataset.json").unlink()
    assert refusal(data).startswith("DATA/layers/canny/dataset.json must be there to tell what the records are of, got")


def test_a_layer_of_another_data_set(data: Path) -> None:
    rewrite(data / "layers/canny/dataset.json", lambda fields: fields["inputs"].update(base="0" * 64))
    assert refusal(data) == (
        "DATA/layers/canny/dataset.json must be a layer of DATA, got one of another data set; remove it"
    )


def test_a_layer_that_came_after_the_upgrade(layered: Formats, data: Path) -> None:
    shutil.rmtree(data / "layers/keypose")
    bring_over(data)
    shutil.copytree(layered.former / "layers/keypose", data / "layers/keypose")
    assert refusal(data) == (
        "DATA/layers/keypose/dataset.json must be upgraded along with DATA, got one that came later; remove the layer, "
        "and add it again with --onto"
    )


def test_an_index_of_other_rows(data: Path, rejected: Formats) -> None:
    shutil.copy(rejected.former / "index.parquet", data)
    assert refusal(data).startswith("DATA/index.parquet must have sha256 ")


@pytest.mark.parametrize("name", ["dataset.json", "shards.jsonl"])
def test_an_index_that_is_none(name: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(data / name, tmp_path / "other/index.parquet")
    message = refusal(tmp_path / "other")
    assert message.startswith("DATA/index.parquet must be format 1's index, got Parquet magic bytes not found")
    assert message.endswith("; restore it")


def test_an_index_with_other_columns(layered: Formats, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    shutil.copy(layered.present / "index/0000000.parquet", tmp_path / "other/index.parquet")
    message = refusal(tmp_path / "other")
    assert message.startswith("DATA/index.parquet must be format 1's index, got columns ['key', 'image_uri', ")


def test_no_index_at_all(data: Path) -> None:
    (data / "index.parquet").unlink()
    message = refusal(data)
    assert message.startswith("DATA/index.parquet must be format 1's index, got [Errno 2] No such file or directory: ")


def test_inputs_that_do_not_follow_from_the_configuration(data: Path) -> None:
    rewrite(data / "dataset.json", lambda fields: fields["config"].update(seed=7))
    assert refusal(data) == (
        "DATA/dataset.json inputs must follow from its config, got seed 0 there, 7 here; restore it"
    )


def test_a_configuration_that_is_none_any_more(data: Path) -> None:
    rewrite(data / "dataset.json", lambda fields: fields["config"].update(colour="blue"))
    assert refusal(data, ConfigError) == (
        "DATA/dataset.json config colour is not a setting; compare its spelling with the settings beside it"
    )


def test_a_broken_description(data: Path) -> None:
    rewrite(data / "dataset.json", lambda fields: fields.pop("numerics"))
    assert refusal(data) == "DATA/dataset.json must have format 1's fields, got KeyError('numerics'); restore it"


def test_a_broken_record(data: Path) -> None:
    (data / "shards/0000001.json").write_text("{")
    assert refusal(data, ShardCorrupt).startswith(
        "DATA/shards/0000001.json must be a shard's record, got JSONDecodeError"
    )


def refuses_to_prepare(formats: Formats, data: Path, run_inline: Run, where: str) -> None:
    before = tree(data)
    with pytest.raises(ManifestError) as refused:
        run_inline(formats.config, data)
    assert str(refused.value) == (
        f"{data / where} must have format 2, got 1; `condset upgrade {data}` brings it over and touches no tar"
    )
    assert tree(data) == before


def test_nothing_is_prepared_into_a_data_set_of_format_1(layered: Formats, data: Path, run_inline: Run) -> None:
    refuses_to_prepare(layered, data, run_inline, "dataset.json")


def test_nor_where_a_run_got_no_further_than_its_index(layered: Formats, tmp_path: Path, run_inline: Run) -> None:
    shutil.copy(layered.former / "index.parquet", tmp_path)
    refuses_to_prepare(layered, tmp_path, run_inline, "index.parquet")


def test_a_layer_says_that_its_data_set_is_to_be_upgraded(data: Path) -> None:
    layer = data / "layers/canny"
    with pytest.raises(ManifestError) as refused:
        read_manifest(Directory(str(layer)))
    assert str(refused.value) == (
        f"{layer}/dataset.json must have format 2, got 1; `condset upgrade` of the data set whose layer it is brings "
        "it over and touches no tar"
    )
