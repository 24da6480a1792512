"""A name in somebody's file never leads out of the root: a counted rejection, and no word of what lies there.

Metadata of folders, columns of Hugging Face and members of tars are held in the tests of these sources.
"""

import json
from pathlib import Path

import pyarrow as pa
import pytest

from stages.fetch import fetch
from stages.image.crop import ImageConfig
from stages.load import Loading, load_sample
from stages.records import Reason, Rejection
from stages.sources.coco.source import CocoSource
from stages.sources.coco.stuff import CocoStuffSource
from stages.sources.index.names import normal_name
from stages.sources.index.schema import from_table
from stages.sources.synthetic.source import render

OUT = [
    "../../secret.png",
    "/etc/passwd",
    "a/../../../secret.png",
    r"..\..\secret.png",
    r"C:\secret.png",
    r"\\server\secret.png",
    "C:/secret.png",
    "..",
    "",
    "\0",
    "\udc80.png",
]


@pytest.mark.parametrize("kind", [CocoSource, CocoStuffSource])
@pytest.mark.parametrize("name", OUT)
def test_a_file_name_of_coco_that_leads_out_is_a_rejection(
    tmp_path: Path, kind: type[CocoSource] | type[CocoStuffSource], name: str
) -> None:
    root = tmp_path / "root"
    for folder in ("annotations", "x", "stuffthingmaps/x"):
        (root / folder).mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(render("scene:0/1/96x80"))
    content = {"images": [{"id": 1, "file_name": name}], "annotations": [{"image_id": 1, "caption": "x"}]}
    (root / "annotations/captions_x.json").write_text(json.dumps(content))
    source = kind(root=str(root), split="x", keypoints=False)
    (row,) = from_table(pa.Table.from_batches(source.batches()))
    assert row.rejection == Rejection(
        "000000000001",
        Reason.BAD_NAME,
        f"file_name {name!r} must be a plain relative path in UTF-8; fix it in captions_x.json",
    )
    assert (row.image_uri, row.label_uri) == ("", "")
    loading = Loading(source.base_uri, source.label_base_uri, source.label_offset, ImageConfig(), seed=0)
    assert load_sample(row, loading) == row.rejection


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
@pytest.mark.parametrize("name", OUT)
def test_whatever_an_index_says_nothing_outside_of_the_root_is_read(tmp_path: Path, scheme: str, name: str) -> None:
    (tmp_path / "secret.png").write_bytes(b"secret")
    for uri in (name, f"member:{name or '..'}?offset=0&bytes=3"):
        lost = fetch("k", f"{scheme}{tmp_path}/a/b", uri)
        assert isinstance(lost, Rejection)
        assert lost.reason is Reason.BAD_NAME
        assert "must be a plain relative path in UTF-8; fix it in the collection" in lost.detail
        lost.detail.encode()


def test_a_link_that_somebody_made_below_the_root_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/1.png").write_bytes(b"1")
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "real").mkdir()
    (tmp_path / "real/link").symlink_to(tmp_path / "elsewhere")
    assert fetch("k", str(tmp_path / "root"), "link/1.png") == b"1"


@pytest.mark.parametrize("name", ["a..b.jpg", "...", "a b/ü.jpg", "-", "scene:0/1", "~/1.jpg", "C:1.jpg", r"a\b.jpg"])
def test_an_odd_name_is_a_name(name: str) -> None:
    assert normal_name(name) == name
