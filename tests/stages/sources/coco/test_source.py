import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stages.errors import SourceError
from stages.records import IndexRow, Reason
from stages.sources.coco.source import CocoSource
from stages.sources.index.schema import from_table


def rows(source: CocoSource) -> list[IndexRow]:
    import pyarrow as pa

    return from_table(pa.Table.from_batches(source.batches()))


def write_annotations(root: Path, joints: int = 17, **changes: object) -> CocoSource:
    """A COCO layout of two images, one of them with a person and a crowd; `changes` are of the file of captions."""
    person = {"id": 1, "image_id": 2, "keypoints": [5, 6, 2] + [0, 0, 0] * (joints - 2) + [7, 8, 1], "iscrowd": 0}
    crowd = {"id": 2, "image_id": 2, "keypoints": [0, 0, 0] * 17, "iscrowd": 1}
    common = {
        "licenses": [{"id": 4, "name": "Attribution License", "url": "http://cc/by"}],
        "images": [
            {"id": 7, "file_name": "7.jpg", "license": 4, "flickr_url": "http://flickr/7", "width": 30, "height": 20},
            {"id": 2, "file_name": "2.jpg", "license": 4, "coco_url": "http://coco/2", "width": 30, "height": 20},
        ],
    }
    captions = [{"id": n, "image_id": n, "caption": f"  a   caption of {n}\n"} for n in (2, 7)]
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    files = {
        "captions_val2017": common | {"annotations": captions} | changes,
        "person_keypoints_val2017": common | {"annotations": [person, crowd]},
    }
    for name, content in files.items():
        (root / "annotations" / f"{name}.json").write_text(json.dumps(content))
    return CocoSource(root=str(root), split="val2017")


@pytest.mark.parametrize(("split", "images", "posed"), [("train2017", 26, None), ("val2017", 53, None)])
def test_the_real_photographs_are_listed_with_five_captions_each(
    shared: Path, split: str, images: int, posed: None
) -> None:
    listed = rows(CocoSource(root=str(shared / "data/coco17"), split=split))
    assert len(listed) == images
    assert {len(row.captions) for row in listed} == {5}
    assert [row.key for row in listed] == sorted(row.key for row in listed)
    assert all((shared / "data/coco17" / row.image_uri).is_file() for row in listed)
    assert all(row.license and row.source_url.startswith("http") for row in listed)


def test_seventeen_of_the_real_photographs_have_annotated_persons(shared: Path) -> None:
    listed = [
        row
        for split in ("train2017", "val2017")
        for row in rows(CocoSource(root=str(shared / "data/coco17"), split=split))
    ]
    posed = [row for row in listed if row.keypoints.size]
    assert len(posed) == 17
    assert all(set(np.unique(row.keypoints[..., 2])) <= {0.0, 1.0} for row in posed)


def test_rows_come_in_the_order_of_ids_with_clean_captions_and_licence(tmp_path: Path) -> None:
    first, second = rows(write_annotations(tmp_path))
    assert (first.key, second.key) == ("000000000002", "000000000007")
    assert first.captions == ("a caption of 2",)
    assert (first.source_url, second.source_url) == ("http://coco/2", "http://flickr/7")
    assert first.license == "Attribution License (http://cc/by)"
    assert (first.width, first.height) == (30, 20)


def test_visibility_becomes_a_score_and_crowds_are_skipped(tmp_path: Path) -> None:
    first, second = rows(write_annotations(tmp_path))
    assert first.keypoints.shape == (1, 17, 3)
    assert first.keypoints[0, 0].tolist() == [5, 6, 1]
    assert first.keypoints[0, 1].tolist() == [0, 0, 0]
    assert first.keypoints[0, 16].tolist() == [7, 8, 1]
    assert second.keypoints.shape == (0, 17, 3)


def test_an_image_without_caption_is_listed_as_rejected(tmp_path: Path) -> None:
    source = write_annotations(
        tmp_path, annotations=[{"id": 1, "image_id": 2, "caption": "x"}, {"id": 2, "image_id": 7}]
    )
    first, second = rows(source)
    assert first.rejection is None
    assert second.rejection
    assert second.rejection.reason is Reason.NO_CAPTION
    assert second.rejection.detail == "captions_val2017.json has no caption for image 7"


def test_what_other_writers_leave_out_is_unknown(tmp_path: Path) -> None:
    """COCO's own files have all of it; people's files in its layout do not."""
    bare = {"license": None, "width": None, "height": None}
    source = write_annotations(
        tmp_path,
        licenses=[{"id": 4, "name": "MIT"}],
        images=[{"id": 2, "file_name": "2.jpg", **bare}, {"id": 7, "file_name": "7.jpg", "license": 4}],
        annotations=[{"id": 1, "image_id": 2, "caption": "a \ud83d cat"}, {"id": 2, "image_id": 7, "caption": "x"}],
    )
    first, second = rows(source)
    assert (first.license, first.width, first.height, first.captions) == ("", 0, 0, ())
    assert (second.license, second.captions) == ("MIT", ("x",))
    assert len(rows(write_annotations(tmp_path / "b", licenses=None))) == 2


@pytest.mark.parametrize(
    ("changes", "got"),
    [
        ({"joints": 16}, "a person with 48 numbers, where 17 keypoints have 51"),
        ({"images": [{"id": 2, "file_name": "2.jpg", "license": "CC"}]}, "invalid literal for int"),
    ],
)
def test_an_image_described_otherwise_is_named(tmp_path: Path, changes: dict[str, Any], got: str) -> None:
    with pytest.raises(SourceError, match=f"image 2 of val2017 in .* must be described as in COCO, got {got}"):
        rows(write_annotations(tmp_path, **changes))


def test_a_split_whose_photographs_are_not_there_is_named_before_it_is_listed(tmp_path: Path) -> None:
    source = write_annotations(tmp_path)
    (tmp_path / "val2017").rmdir()
    with pytest.raises(SourceError) as caught:
        rows(source)
    assert str(caught.value) == (
        f"{tmp_path}/val2017 must be the directory of the photographs, got none; `condset fetch coco17 --split val2017"
        f" --out {tmp_path}` brings them, or set source.split to one that is there"
    )


def test_a_missing_file_of_captions_is_named(tmp_path: Path) -> None:
    (tmp_path / "val2017").mkdir()
    with pytest.raises(
        SourceError,
        match=r"captions_val2017\.json must be COCO's annotation file, got no file; `condset fetch coco17",
    ):
        rows(CocoSource(root=str(tmp_path), split="val2017"))


def test_missing_keypoints_can_be_left_out(tmp_path: Path) -> None:
    source = write_annotations(tmp_path)
    (tmp_path / "annotations/person_keypoints_val2017.json").unlink()
    with pytest.raises(SourceError, match=r"person_keypoints_val2017\.json .*, or set source\.keypoints = false"):
        rows(source)
    assert len(rows(CocoSource(root=str(tmp_path), split="val2017", keypoints=False))) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "must be JSON, got Expecting property name"),
        ("[1, 2]", "must have COCO's layout, got AssertionError"),
        ('{"annotations": [{"caption": "x"}]}', "must have COCO's layout, got KeyError"),
        ('{"annotations": []}', "images must each have an id and a file_name, got no images"),
        ('{"images": [{"id": 3}], "annotations": []}', r"images must each have an id and a file_name, got \{'id': 3\}"),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    source = write_annotations(tmp_path)
    (tmp_path / "annotations/captions_val2017.json").write_text(content)
    with pytest.raises(SourceError, match=rf"captions_val2017\.json {message}.*; download it again"):
        rows(source)


def test_pycocotools_prints_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows(write_annotations(tmp_path))
    assert capsys.readouterr().out == ""
