"""Zips that lead outside, blow up, or break off: what is written, and what is said."""

import contextlib
import io
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_BZIP2, ZipFile, ZipInfo

import pytest

from stages.collections.unpack import UNPACKING, UnusableArchive, ZipContents, read_contents, unpack
from stages.randomness import random_for
from tests.stages.collections.small_archives import picture, pictures, tree, written, zipped

FILES = pictures("val2017", 4)


def contents(tmp_path: Path, body: bytes) -> ZipContents:
    (tmp_path / "val2017.zip").write_bytes(body)
    return read_contents(tmp_path / "val2017.zip", {"val2017": tmp_path / "root/val2017"})


def silent(passed: int, total: int | None) -> None:
    pass


def linked(name: str, target: bytes) -> ZipInfo:
    info = ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return info


def with_entry(info: ZipInfo | str, body: bytes = b"x") -> bytes:
    archive = io.BytesIO(zipped(FILES))
    with ZipFile(archive, "a") as opened:
        opened.writestr(info, body)
    return archive.getvalue()


def test_every_file_is_written_where_it_belongs_and_progress_ends_at_their_size(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    unpack(contents(tmp_path, zipped(FILES)), lambda passed, total: seen.append((passed, total)))
    assert tree(tmp_path / "root") == FILES
    assert seen[0] == (0, 80_000)
    assert seen[-1] == (80_000, 80_000)


def test_what_does_not_belong_to_the_layout_is_left_out_and_counted(tmp_path: Path) -> None:
    more = {"__MACOSX/val2017/._1.jpg": b"x", "val2017/.DS_Store": b"x", "val2017/deep/1.jpg": b"x", "README": b"x"}
    read = contents(tmp_path, zipped(FILES | more))
    unpack(read, silent)
    assert read.left_out == 4
    assert tree(tmp_path / "root") == FILES


@pytest.mark.parametrize(
    "name", ["../evil", "val2017/../../evil", "/etc/evil", "val2017/..\\..\\evil", "C:evil", "val2017/a\nb"]
)
def test_a_name_that_leads_outside_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableArchive) as caught:
        contents(tmp_path, with_entry(name))
    assert str(caught.value) == f"names must stay below their folder, got {name!r}"
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize("name", ["val2017/link", "elsewhere/link"])
def test_a_link_is_refused_before_anything_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UnusableArchive) as caught:
        contents(tmp_path, with_entry(linked(name, b"/etc/passwd")))
    assert str(caught.value) == f"must hold plain files alone, got a link or a device {name!r}"
    assert not (tmp_path / "root").exists()


def test_a_bomb_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UnusableArchive) as caught:
        contents(tmp_path, zipped({"val2017/1.jpg": bytes(50_000_000)}))
    assert str(caught.value).startswith("must unpack to at most 20 times its 48.")
    assert str(caught.value).endswith(" kB, got 50.0 MB")
    assert not (tmp_path / "root").exists()


def test_a_file_that_is_larger_than_it_says_is_damaged_and_no_more_of_it_is_written(tmp_path: Path) -> None:
    body = zipped({"val2017/1.jpg": picture("1", 50_000)})
    said, smaller = (size.to_bytes(4, "little") for size in (50_000, 40_000))
    assert body.count(said) == 2  # in the file's own head and in the directory
    read = contents(tmp_path, body.replace(said, smaller))
    with pytest.raises(UnusableArchive, match=r"^val2017/1\.jpg must be whole, got Bad CRC-32 for file"):
        unpack(read, silent)
    assert tree(tmp_path / "root") == {}


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        body = with_entry("val2017/000000000001.jpg")
    with pytest.raises(UnusableArchive, match=r"^names must differ, got 000000000001\.jpg 2 times$"):
        contents(tmp_path, body)


def test_an_archive_without_the_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableArchive, match=r"^must hold files in val2017/, got none$"):
        contents(tmp_path, zipped(pictures("train2017", 2)))


def test_a_packing_that_is_not_for_everybody_is_refused(tmp_path: Path) -> None:
    info = ZipInfo("val2017/9.jpg")
    info.compress_type = ZIP_BZIP2
    with pytest.raises(UnusableArchive, match=r"^files must be stored or deflated, without a password, got 'val2017/9"):
        contents(tmp_path, with_entry(info))


@pytest.mark.parametrize(
    "body", [b"", b"<!doctype html>", zipped(FILES)[:-100], zipped(FILES)[1000:], zipped(FILES)[:1000]]
)
def test_what_is_no_whole_zip_is_refused(tmp_path: Path, body: bytes) -> None:
    with pytest.raises(UnusableArchive, match=r"^must be a whole zip archive, got"):
        contents(tmp_path, body)


def test_a_damaged_file_is_named_and_the_others_are_kept(tmp_path: Path) -> None:
    body = bytearray(zipped(FILES))
    body[50_000] ^= 1
    with pytest.raises(UnusableArchive, match=r"^val2017/000000000002\.jpg must be whole, got Bad CRC-32 for file"):
        unpack(contents(tmp_path, bytes(body)), silent)
    assert tree(tmp_path / "root") == {name: FILES[name] for name in sorted(FILES)[:2]}


def test_mangled_archives_give_one_kind_of_error_and_no_file_that_is_not_in_them(tmp_path: Path) -> None:
    body = zipped(FILES)
    for number in range(100):
        rng, mangled = random_for(0, "mangle", str(number)), bytearray(body)
        for _ in range(1 + number % 3):
            mangled[int(rng.integers(len(body) - 500, len(body)))] = int(rng.integers(256))
        shutil.rmtree(tmp_path / "root", ignore_errors=True)
        with contextlib.suppress(UnusableArchive):
            unpack(contents(tmp_path, bytes(mangled)), silent)
        assert set(tree(tmp_path / "root").values()) <= set(FILES.values())


def test_what_is_there_already_is_left_alone_and_what_is_torn_is_written_again(tmp_path: Path) -> None:
    read = contents(tmp_path, zipped(FILES))
    unpack(read, silent)
    first, second, *_ = sorted((tmp_path / "root/val2017").iterdir())
    before = written(first)
    second.write_bytes(second.read_bytes()[:100])
    assert read.others_there() == [second]
    unpack(read, silent)
    assert tree(tmp_path / "root") == FILES
    assert written(first) == before


def test_room_is_counted_in_blocks_for_what_is_not_there(tmp_path: Path) -> None:
    read = contents(tmp_path, zipped(FILES))
    assert read.room_bytes() == 4 * 5 * 4096
    unpack(read, silent)
    assert read.room_bytes() == 0


PROGRAM = """
import os, signal, sys
from pathlib import Path
from stages.collections.unpack import read_contents, unpack

root = Path(sys.argv[1])

def show(passed, total):
    if passed > 40_000:
        (root / "root/val2017/.unpacking.partial").write_bytes(b"half of the next one")
        os.kill(os.getpid(), signal.SIGKILL)

unpack(read_contents(root / "val2017.zip", {"val2017": root / "root/val2017"}), show)
"""


def test_a_killed_unpacking_goes_on_and_leaves_nothing_else(tmp_path: Path) -> None:
    read = contents(tmp_path, zipped(FILES))
    killed = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], env=os.environ | {"PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL
    there = tree(tmp_path / "root")
    assert len(there) == 4
    assert f"val2017/{UNPACKING}" in there
    unpack(read, silent)
    assert tree(tmp_path / "root") == FILES


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"x" * 20_000)])
def test_the_same_size_is_not_taken_for_the_same_file(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    read = contents(tmp_path, zipped(FILES))
    unpack(read, silent)
    damage(tmp_path / "root/val2017/000000000003.jpg")
    unpack(read, silent)
    assert tree(tmp_path / "root") == FILES
