import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from stages.annotators.segmentation.annotator import SegmentationConfig
from stages.annotators.segmentation.palette import palette
from stages.errors import SourceError
from stages.image.crop import ImageConfig
from stages.image.encode import encode_member
from stages.load import Loading, load_sample
from stages.members import load_pixels
from stages.records import IndexRow, Reason, Rejection, StoredSample
from stages.sources.coco.stuff import CocoStuffSource, read_labels
from stages.sources.index.schema import from_table
from stages.weights.store import WeightsStore

MAPPED = ("000000000785", "000000001268", "000000001993")


@pytest.fixture
def source(shared: Path) -> CocoStuffSource:
    return CocoStuffSource(root=str(shared / "data/coco17"), split="val2017")


@pytest.fixture
def rows(source: CocoStuffSource) -> dict[str, IndexRow]:
    return {row.key: row for row in from_table(pa.Table.from_batches(source.batches()))}


def loading(source: CocoStuffSource, width: int, height: int) -> Loading:
    image = ImageConfig(size_pixels=(width, height))
    return Loading(source.base_uri, source.label_base_uri, source.label_offset, image, seed=0)


@pytest.mark.parametrize("key", MAPPED)
@pytest.mark.parametrize(("width", "height"), [(512, 512), (256, 384)])
def test_the_stored_map_is_the_label_file_plus_one_under_the_images_crop(
    source: CocoStuffSource, rows: dict[str, IndexRow], key: str, width: int, height: int
) -> None:
    stored = load_sample(rows[key], loading(source, width, height))
    assert isinstance(stored, StoredSample)
    (members,) = SegmentationConfig().build("cpu", WeightsStore())([load_pixels(stored)])
    assert not isinstance(members, Rejection)
    with Image.open(io.BytesIO(encode_member(members[0]))) as picture:
        assert picture.mode == "P"
        ids = np.asarray(picture)
        colors = np.asarray(picture.convert("RGB"))
    with Image.open(Path(source.root) / rows[key].label_uri) as labels:
        cut = labels.resize((width, height), Image.Resampling.NEAREST, box=stored.crop.box)
    expected = np.asarray(cut).astype(int) + 1
    expected[expected == 256] = 0
    assert np.array_equal(ids, expected)
    assert np.array_equal(colors, np.frombuffer(palette(), np.uint8).reshape(256, 3)[ids])


def test_a_photograph_without_label_map_is_a_rejection(source: CocoStuffSource, rows: dict[str, IndexRow]) -> None:
    key = next(key for key in rows if key not in MAPPED)
    outcome = load_sample(rows[key], loading(source, 256, 256))
    assert isinstance(outcome, Rejection)
    assert outcome.reason is Reason.MISSING_LABELS
    assert f"stuffthingmaps/val2017/{key}.png" in outcome.detail


def test_the_label_map_is_the_one_in_the_folder_of_the_image(tmp_path: Path) -> None:
    names = ["a.jpg", "sub/a.jpg", "sub\\b.c.jpg", "d.jpg", "d.webp"]
    images = [{"id": number, "file_name": name.replace("\\", "\\")} for number, name in enumerate(names)]
    content = {"images": images, "annotations": [{"image_id": number, "caption": "x"} for number in range(5)]}
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/captions_x.json").write_text(json.dumps(content))
    for folder in ("x", "stuffthingmaps/x"):
        (tmp_path / folder).mkdir(parents=True)
    source = CocoStuffSource(root=str(tmp_path), split="x", keypoints=False)
    listed = from_table(pa.Table.from_batches(source.batches()))
    assert [(row.image_uri, row.label_uri) for row in listed[:3]] == [
        ("x/a.jpg", "stuffthingmaps/x/a.png"),
        ("x/sub/a.jpg", "stuffthingmaps/x/sub/a.png"),
        ("x/sub/b.c.jpg", "stuffthingmaps/x/sub/b.c.png"),
    ]
    assert [row.rejection and row.rejection.detail for row in listed[3:]] == [
        f"x/d.{suffix} must have a label map of its own, got stuffthingmaps/x/d.png for 2 images; rename the others"
        for suffix in ("jpg", "webp")
    ]


def test_the_labels_have_their_official_names(source: CocoStuffSource) -> None:
    labels = source.labels
    assert (labels[0], labels[1], labels[4], labels[124], labels[169]) == (
        "unlabeled",
        "person",
        "motorcycle",
        "grass",
        "tree",
    )


def test_a_malformed_line_of_labels_is_named(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("0: unlabeled\nperson 1\n")
    with pytest.raises(SourceError, match=r"labels\.txt lines must be `<category id>: <name>`, got 'person 1'"):
        read_labels(tmp_path / "labels.txt")


def test_missing_labels_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        read_labels(tmp_path / "labels.txt")
    assert str(caught.value) == (
        f"{tmp_path}/labels.txt must list the categories, got no file; `condset fetch coco_stuff` writes it"
    )


def test_missing_maps_are_named(shared: Path) -> None:
    source = CocoStuffSource(root=str(shared / "data/coco17"), split="train2017")
    with pytest.raises(SourceError) as caught:
        list(source.batches())
    assert str(caught.value) == (
        f"{source.root}/stuffthingmaps/train2017 must be a directory of label maps, got none; `condset fetch coco_stuff"
        f" --split train2017 --out {source.root}` brings them"
    )
