import gzip
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from stages.errors import ConfigError, SourceError
from stages.fetch import fetch
from stages.records import Reason
from stages.sources.index.dropped import from_metadata
from stages.sources.webdataset.source import WebDatasetSource
from tests.stages.sources.webdataset.img2dataset_tars import only, reason, rows, sample, write_one, write_tar


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"txt": b" \n"},
        {"txt": b"\xff\xfe latin"},
        {"txt": b"x" * (1 << 20 | 1)},
        {"json": b'{"caption": null}'},
        {"json": b'{"caption": "\\ud800"}'},
        {"json": b'["caption"]'},
    ],
)
def test_an_image_without_caption_is_rejected(tmp_path: Path, files: Mapping[str, bytes]) -> None:
    members = [("a.jpg", b"x"), *((f"a.{extension}", content) for extension, content in files.items())]
    assert reason(only(rows(write_one(tmp_path, members)))) == (
        Reason.NO_CAPTION,
        "0.tar sample 'a' has no caption in a UTF-8 txt or in json 'caption'",
    )


def test_a_caption_without_image_is_rejected(tmp_path: Path) -> None:
    assert reason(only(rows(write_one(tmp_path, [("a.txt", b"x"), ("a.depth.png", b"no image of the sample")])))) == (
        Reason.MISSING_FILE,
        "0.tar sample 'a' must have an image (jpg|jpeg|png|webp), got none",
    )


def test_a_stem_with_two_images_is_rejected_twice_unless_one_kind_is_named(tmp_path: Path) -> None:
    source = write_one(tmp_path, [("a.jpg", b"x"), ("a.png", b"mask"), ("a.txt", b"y")])
    first, second = rows(source)
    assert first.key == second.key
    assert reason(first) == (
        Reason.DUPLICATE_KEY,
        "0.tar sample 'a' must have one image (jpg|jpeg|png|webp), one txt, one json, got 2 of a kind; "
        "see source.image_extensions",
    )
    assert only(rows(source.model_copy(update={"image_extensions": ("jpg",)}))).rejection is None


@pytest.mark.parametrize("stem", ["../a", "/etc/a", "b/../../a", "b/\udcff", r"b\..\..\a", "C:/a"])
def test_names_that_climb_out_of_the_tar_are_refused(tmp_path: Path, stem: str) -> None:
    source = write_one(tmp_path, [(f"{stem}.jpg", b"x"), (f"{stem}.txt", b"y")])
    assert reason(only(rows(source))) == (
        Reason.BAD_NAME,
        f"0.tar sample {stem!r} must be named by a plain relative path in UTF-8",
    )


def test_members_that_belong_to_no_sample_are_passed_over(tmp_path: Path) -> None:
    files = [
        ("./d//a.jpg", b"x"),
        ("d/a.txt", b"y"),
        ("README", b""),
        (".a.jpg", b""),
        ("d/._a.jpg", b""),
        ("b.npy", b""),
    ]
    row = only(rows(write_one(tmp_path, files)))
    assert row.rejection is None
    assert len(row.key) == 20


def test_members_of_no_sample_are_counted_by_their_suffix(tmp_path: Path) -> None:
    members = ["a.jpg", "a.txt", "a.depth.png", "b.npy", "README", ".c.png", "__MACOSX/a.png", "30.05.png", "d.mp4"]
    (batch,) = write_one(tmp_path, [(name, b"x") for name in members]).batches()
    assert from_metadata(batch.schema.metadata) == {
        ".mp4 members": 1,
        ".npy members": 1,
        ".png members": 2,
        "other members": 1,
    }


def test_a_name_with_a_dot_is_a_stem_where_image_and_caption_share_it(tmp_path: Path) -> None:
    names = ["22.05.png", "22.05.txt", "22.06.JPG", "22.06.json", "d/3.1.gif", "d/3.1.txt"]
    first, second, third = rows(write_one(tmp_path, [(name, b'{"caption": "x"}') for name in names]))
    assert {row.rejection for row in (first, second, third)} == {None}
    assert (second.captions, third.captions) == (("x",), ('{"caption": "x"}',))


@pytest.mark.parametrize("extension", ["gif", "jfif", "jpe", "bmp", "tif", "avif"])
def test_an_image_of_a_rare_suffix_is_the_samples_where_there_is_no_usual_one(tmp_path: Path, extension: str) -> None:
    members = [(f"a.{extension}", b"a"), ("a.txt", b"x"), (f"b.{extension}", b"b"), ("b.jpg", b"jpg"), ("b.txt", b"y")]
    source = write_one(tmp_path, members)
    assert [fetch(row.key, source.root, row.image_uri) for row in rows(source)] == [b"a", b"jpg"]
    named = source.model_copy(update={"image_extensions": ("jpg",)})
    assert [row.rejection is None for row in rows(named)] == [False, True]


def test_a_cut_tar_has_a_row_for_what_it_lost_and_the_other_tars_are_listed(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", sample(0))
    content = (tmp_path / "0.tar").read_bytes()
    (tmp_path / "0.tar").write_bytes(content[:600])
    (tmp_path / "1.tar").write_bytes(b"")
    write_tar(tmp_path / "2.tar", sample(2))
    cut, lost, empty, whole = rows(WebDatasetSource(root=str(tmp_path)))
    size = len(sample(0)[0][1])
    what = f"0.tar ends at byte 600, where '000000000.jpg' would end at {512 + size}"
    assert reason(cut) == (Reason.TRUNCATED, f"0.tar sample '000000000' must be complete, but {what}")
    assert reason(lost) == (Reason.TRUNCATED, f"{what}; unpack or download it again")
    assert reason(empty)[0] is Reason.TRUNCATED
    assert whole.captions == ("photograph 2",)


def test_numbers_under_thousands_of_names_are_no_scores(tmp_path: Path) -> None:
    wide = json.dumps({"caption": "x"} | {f"n{number}": 1 for number in range(2000)}).encode()
    good, lost = rows(write_one(tmp_path, [("a.jpg", b"x"), ("a.json", wide), *sample(1)]))
    assert (good.rejection, len(good.scores)) == (None, 2)
    assert reason(lost)[0] is Reason.NO_CAPTION
    many = [(f"{n}.json", json.dumps({f"{n} {m}": 1 for m in range(600)}).encode()) for n in range(2)]
    with pytest.raises(SourceError, match=r"0\.tar samples must state at most 1000 numbers each, got 1200 of"):
        rows(write_one(tmp_path, many))


def test_an_extended_header_that_says_it_is_huge_is_not_read(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", sample(0))
    content = (tmp_path / "0.tar").read_bytes()
    end = len(content.rstrip(b"\0")) // 512 * 512 + 512
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 31
    with (tmp_path / "0.tar").open("r+b") as file:
        file.seek(end)
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(end + (1 << 32))
    good, lost = sorted(rows(WebDatasetSource(root=str(tmp_path))), key=lambda row: row.rejection is not None)
    assert good.captions == ("photograph 0",)
    assert "a header of 2147483648 bytes, where 1048576 hold any name" in reason(lost)[1]


def test_a_pipe_in_place_of_a_tar_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.tar")
    with pytest.raises(SourceError, match=r"0\.tar must be readable, got .*0\.tar is no regular file; fix the storage"):
        rows(WebDatasetSource(root=str(tmp_path)))


def test_a_pattern_without_match_a_missing_and_a_compressed_tar_are_errors(tmp_path: Path) -> None:
    write_tar(tmp_path / "0.tar", sample(0))
    (tmp_path / "0.tar.gz").write_bytes(gzip.compress((tmp_path / "0.tar").read_bytes()))
    patterns: list[tuple[str | tuple[str, ...], str]] = [
        ("*.tgz", r"source\.tars \*\.tgz must match files in .*, got none; fix the pattern or root"),
        (("0.tar", "x*.tar"), r"source\.tars x\*\.tar must match files"),
        ("{0..1}.tar", r"1\.tar must be a tar, got no file; fix source\.root or source\.tars"),
        ("0.tar.gz", r"0\.tar\.gz must be an uncompressed tar, got gzip; unpack it once"),
    ]
    for tars, message in patterns:
        with pytest.raises(SourceError, match=message):
            rows(WebDatasetSource(root=str(tmp_path), tars=tars))
    with pytest.raises(ConfigError, match=r"source\.tars must be names with balanced braces, got '\{0\.tar'"):
        rows(WebDatasetSource(root=str(tmp_path), tars="{0.tar"))


def test_a_tar_whose_name_no_index_can_hold_is_an_error(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.tar")
    write_tar(tmp_path / name, sample(0))
    with pytest.raises(SourceError) as caught:
        rows(WebDatasetSource(root=str(tmp_path)))
    assert str(caught.value) == f"{tmp_path} tar {name!r} must have a name in UTF-8; rename it"
