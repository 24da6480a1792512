import json
import math
from collections.abc import Callable, Sequence
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


def write_annotations(
    root: Path, joints: int = 17, first_joint: Sequence[object] = (5, 6, 2), **changes: object
) -> CocoSource:
    """A COCO layout of two images, one of them with a person and a crowd; `changes` are of the file of captions."""
    person = {"id": 1, "image_id": 2, "keypoints": [*first_joint] + [0, 0, 0] * (joints - 2) + [7, 8, 1], "iscrowd": 0}
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
        ({"first_joint": ["left", 6, 2]}, r"a person with keypoints \['left', 6, 2, 0"),
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


def test_keypoints_are_read_where_they_are_and_missed_by_those_who_draw_them(tmp_path: Path) -> None:
    source = write_annotations(tmp_path)
    assert source.lacks_keypoints == ""
    path = tmp_path / "annotations/person_keypoints_val2017.json"
    path.unlink()
    assert [row.keypoints.size for row in rows(source)] == [0, 0]
    assert source.lacks_keypoints == f"no {path}; `condset fetch coco17 --out {tmp_path}` brings it"
    assert source.model_copy(update={"keypoints": False}).lacks_keypoints == "source.keypoints = false"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{not json", "must be JSON, got Expecting property name"),
        ("[1, 2]", r"must have COCO's layout, got \[1, 2\]"),
        (
            '{"images": [{"id": 3, "file_name": "x"}], "annotations": [{"caption": "x"}]}',
            "annotations must each have an",
        ),
        ('{"images": [{"id": 3, "file_name": "x"}]}', "annotations must be a list of JSON objects, got no annotations"),
        ('{"annotations": []}', "images must be a list of JSON objects, got no images"),
        ('{"images": [], "annotations": []}', "images must each have an id and a file_name, got no images"),
        ('{"images": [7], "annotations": []}', r"images must be a list of JSON objects, got \[7\]"),
        ('{"images": [{"id": 3}], "annotations": []}', r"images must each have an id and a file_name, got \{'id': 3\}"),
        (
            '{"images": "' + "x" * (3 << 20) + '"}',
            "must have at most .* no text of over 1048576, got",
        ),
    ],
)
def test_a_malformed_file_is_one_clear_line(tmp_path: Path, content: str, message: str) -> None:
    source = write_annotations(tmp_path)
    (tmp_path / "annotations/captions_val2017.json").write_text(content)
    with pytest.raises(SourceError, match=rf"captions_val2017\.json {message}.*; download it again"):
        rows(source)


@pytest.mark.parametrize("write", [str, float, lambda number: f"{number:012d}"], ids=["text", "float", "zeros"])
@pytest.mark.parametrize("place", ["images", "annotations"])
def test_ids_are_the_same_ids_however_they_are_written(
    tmp_path: Path, write: Callable[[int], object], place: str
) -> None:
    image, caption = {"id": 2, "file_name": "2.jpg"}, {"id": 1, "image_id": 2, "caption": "x"}
    changed = {"images": image | {"id": write(2)}, "annotations": caption | {"image_id": write(2)}}
    entries = {"images": image, "annotations": caption} | {place: changed[place]}
    source = write_annotations(tmp_path, images=[entries["images"]], annotations=[entries["annotations"]])
    (row,) = rows(source)
    assert (row.key, row.captions, row.rejection, row.keypoints.shape) == ("000000000002", ("x",), None, (1, 17, 3))


def test_ids_that_are_no_numbers_are_ids(tmp_path: Path) -> None:
    images = [{"id": name, "file_name": f"{name}.jpg"} for name in ("b", "a/c")] + [{"id": 2, "file_name": "2.jpg"}]
    captions = [{"id": name, "image_id": name, "caption": f"of {name}"} for name in ("a/c", "b", 2)]
    listed = rows(write_annotations(tmp_path, images=images, annotations=captions))
    assert [row.captions for row in listed] == [("of 2",), ("of a/c",), ("of b",)]
    assert [len(row.key) for row in listed] == [12, 20, 20]


@pytest.mark.parametrize(
    ("licenses", "stated", "expected"),
    [
        ([{"id": "4", "name": "MIT"}], 4, "MIT"),
        ([{"id": 4, "name": "MIT"}], "4", "MIT"),
        ([{"id": "cc", "name": "CC BY", "url": "http://cc"}], "cc", "CC BY (http://cc)"),
        ({"4": "MIT"}, 4, "MIT"),
        ({"4": {"name": "MIT", "url": None}}, "4", "MIT"),
        (["CC0", "MIT"], 2, "MIT"),
        (["MIT", "CC0"], 0, "MIT"),
        ([], "CC BY 4.0", "CC BY 4.0"),
        (["CC BY"], "CC BY", "CC BY"),
        ([{"id": 4, "name": "MIT"}], 5, ""),
        ([{"id": 4, "name": "MIT"}], None, ""),
    ],
)
def test_licences_may_be_a_list_a_table_or_names(
    tmp_path: Path, licenses: object, stated: object, expected: str
) -> None:
    images = [{"id": 2, "file_name": "2.jpg", "license": stated}]
    (row,) = rows(write_annotations(tmp_path, licenses=licenses, images=images))
    assert row.license == expected


def test_licences_by_name_alone_whose_counting_cannot_be_known_are_an_error(tmp_path: Path) -> None:
    images = [{"id": 2, "file_name": "2.jpg", "license": 1}]
    with pytest.raises(
        SourceError, match=r"licenses must each have an id and a name, got names alone .*; write \{\"id\""
    ):
        rows(write_annotations(tmp_path, licenses=["CC0", "MIT"], images=images))


def test_what_coco_has_besides_is_not_asked_for(tmp_path: Path) -> None:
    bare = [{"id": 2, "file_name": "2.jpg"}]
    source = write_annotations(tmp_path, categories=[], images=bare)
    path = tmp_path / "annotations/captions_val2017.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    (row,) = rows(source)
    assert (row.captions, row.width, row.height) == (("a caption of 2",), 0, 0)


@pytest.mark.parametrize("joint", [[math.nan, 6, 2], [5, math.inf, 2], [None, None, None]])
def test_a_keypoint_that_is_no_number_was_not_annotated(tmp_path: Path, joint: list[float]) -> None:
    first, _ = rows(write_annotations(tmp_path, first_joint=joint))
    assert first.keypoints[0, 0].tolist() == [0, 0, 0]
    assert first.keypoints[0, 16].tolist() == [7, 8, 1]
