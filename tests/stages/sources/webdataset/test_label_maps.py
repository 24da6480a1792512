from pathlib import Path

import pytest

from stages.fetch import fetch
from stages.records import Reason
from stages.sources.webdataset.source import WebDatasetSource
from tests.stages.sources.webdataset.img2dataset_tars import reason, rows, sample, write_tar


def test_a_label_map_is_the_member_of_that_extension_and_a_sample_must_have_one(tmp_path: Path) -> None:
    files = [*sample(0), *sample(1), ("000000001.Seg.PNG", b"map"), *sample(2)]
    files += [("000000002.seg.png", b"one"), ("./000000002.seg.png", b"other")]
    write_tar(tmp_path / "0.tar", files)
    source = WebDatasetSource(root=str(tmp_path), label_extension="seg.png")
    missing, labelled, *copies = rows(source)
    assert reason(missing) == (Reason.MISSING_LABELS, "0.tar sample '000000000' must have a seg.png, got none")
    assert labelled.rejection is None
    assert fetch(labelled.key, source.label_base_uri, labelled.label_uri) == b"map"
    assert [reason(copy)[0] for copy in copies] == [Reason.DUPLICATE_KEY] * 2
    assert "must have one image (jpg|jpeg|png|webp), one seg.png, one txt, one json" in reason(copies[0])[1]


def test_a_label_map_that_a_cut_tar_lost_makes_its_sample_truncated(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", [*sample(0), ("000000000.seg.png", b"map")])
    content = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(content[: content.index(b"map") - 512])  # before its header
    found = rows(WebDatasetSource(root=str(tmp_path), label_extension="seg.png"))
    assert {reason(row)[0] for row in found} == {Reason.TRUNCATED}
    assert len(found) == 2


def test_a_label_map_cannot_have_the_extension_of_another_member(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"label_extension must be none of jpg, jpeg, png, webp, txt, json, got 'png'"):
        WebDatasetSource(root=str(tmp_path), label_extension="png")
