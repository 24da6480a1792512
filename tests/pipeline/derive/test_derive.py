"""Data sets made of others: compacted, selected, with samples removed: sound, and what they should be to the byte."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.reader import open_dataset
from pipeline.dataset.record import read_record
from pipeline.dataset.storage import Directory
from pipeline.derive.choice import All, ByKeys, Choice, parse_shares
from pipeline.derive.compact import plan_compaction
from pipeline.derive.remove import remove
from pipeline.derive.run import derive, select
from pipeline.derive.where import Where
from pipeline.environment import silent
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, ShardConflict, ShardCorrupt
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.dataset.test_reader import add_layer

CANNY: dict[str, Any] = {"kind": "canny"}
PERSONS: dict[str, Any] = {"kind": "keypose", "from": "annotations", "min_persons": 1}
"""A layer that rejects scenes without a person."""


def problems(directory: Path) -> Sequence[object]:
    return verify(Directory(str(directory)), True, WeightsStore(allow_network=False), "cpu").problems


@pytest.fixture
def layered(make_config: Make, run_inline: Run, tmp_path: Path) -> Path:
    """Twelve scenes in three shards with color, and two layers, one of which has rejected some."""
    run_inline(make_config(), tmp_path / "data")
    add_layer(tmp_path / "data", CANNY, make_config)
    add_layer(tmp_path / "data", PERSONS, make_config)
    return tmp_path / "data"


def compacted(data: Path, out: Path, layers: Sequence[str] | None = None) -> Path:
    derive(plan_compaction(Directory(str(data)), Directory(str(out)), layers), offline())
    return out


def selected(data: Path, out: Path, *choices: Choice) -> Path:
    select(open_dataset(str(data)), All(choices), Directory(str(out)), offline())
    return out


def test_a_compacted_data_set_is_the_one_that_prepare_makes_with_all_annotators(
    layered: Path, make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    run_inline(make_config(annotators=[{"kind": "color"}, CANNY, PERSONS]), tmp_path / "at-once")
    assert tree(compacted(layered, tmp_path / "compact")) == tree(tmp_path / "at-once")
    assert problems(tmp_path / "compact") == ()


def test_only_the_layers_that_are_named_are_folded_in(layered: Path, tmp_path: Path) -> None:
    made = open_dataset(str(compacted(layered, tmp_path / "compact", ["canny"])))
    assert [sample.conditions for sample in made] == [("color", "canny")] * 12


def test_compacting_goes_on_where_it_stopped_and_refuses_another_data_set(layered: Path, tmp_path: Path) -> None:
    whole = tree(compacted(layered, tmp_path / "whole"))
    compacted(layered, tmp_path / "stopped")
    for name in ("records/0000001.json", "dataset.json", "shards.jsonl", "keys.npy"):
        (tmp_path / "stopped" / name).unlink()
    assert tree(compacted(layered, tmp_path / "stopped")) == whole
    with pytest.raises(ShardConflict, match=r"must hold this data set, got another one"):
        compacted(layered, tmp_path / "stopped", ["canny"])


def test_a_data_set_without_layers_has_nothing_to_fold_in(data_set: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must have a finished layer to be folded in, got none"):
        compacted(data_set, tmp_path / "compact")


def test_a_selection_has_the_samples_and_their_layers_byte_for_byte(layered: Path, tmp_path: Path) -> None:
    keys = [f"{number:09d}" for number in (1, 2, 6, 7, 8, 9, 11)]
    made = open_dataset(str(selected(layered, tmp_path / "some", ByKeys(frozenset(keys)))))
    assert problems(tmp_path / "some") == ()
    former = open_dataset(str(layered))
    assert [sample.key for sample in made] == keys
    assert [layer.name for layer in made.layers] == ["canny", "keypose"]
    assert [sample.files for sample in made] == [former[key].files for key in keys]
    assert list(made.shards) == ["0000000", "0000001"]  # shards are filled anew


def test_a_split_is_by_key_and_loses_and_doubles_nothing(layered: Path, tmp_path: Path) -> None:
    parts = parse_shares("0.6 0.4")
    made = [open_dataset(str(selected(layered, tmp_path / str(number), part))) for number, part in enumerate(parts)]
    assert all(problems(tmp_path / str(number)) == () for number in range(2))
    found = [sample.key for part in made for sample in part]
    assert len(found) == len(set(found)) == 12
    assert all(len(part) > 0 for part in made)


def test_a_selection_of_everything_is_the_data_set(data_set: Path, tmp_path: Path) -> None:
    everything = tree(selected(data_set, tmp_path / "all"))
    assert everything == tree(data_set)


def test_selecting_goes_on_where_it_stopped_and_refuses_another_selection(layered: Path, tmp_path: Path) -> None:
    choice = ByKeys(frozenset(f"{number:09d}" for number in range(7)))
    whole = tree(selected(layered, tmp_path / "some", choice))
    for name in ("records/0000001.json", "dataset.json", "layers/canny/records/0000000.json"):
        (tmp_path / "some" / name).unlink()
    assert tree(selected(layered, tmp_path / "some", choice)) == whole
    with pytest.raises(ShardConflict, match="must have the bytes that this run makes, got others"):
        selected(layered, tmp_path / "some", ByKeys(frozenset({"000000003"})))


def test_nothing_selected_is_an_error(layered: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"the choice must be of at least one of 12 samples of .*data, got none"):
        selected(layered, tmp_path / "none", ByKeys(frozenset({"another"})))
    assert not (tmp_path / "none").exists()


def test_nothing_is_made_within_the_data_set_that_it_is_made_of(layered: Path) -> None:
    before = tree(layered)
    for out in (layered, layered / "layers/more", layered / "sub"):
        with pytest.raises(ConfigError, match=r"--out .* must lie outside of .*data, got a place in it"):
            compacted(layered, out)
        with pytest.raises(ConfigError, match=r"--out .* must lie outside of .*data, got a place in it"):
            selected(layered, out, ByKeys(frozenset({"000000001"})))
    assert tree(layered) == before


def test_a_data_set_whose_removal_was_cut_off_is_read_as_far_as_it_goes_and_then_says_so(layered: Path) -> None:
    former = {name: (layered / name).read_bytes() for name in ("shards.jsonl", "keys.npy")}
    remove(Directory(str(layered)), frozenset({"000000001"}), silent)
    for name, content in former.items():
        (layered / name).write_bytes(content)
    with pytest.raises(
        ShardCorrupt, match=r"0000000\.json must have more than 4 samples, as shards\.jsonl says, got 4"
    ):
        list(open_dataset(layered))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("width == 96", 12),
        ("width > 96", 0),
        ("captions >= 1 and not width < 96", 12),
        ("key < '000000005' or key == '000000011'", 6),
        ("0 < height <= 80", 12),
    ],
)
def test_a_condition_is_on_columns_of_the_index(text: str, expected: int, layered: Path, tmp_path: Path) -> None:
    choice = All((Where(text),))
    choice.check(open_dataset(str(layered)))
    if expected:
        assert len(open_dataset(str(selected(layered, tmp_path / "some", choice)))) == expected
    else:
        with pytest.raises(ConfigError, match="must be of at least one"):
            selected(layered, tmp_path / "some", choice)


@pytest.mark.parametrize("text", ["", "width >", "__import__('os')", "width", "width + 1 > 2", "True", "width is 3"])
def test_what_is_no_condition_is_said(text: str) -> None:
    with pytest.raises(ConfigError, match="must compare names with numbers or quoted texts"):
        Where(text)


def test_names_keys_and_shares_that_are_none_are_said(layered: Path) -> None:
    data = open_dataset(str(layered))
    with pytest.raises(ConfigError, match=r"must name one of key, .*, captions, got aesthetic; correct it"):
        All((Where("aesthetic > 6"),)).check(data)
    with pytest.raises(ConfigError, match="got 1 that are none, first another; leave them out"):
        All((ByKeys(frozenset({"another", "000000000"})),)).check(data)
    for text in ("0.9 0.2", "", "half half", "0 1"):
        with pytest.raises(ConfigError, match=r"--split must be shares above 0 that sum to at most 1"):
            parse_shares(text)


def test_removed_samples_are_gone_from_the_data_set_and_its_layers(layered: Path) -> None:
    before = open_dataset(str(layered))
    former = {sample.key: sample.files for sample in before}
    gone = frozenset({"000000000", "000000003", "000000007"})
    assert remove(Directory(str(layered)), gone, silent).samples == 3
    assert problems(layered) == ()
    after = open_dataset(str(layered))
    assert {sample.key: sample.files for sample in after} == {
        key: files for key, files in former.items() if key not in gone
    }
    content = b"".join(path.read_bytes() for path in layered.rglob("*.tar"))
    assert not any(f"{key}.".encode() in content for key in gone)


def test_tombstones_stand_in_the_records_and_tars_have_new_names(layered: Path) -> None:
    remove(Directory(str(layered)), frozenset({"000000003"}), silent)
    record = read_record(Directory(str(layered)), "0000000")
    assert [(each.key, each.reason, each.detail) for each in record.rejected] == [
        ("000000003", "removed", "taken down")
    ]
    assert record.tar == "0000000.r1.tar"
    assert not (layered / "shards/0000000.tar").exists()
    assert (layered / "shards/0000001.tar").exists()


def test_a_shard_all_of_whose_samples_are_removed_has_no_tar_and_no_layer(layered: Path) -> None:
    remove(Directory(str(layered)), frozenset({"000000010", "000000011"}), silent)
    assert problems(layered) == ()
    assert not list(layered.rglob("0000002*.tar"))
    assert not (layered / "layers/canny/records/0000002.json").exists()


def test_removing_twice_changes_nothing_and_unknown_keys_are_refused_first(layered: Path) -> None:
    gone = frozenset({"000000003"})
    remove(Directory(str(layered)), gone, silent)
    once = tree(layered)
    assert remove(Directory(str(layered)), gone, silent).samples == 0
    assert tree(layered) == once
    with pytest.raises(ConfigError, match="got 1 that are none, first another; leave them out"):
        remove(Directory(str(layered)), frozenset({"another", "000000001"}), silent)
    assert tree(layered) == once


def test_a_removal_that_was_cut_off_is_finished_by_the_same_command(layered: Path, tmp_path: Path) -> None:
    gone = frozenset({"000000001", "000000006"})
    unbound = tree(layered / "layers")
    remove(Directory(str(layered)), gone, silent)
    finished = open_dataset(str(layered))
    expected = {sample.key: sample.files for sample in finished}
    for name, content in unbound.items():  # as if only the data set's own records had been written
        (layered / "layers" / name).write_bytes(content)
    assert problems(layered) != ()
    remove(Directory(str(layered)), gone, silent)
    assert problems(layered) == ()
    assert {sample.key: sample.files for sample in open_dataset(str(layered))} == expected
