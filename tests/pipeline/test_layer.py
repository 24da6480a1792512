from collections.abc import Callable, Generator, Sequence
from pathlib import Path

import pytest
from huggingface_hub import DatasetCard
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.dataset.ledger import records
from pipeline.dataset.manifest import read_manifest
from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.execution.inline import InlineExecutor
from pipeline.execution.worker import Work
from pipeline.layer import prepare_layer
from pipeline.run import Summary
from stages.errors import ConfigError, ManifestError, ShardCorrupt, TooManyRejected
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from tests.pipeline.small_coco import SIZES, write_coco

SEGMENTATION = [{"kind": "segmentation"}]
COCO_STUFF = {"kind": "coco_stuff", "split": "val2017", "keypoints": False}


def write_coco_stuff(root: Path) -> Path:
    """Write a small COCO with a label map for each image; returns the directory of the maps."""
    write_coco(root)
    maps = root / "stuffthingmaps"
    (maps / "val2017").mkdir(parents=True)
    (maps / "labels.txt").write_text("0: unlabeled\n1: person\n")
    for number, size in SIZES.items():
        Image.new("L", size).save(maps / f"val2017/{number}.png")
    return maps


def add(config: PrepareConfig, base: Path) -> Summary:
    return prepare_layer(config, Directory(str(base)), offline())[1]


def members(home: Path) -> dict[tuple[str, str], bytes]:
    """(key, extension) to bytes, over all samples of a data set or a layer."""
    directory = Directory(str(home))
    return {
        (entry.key, extension): content
        for record in records(directory)
        for entry in record.samples
        for extension, content in read_sample(directory, record, entry).items()
    }


def test_a_layers_members_are_those_of_a_data_set_made_with_the_condition(
    make_config: Make, run_inline: Run, data_set: Path, tmp_path: Path
) -> None:
    add(make_config(annotators=SEGMENTATION), data_set)
    run_inline(make_config(annotators=[{"kind": "color"}, *SEGMENTATION]), tmp_path / "both")
    together = members(data_set) | members(data_set / "layers/segmentation")
    assert together == members(tmp_path / "both")


def test_a_layer_is_added_from_anywhere_whatever_became_of_the_source(
    make_config: Make, run_inline: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_coco_stuff(tmp_path / "here/coco")
    monkeypatch.chdir(tmp_path / "here")
    run_inline(make_config(source=COCO_STUFF | {"root": "coco"}, max_rejected_fraction=1.0), tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    add(make_config(annotators=[{"kind": "canny"}]), tmp_path / "data")
    labels = [read_manifest(Directory(str(tmp_path / "data" / each))).labels for each in (".", "layers/canny")]
    assert labels == [{"0": "unlabeled", "1": "person"}] * 2


def test_the_data_set_below_is_left_alone_but_for_its_card_which_lists_the_layer(
    make_config: Make, data_set: Path
) -> None:
    before = tree(data_set)
    add(make_config(annotators=SEGMENTATION), data_set)
    after = {name: content for name, content in tree(data_set).items() if not name.startswith("layers/")}
    assert {name for name in after if after[name] != before[name]} == {"README.md"}
    configurations = vars(DatasetCard(after["README.md"].decode()).data)["configs"]
    assert [each["config_name"] for each in configurations] == ["default", "segmentation"]


def test_a_card_that_a_cut_off_run_left_without_the_layer_is_written_again(make_config: Make, data_set: Path) -> None:
    before = (data_set / "README.md").read_bytes()
    add(make_config(annotators=SEGMENTATION), data_set)
    whole = tree(data_set)
    (data_set / "README.md").write_bytes(before)
    assert add(make_config(annotators=SEGMENTATION), data_set).shards_made == 0
    assert tree(data_set) == whole


def test_a_layer_is_resumed_and_recognised_when_complete(make_config: Make, data_set: Path) -> None:
    config = make_config(annotators=SEGMENTATION)
    assert add(config, data_set).shards_made == 3
    whole = tree(data_set)
    (data_set / "layers/segmentation/records/0000001.json").unlink()
    assert add(config, data_set).shards_made == 1
    assert add(config, data_set).shards_made == 0
    assert tree(data_set) == whole


def test_each_record_is_bound_to_the_record_below(make_config: Make, data_set: Path) -> None:
    import hashlib

    add(make_config(annotators=SEGMENTATION), data_set)
    for record in records(Directory(str(data_set / "layers/segmentation"))):
        base = (data_set / f"records/{record.name}.json").read_bytes()
        assert record.base_sha256 == hashlib.sha256(base).hexdigest()


def test_a_condition_that_is_there_already_is_refused(make_config: Make, data_set: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"annotators must add conditions that .* does not have, got color; leave out what it has"
    ):
        add(make_config(), data_set)


def test_a_record_of_the_data_set_below_that_is_gone_is_named(make_config: Make, data_set: Path) -> None:
    record = data_set / "records/0000001.json"
    record.unlink()
    with pytest.raises(ShardCorrupt) as caught:
        add(make_config(annotators=SEGMENTATION), data_set)
    assert str(caught.value) == f"{record} must be there, got none; run `condset prepare` again"


def test_label_maps_that_are_away_are_an_outage(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    maps = write_coco_stuff(tmp_path / "coco")
    source = COCO_STUFF | {"root": str(tmp_path / "coco")}
    run_inline(make_config(source=source, max_rejected_fraction=1.0), tmp_path / "data")
    layer = make_config(source=source, annotators=SEGMENTATION)
    maps.rename(tmp_path / "unmounted")
    with pytest.raises(
        TooManyRejected,
        match=r"shard 0000000 must lose at most 5% of its 5 rows, got 3 lost, first 000000000001: missing_labels "
        r"\(stuffthingmaps/val2017/1.png must be a file below the source's root, got none\); fix",
    ):
        add(layer, tmp_path / "data")
    (tmp_path / "unmounted").rename(maps)
    assert add(layer, tmp_path / "data").manifest.totals.samples == 4


def test_an_unfinished_data_set_is_refused(make_config: Make, data_set: Path) -> None:
    manifest = data_set / "dataset.json"
    manifest.write_text(manifest.read_text().replace('"complete": true', '"complete": false'))
    with pytest.raises(ManifestError, match="must be complete"):
        add(make_config(annotators=SEGMENTATION), data_set)


def test_a_plug_ins_own_bar_does_not_show_beside_condsets(
    make_config: Make, data_set: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from tqdm import tqdm  # type: ignore[import-untyped]

    class WithABar(InlineExecutor):
        def run(
            self, plans: Sequence[ShardPlan], work: Work, progress: Callable[[int], None]
        ) -> Generator[ShardRecord, None, None]:
            yield from tqdm(super().run(plans, work, progress))

    prepare_layer(make_config(annotators=SEGMENTATION), Directory(str(data_set)), offline(WithABar()))
    assert "it/s" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (
            ("dataset.json", '"format": "jpg"', '"format": "png"'),
            ShardCorrupt,
            r"records/0000000\.json sample 000000000 must be whole and in the index, got KeyError: 'png'; run ",
        ),
        (
            ("shards.jsonl", '"name"', '"title"'),
            ManifestError,
            r"shards\.jsonl must list the shards, got KeyError",
        ),
        (("shards.jsonl", "{", "["), ManifestError, r"shards\.jsonl must list the shards, got JSONDecodeError"),
    ],
)
def test_a_damaged_data_set_below_is_said_in_one_line(
    damage: tuple[str, str, str], error: type[Exception], message: str, make_config: Make, data_set: Path
) -> None:
    name, whole, broken = damage
    text = (data_set / name).read_text()
    assert whole in text
    (data_set / name).write_text(text.replace(whole, broken))
    with pytest.raises(error, match=message):
        add(make_config(annotators=SEGMENTATION), data_set)
