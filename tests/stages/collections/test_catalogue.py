"""The table of collections: is it what the sources and the configurations expect?"""

import re
import tomllib
from pathlib import Path

import pytest

from stages.collections.catalogue import COLLECTIONS, Collection
from tests.module_graph import ROOT

ALL = pytest.mark.parametrize("collection", COLLECTIONS.values(), ids=list(COLLECTIONS))


@ALL
def test_the_folders_are_those_of_the_official_layout(collection: Collection, shared: Path) -> None:
    official = {str(path.relative_to(shared / "data/coco17")) for path in (shared / "data/coco17").rglob("*")}
    folders = {folder.below_root for archive in collection.archives for folder in archive.folders}
    assert folders <= official | {"stuffthingmaps/train2017"}
    assert {name for name, _ in collection.texts} <= official


@ALL
def test_its_configuration_reads_what_was_fetched(collection: Collection) -> None:
    config = tomllib.loads((ROOT / collection.config).read_text())
    assert config["name"] == collection.data_set
    source = config["source"]
    assert source["root"] == "data/coco17"
    assert source["split"] in collection.splits
    assert source["kind"] in ("coco", "coco_stuff")


@ALL
def test_a_split_needs_the_annotations_and_its_own_photographs(collection: Collection) -> None:
    chosen = {archive.name for archive in collection.archives_of(["val2017"])}
    assert {"annotations_trainval2017.zip", "val2017.zip"} <= chosen
    assert "train2017.zip" not in chosen
    assert collection.archives_of(collection.splits) == collection.archives


@ALL
def test_every_archive_is_named_as_its_address_and_pinned_by_a_whole_sum_if_one_is_published(
    collection: Collection,
) -> None:
    for archive in collection.archives:
        assert archive.url.endswith(f"/{archive.name}")
        assert re.fullmatch(r"[0-9a-f]{64}", archive.sha256) or (archive.sha256 == "" and not archive.is_exact)
        assert all(folder.files for folder in archive.folders)
