"""Fetching small archives of the published shape from a local server: cut, resumed, wrong, too large, interrupted."""

import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

from stages.collections.catalogue import COLLECTIONS
from stages.collections.fetch import FetchSummary, fetch
from stages.collections.fetched import read_fetched
from stages.errors import SourceError
from stages.sources.coco.stuff_labels import LABELS_TEXT
from stages.web.progress import in_words
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
    pictures,
    tree,
    written,
    zipped,
)

SUMMARY = {"annotations": 6, "val2017": 5}
SIZES = {name: len(ARCHIVES[name]) for name in ("annotations_trainval2017.zip", "val2017.zip")}


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Let no file grow beyond some bytes: what a full disk does to a program, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_fetched_collection_is_laid_out_and_nothing_else_is_left(server: FileServer, tmp_path: Path) -> None:
    said: list[str] = []
    assert bring(archives(server), tmp_path, said) == FetchSummary(SUMMARY, was_there=False)
    assert laid_out(tmp_path) == LAID_OUT
    (line,) = said
    coming = in_words(sum(SIZES.values()))
    assert line.startswith(f"coco17: {coming} to download, 514.5 kB unpacked; takes ")
    assert line.endswith(f" that are free in {tmp_path}")


def test_the_record_says_where_each_archive_came_from(server: FileServer, tmp_path: Path) -> None:
    bring(archives(server), tmp_path)
    entry = read_fetched(tmp_path)["val2017.zip"]
    assert (entry.url, entry.sha256) == (server.url("val2017.zip"), SUMS["val2017.zip"])
    assert (entry.size_bytes, entry.files, entry.is_unpacked) == (len(ARCHIVES["val2017.zip"]), {"val2017": 5}, True)


def test_a_finished_fetch_is_recognised_without_the_network(server: FileServer, tmp_path: Path) -> None:
    bring(archives(server), tmp_path)
    before, asked = tree(tmp_path), list(server.requests)
    said: list[str] = []
    assert bring(archives(server, "missing"), tmp_path, said) == FetchSummary(SUMMARY, was_there=True)
    assert (tree(tmp_path), server.requests, said) == (before, asked, [])


def test_label_maps_and_labels_come_with_coco_stuff_and_what_coco17_brought_is_not_fetched_again(
    server: FileServer, tmp_path: Path
) -> None:
    bring(archives(server), tmp_path)
    before = len(server.requests)
    fetch(COLLECTIONS["coco_stuff"], archives(server, "", "coco_stuff"), tmp_path, False, lambda sentence: None)
    assert [path for path, _ in server.requests[before:]] == ["/stuffthingmaps_trainval2017.zip"]
    maps = {f"stuffthingmaps/{name}": body for name, body in FILES["stuffthingmaps_trainval2017.zip"].items()}
    labels = {"stuffthingmaps/labels.txt": LABELS_TEXT.encode()}
    assert laid_out(tmp_path) == LAID_OUT | maps | labels


def test_archives_are_kept_if_they_are_wanted(server: FileServer, tmp_path: Path) -> None:
    bring(archives(server), tmp_path, keep=True)
    zips = {name: ARCHIVES[name] for name in ("annotations_trainval2017.zip", "val2017.zip")}
    assert laid_out(tmp_path) == LAID_OUT | zips


@pytest.mark.parametrize("way", ["drops-norange", "nolength", "nohead"])
def test_a_server_that_breaks_off_or_says_little_brings_the_same(server: FileServer, tmp_path: Path, way: str) -> None:
    bring([archives(server)[0], archives(server, way)[1]], tmp_path)
    assert laid_out(tmp_path) == LAID_OUT


def test_an_interrupted_download_goes_on_where_it_stopped(server: FileServer, tmp_path: Path) -> None:
    body = ARCHIVES["val2017.zip"]
    (tmp_path / "val2017.zip.partial").write_bytes(body[:70_000])
    said: list[str] = []
    bring(archives(server), tmp_path, said)
    assert ("/val2017.zip", "bytes=70000-") in server.requests
    coming = in_words(sum(SIZES.values()) - 70_000)
    assert said[0].startswith(f"coco17: {coming} to download")
    assert laid_out(tmp_path) == LAID_OUT


def test_a_disk_that_fills_up_keeps_what_has_arrived_and_the_same_command_goes_on(
    server: FileServer, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    small_disk(60_000)
    with pytest.raises(SourceError) as caught:
        bring(archives(server), tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/annotations_trainval2017.zip must be writable, got File too large; make room there or choose"
        " another --out"
    )
    assert (tmp_path / "annotations_trainval2017.zip.partial").stat().st_size == 60_000
    small_disk(10_000_000)
    bring(archives(server), tmp_path)
    assert ("/annotations_trainval2017.zip", "bytes=60000-") in server.requests
    assert laid_out(tmp_path) == LAID_OUT


def test_an_interrupted_unpacking_goes_on_without_the_network(
    server: FileServer, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    files = FILES["val2017.zip"] | {"val2017/000000000003.jpg": bytes(range(256)) * 1000}
    server.files = ARCHIVES | {"val2017.zip": zipped(files)}
    chosen = archives(server, sums=own_sums(val2017=zipped(files)))
    small_disk(200_000)
    with pytest.raises(SourceError) as caught:
        bring(chosen, tmp_path)
    assert str(caught.value) == (
        f"{tmp_path} must be writable, got File too large; make room there or choose another --out, and run it again:"
        " what has arrived stays"
    )
    small_disk(10_000_000)
    there, asked = sorted((tmp_path / "val2017").glob("*.jpg")), list(server.requests)
    assert len(there) == 3
    before = [written(path) for path in there]
    bring(chosen, tmp_path)
    assert server.requests == asked
    assert [written(path) for path in there] == before
    assert laid_out(tmp_path) == LAID_OUT | files


def test_what_an_interruption_tore_is_written_again(server: FileServer, tmp_path: Path) -> None:
    bring(archives(server), tmp_path, keep=True)
    record = tmp_path / "fetched.json"
    record.write_text(record.read_text().replace('"is_unpacked": true', '"is_unpacked": false'))
    (tmp_path / "val2017/000000000002.jpg").write_bytes(b"")  # what a power cut leaves of a file
    asked = list(server.requests)
    bring(archives(server), tmp_path)
    assert server.requests == asked
    assert laid_out(tmp_path) == LAID_OUT


def test_a_file_that_was_deleted_comes_back(server: FileServer, tmp_path: Path) -> None:
    bring(archives(server), tmp_path)
    (tmp_path / "val2017/000000000002.jpg").unlink()
    before = len(server.requests)
    assert not bring(archives(server), tmp_path).was_there
    assert [path for path, _ in server.requests[before:]] == ["/val2017.zip"]
    assert laid_out(tmp_path) == LAID_OUT


def test_an_archive_that_somebody_put_there_is_checked_used_and_left(server: FileServer, tmp_path: Path) -> None:
    (tmp_path / "val2017.zip").write_bytes(ARCHIVES["val2017.zip"])
    bring(archives(server), tmp_path)
    assert [path for path, _ in server.requests] == ["/annotations_trainval2017.zip"]
    assert laid_out(tmp_path) == LAID_OUT | {"val2017.zip": ARCHIVES["val2017.zip"]}
    assert read_fetched(tmp_path)["val2017.zip"].url == ""


def test_photographs_that_somebody_unpacked_are_taken_as_they_are(server: FileServer, tmp_path: Path) -> None:
    for name, body in LAID_OUT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(body)
    chosen = [
        replace(archive, folders=tuple(replace(each, files=SUMMARY[each.below_root]) for each in archive.folders))
        for archive in archives(server)
    ]
    said: list[str] = []
    assert bring(chosen, tmp_path, said).was_there
    assert said[1] == f"{tmp_path}/val2017 hold as many files as val2017.zip: taken as they are, unchecked"
    assert server.requests == []


def test_whoever_comes_second_waits_and_finds_it_done(server: FileServer, tmp_path: Path) -> None:
    said: list[str] = []
    with FileLock(tmp_path / ".fetching.lock"):
        second = threading.Thread(target=lambda: bring(archives(server), tmp_path, said))
        second.start()
        while not said:
            second.join(0.01)
        assert said == [f"another `condset fetch` is at work in {tmp_path}; waiting for it"]
        assert server.requests == []
    second.join()
    assert laid_out(tmp_path) == LAID_OUT


def test_files_beyond_the_layout_are_left_out_and_it_says_so(server: FileServer, tmp_path: Path) -> None:
    body = zipped(FILES["val2017.zip"] | pictures("test2017", 2))
    server.files = ARCHIVES | {"val2017.zip": body}
    said: list[str] = []
    bring(archives(server, sums=own_sums(val2017=body)), tmp_path, said)
    assert said[1] == "val2017.zip: 2 files that do not belong to the layout are left out"
    assert laid_out(tmp_path) == LAID_OUT
