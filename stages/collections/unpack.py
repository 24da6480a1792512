"""Unpack a zip from the web: only plain files of the wanted folders, only below the root, each checked by its CRC.

    zip ──names, kinds, sizes judged──> ZipContents ──file by file──> .unpacking.partial ──CRC──> 000000000139.jpg
                                                       └── what is there already and equal is left alone

Invariant: nothing is written but files directly in the wanted folders, and each has its name only when it is whole. So
an interrupted unpacking is taken up by doing it again.
"""

import stat
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from stages.locations import PARTIAL, is_hidden
from stages.web.progress import Progress, in_words

UNPACKING = f".unpacking{PARTIAL}"
"""The file that is being written; the next attempt writes over it."""

MOST_TIMES_LARGER = 20
"""Files that are together larger than so many times their archive are a bomb; COCO's annotations are 3.3 times."""

BLOCK_BYTES = 4096
"""A file takes whole blocks of the disk."""

_CHUNK_BYTES = 1 << 20
_FILE_KINDS = frozenset({0, stat.S_IFREG, stat.S_IFDIR})
"""Of a Unix mode; 0 where an archive was made on a system that knows no modes."""


class UnusableArchive(Exception):
    """Why an archive cannot be unpacked: `<what> must be <expected>, got <value>`, to follow its name."""


@dataclass(frozen=True, slots=True)
class PackedFile:
    """One file of an archive, and where it belongs."""

    info: ZipInfo
    destination: Path

    def is_unpacked(self) -> bool:
        """Read what is at its destination: is it this file?"""
        path = self.destination
        return path.is_file() and path.stat().st_size == self.info.file_size and _crc32(path) == self.info.CRC


@dataclass(frozen=True, slots=True)
class ZipContents:
    """What of an archive is wanted."""

    archive: Path
    files: tuple[PackedFile, ...]
    left_out: int
    """Files in other folders, and hidden ones."""

    def in_folders(self) -> Counter[Path]:
        """Count the files of each folder."""
        return Counter(file.destination.parent for file in self.files)

    def room_bytes(self) -> int:
        """Return what the files that are not there yet will take on the disk."""
        missing = (file.info.file_size for file in self.files if not file.destination.is_file())
        return sum(-(-size // BLOCK_BYTES) * BLOCK_BYTES for size in missing)

    def others_there(self) -> list[Path]:
        """Return the files that have the names of these and are not the same."""
        return [file.destination for file in self.files if file.destination.exists() and not file.is_unpacked()]


def read_contents(archive: Path, folders: Mapping[str, Path]) -> ZipContents:
    """Judge an archive by its directory; `folders` says where the files of each wanted folder belong.

    Raises UnusableArchive if it is no zip, leads outside of its folders, holds links, is a bomb, or lacks a folder.
    """
    with _explained(), ZipFile(archive) as opened:
        infos = [info for info in opened.infolist() if not info.filename.endswith("/")]
    for info in infos:
        _check_kind(info)
    files = tuple(
        PackedFile(info, folders[folder] / name)
        for info in infos
        for folder, slash, name in [info.filename.rpartition("/")]
        if folder in folders and not is_hidden(name)
    )
    _check_together(archive, files)
    for destination, times in Counter(file.destination for file in files).items():
        if times > 1:
            raise UnusableArchive(f"names must differ, got {destination.name} {times} times")
    for folder, destination in folders.items():
        if not any(file.destination.parent == destination for file in files):
            raise UnusableArchive(f"must hold files in {folder}/, got none")
    return ZipContents(archive, files, len(infos) - len(files))


def unpack(contents: ZipContents, progress: Progress) -> None:
    """Write every file that is not there yet, and those that differ again; `progress` is told of bytes.

    Raises UnusableArchive, naming the file, if one is damaged, and OSError if the disk refuses.
    """
    total = sum(file.info.file_size for file in contents.files)
    passed = 0
    progress(passed, total)
    with _explained(), ZipFile(contents.archive) as opened:
        for file in contents.files:
            if not file.is_unpacked():
                _write(opened, file)
            passed += file.info.file_size
            progress(passed, total)


def _write(opened: ZipFile, file: PackedFile) -> None:
    file.destination.parent.mkdir(parents=True, exist_ok=True)
    partial = file.destination.with_name(UNPACKING)
    try:
        with opened.open(file.info) as packed, partial.open("wb") as plain:
            while chunk := packed.read(_CHUNK_BYTES):
                plain.write(chunk)
    except (BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        partial.unlink(missing_ok=True)
        raise UnusableArchive(f"{file.info.filename} must be whole, got {error}") from error
    partial.replace(file.destination)


def _check_kind(info: ZipInfo) -> None:
    """Refuse what no honest archive of pictures holds, wherever it is in it."""
    name, path = info.filename, PurePosixPath(info.filename)
    if path.is_absolute() or ".." in path.parts or set(name) & set("\\:") or not name.isprintable():
        raise UnusableArchive(f"names must stay below their folder, got {name!r}")
    if info.header_offset < 0:
        raise UnusableArchive(f"must be a whole zip archive, got {name!r} before its beginning")
    if stat.S_IFMT(info.external_attr >> 16) not in _FILE_KINDS:
        raise UnusableArchive(f"must hold plain files alone, got a link or a device {name!r}")
    if info.flag_bits & 1 or info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        raise UnusableArchive(f"files must be stored or deflated, without a password, got {name!r}")


def _check_together(archive: Path, files: tuple[PackedFile, ...]) -> None:
    unpacked_bytes, packed_bytes = sum(file.info.file_size for file in files), archive.stat().st_size
    if unpacked_bytes > MOST_TIMES_LARGER * packed_bytes:
        raise UnusableArchive(
            f"must unpack to at most {MOST_TIMES_LARGER} times its {in_words(packed_bytes)}, got"
            f" {in_words(unpacked_bytes)}"
        )


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise UnusableArchive(f"must be a whole zip archive, got: {error}") from error


def _crc32(path: Path) -> int:
    crc = 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            crc = zlib.crc32(chunk, crc)
    return crc
