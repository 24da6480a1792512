"""A data set with a layer, seen whole."""

from pathlib import Path

import pytest

from pipeline.dataset.storage import Directory
from pipeline.inspect.dataset import Layer, inspect_data_set
from pipeline.inspect.sheet import PAPER, choose_samples
from pipeline.inspect.statistics import SegmentationStatistics
from pipeline.layer import prepare_layer
from tests.offline import offline
from tests.pipeline.conftest import Make, Run


@pytest.fixture
def layered(make_config: Make, data_set: Path) -> Directory:
    """Twelve scenes with color, and segmentation as a layer."""
    directory = Directory(str(data_set))
    config = make_config(annotators=[{"kind": "segmentation"}])
    prepare_layer(config, directory, offline())
    return directory


def test_a_layers_condition_has_the_statistics_of_one_made_with_the_data_set(
    layered: Directory, make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    run_inline(make_config(annotators=[{"kind": "color"}, {"kind": "segmentation"}]), tmp_path / "both")
    found, both = inspect_data_set(layered, 0), inspect_data_set(Directory(str(tmp_path / "both")), 0)
    assert found.layers == (Layer("segmentation", True, ("segmentation",)),)
    assert found.contents == both.contents
    assert isinstance(both.contents and both.contents.conditions["segmentation"], SegmentationStatistics)


def test_a_layer_that_is_still_being_made_counts_what_it_has(layered: Directory) -> None:
    layered.remove("layers/segmentation/records/0000001.json")
    contents = inspect_data_set(layered, 0).contents
    assert contents
    statistics = contents.conditions["segmentation"]
    assert isinstance(statistics, SegmentationStatistics)
    assert max(label.images for label in statistics.labels) <= 7


def test_the_sheet_has_a_column_for_the_layer_and_a_blank_where_it_has_no_sample(layered: Directory) -> None:
    for name in ("0000001.json", "0000002.json"):
        (layered / "layers/segmentation/records").remove(name)
    headings, shown = choose_samples(layered, 12)
    assert headings == ["image", "color", "segmentation"]
    blank = [each.key for each in shown if each.pictures[2].getcolors() == [(64 * 64, PAPER)]]
    assert blank == [f"{number:09d}" for number in range(5, 12)]
