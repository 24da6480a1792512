"""What a user must change before a collection can be fetched: one line each, and nothing lost."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from stages.collections.fetched import read_fetched
from stages.errors import SourceError
from tests.file_server import FileServer
from tests.stages.collections.small_archives import (
    ARCHIVES,
    FILES,
    LAID_OUT,
    SUMS,
    archives,
    bring,
    laid_out,
    own_sums,
    zipped,
)


def test_a_wrong_sum_is_named_and_the_download_deleted(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError) as caught:
        bring(archives(server, "wrong"), tmp_path)
    name = "annotations_trainval2017.zip"
    wrong = hashlib.sha256(ARCHIVES[name][::-1]).hexdigest()
    assert str(caught.value) == (
        f"{server.url('wrong')}/{name} must have sha256 {SUMS[name]}, got {wrong} in {len(ARCHIVES[name])} bytes; the"
        " download was deleted: try again; if that does not help, the publisher has replaced the file"
    )
    assert laid_out(tmp_path) == {}


def test_a_published_archive_must_have_its_published_size(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"must be 252907541 bytes long, got \d+; a proxy answers in its place"):
        bring(archives(server, sums={}), tmp_path)
    assert server.requests == []


def test_a_web_page_in_place_of_a_zip_is_refused_before_it_comes(server: FileServer, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"/page/annotations_trainval2017\.zip must be a file, got a web page; "):
        bring(archives(server, "page"), tmp_path)
    assert server.requests == []


def test_a_missing_archive_shows_before_the_first_one_comes(server: FileServer, tmp_path: Path) -> None:
    good, bad = archives(server)[0], archives(server, "missing")[1]
    with pytest.raises(SourceError, match=r"/missing/val2017\.zip must be a file, got HTTP 404 Not Found"):
        bring([good, bad], tmp_path)
    assert server.requests == []


def test_an_archive_that_does_not_fit_on_the_disk_shows_before_the_first_byte(
    server: FileServer, tmp_path: Path
) -> None:
    with pytest.raises(SourceError) as caught:
        bring(archives(server, "vast"), tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path} must have room for 5420000.0 GB (2000000.0 GB to download, 4420000.0 GB unpacked), got "
    )
    assert str(caught.value).endswith(" GB free; make room or choose another --out")
    assert server.requests == []


def test_a_file_of_somebody_else_is_never_replaced(server: FileServer, tmp_path: Path) -> None:
    mine = tmp_path / "annotations/captions_val2017.json"
    mine.parent.mkdir()
    mine.write_bytes(b"my own captions")
    with pytest.raises(SourceError) as caught:
        bring(archives(server), tmp_path)
    assert str(caught.value) == (
        f"{mine} must be as in annotations_trainval2017.zip, got another file; move it away or choose another --out"
    )
    assert mine.read_bytes() == b"my own captions"
    mine.unlink()
    bring(archives(server), tmp_path)
    assert laid_out(tmp_path) == LAID_OUT


def test_a_wrong_archive_that_somebody_put_there_is_named_and_left(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "val2017.zip").write_bytes(b"PK of something else")
    with pytest.raises(SourceError, match=r"/val2017\.zip must have sha256 \w{64}, got \w{64}; move it away, and "):
        bring(archives(server), tmp_path)
    assert (tmp_path / "val2017.zip").read_bytes() == b"PK of something else"


def test_an_archive_with_fewer_files_than_published_is_deleted_and_named(server: FileServer, tmp_path: Path) -> None:
    (archive,) = [each for each in archives(server) if each.name == "val2017.zip"]
    short = replace(archive, folders=tuple(replace(folder, files=5000) for folder in archive.folders))
    with pytest.raises(SourceError) as caught:
        bring([short], tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/val2017.zip must hold 5,000 files in val2017/, got 5; the download was deleted: try again; if"
        " that does not help, the publisher has replaced the file"
    )
    assert laid_out(tmp_path) == {}
    assert read_fetched(tmp_path) == {}


def test_an_archive_that_leads_outside_is_deleted_and_nothing_is_written(server: FileServer, tmp_path: Path) -> None:
    evil = zipped(FILES["val2017.zip"] | {"../../evil": b"x"})
    server.files = {"val2017.zip": evil}
    (archive,) = archives(server, sums=own_sums(val2017=evil))[1:]
    with pytest.raises(
        SourceError, match=r"/val2017\.zip names must stay below their folder, got '\.\./\.\./evil'; the"
    ):
        bring([archive], tmp_path / "deep/root")
    assert laid_out(tmp_path / "deep/root") == {}
    assert not list(tmp_path.rglob("evil"))


def test_another_archive_than_the_one_unpacked_is_refused(server: FileServer, tmp_path: Path) -> None:
    bring(archives(server), tmp_path)
    with pytest.raises(SourceError) as caught:
        bring(archives(server, sums=own_sums(val2017=b"another")), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} must hold val2017.zip of sha256 {hashlib.sha256(b'another').hexdigest()}, unpacked, got one of"
        f" {SUMS['val2017.zip']} from {server.url('val2017.zip')}; give the --sums of that one or choose another --out"
    )


def test_a_directory_that_cannot_be_made_is_named(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(SourceError, match=r"/taken must be writable, got File exists; make room there or"):
        bring(archives(server), tmp_path / "taken")


def test_a_garbled_record_is_one_line(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "fetched.json").write_text('{"val2017.zip": {"url": 5}}')
    with pytest.raises(SourceError, match=r"fetched\.json val2017\.zip\.url must be what condset fetch wrote, got: "):
        bring(archives(server), tmp_path)
