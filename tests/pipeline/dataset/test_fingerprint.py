"""The fingerprint is of what a data set is made from: not of where that lies."""

import pytest

from pipeline.dataset.fingerprint import dataset_inputs, differences, fingerprint, layer_inputs, listing_inputs
from stages.settings import Mark, changed, marks
from tests.pipeline.conftest import Make

INDEX = "1" * 64
WEIGHTS = {"pidinet": "a" * 64}
COCO: dict[str, object] = {"kind": "coco", "root": "/here/coco", "split": "val2017"}
SKETCH: dict[str, object] = {"kind": "sketch", "weights": "/here/mine.pth"}


def test_where_collection_and_weights_lie_is_no_part_of_it(make_config: Make) -> None:
    here = make_config(source=COCO, annotators=[SKETCH])
    there = make_config(source=COCO | {"root": "/there"}, annotators=[SKETCH | {"weights": "/there/other.pth"}])
    assert {name for name, mark in marks(here).items() if mark is Mark.PLACE} == {"source.root", "annotators.0.weights"}
    assert dataset_inputs(here, INDEX, WEIGHTS) == dataset_inputs(there, INDEX, WEIGHTS)
    assert layer_inputs(here, "f", WEIGHTS) == layer_inputs(there, "f", WEIGHTS)
    assert listing_inputs(here) == listing_inputs(there)


def test_how_the_work_is_spread_over_a_machine_is_no_part_of_it(make_config: Make) -> None:
    here = make_config()
    there = make_config(execution={"device": "cpu", "threads_per_worker": 2, "workers": 2})
    assert dataset_inputs(here, INDEX, {}) == dataset_inputs(there, INDEX, {})


@pytest.mark.parametrize(
    ("changes", "difference"),
    [
        ({"seed": 1}, "seed 0 there, 1 here"),
        ({"limit": 3}, "limit 0 there, 3 here"),
        ({"samples_per_shard": 6}, "samples_per_shard 5 there, 6 here"),
        ({"source": COCO | {"split": "train2017"}}, "source.split 'val2017' there, 'train2017' here"),
        ({"image": {"size_pixels": 64, "quality": 80}}, "image.quality 95 there, 80 here"),
        ({"annotators": [SKETCH | {"dtype": "float32"}]}, "annotators.0.dtype 'auto' there, 'float32' here"),
    ],
)
def test_whatever_shows_in_the_data_is_part_of_it(
    make_config: Make, changes: dict[str, object], difference: str
) -> None:
    there = dataset_inputs(make_config(source=COCO, annotators=[SKETCH]), INDEX, WEIGHTS)
    here = dataset_inputs(make_config(**{"source": COCO, "annotators": [SKETCH]} | changes), INDEX, WEIGHTS)
    assert differences(there, here) == difference
    assert fingerprint(there) != fingerprint(here)


def test_weights_and_index_count_by_their_content(make_config: Make) -> None:
    config = make_config(annotators=[SKETCH])
    there = dataset_inputs(config, INDEX, WEIGHTS)
    assert differences(there, dataset_inputs(config, "2" * 64, WEIGHTS)) == f"index {INDEX!r} there, {'2' * 64!r} here"
    other = dataset_inputs(config, INDEX, {"pidinet": "b" * 64})
    assert differences(there, other) == f"weights.pidinet {'a' * 64!r} there, {'b' * 64!r} here"


def test_the_order_of_conditions_is_part_of_it(make_config: Make) -> None:
    here = make_config(annotators=[{"kind": "color"}, {"kind": "canny"}])
    there = changed(here, annotators=[{"kind": "canny"}, {"kind": "color"}])
    assert fingerprint(dataset_inputs(here, INDEX, {})) != fingerprint(dataset_inputs(there, INDEX, {}))
