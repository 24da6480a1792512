"""Bring a collection onto the disk in the layout that its source reads: downloaded, checked, unpacked, recorded.

    archive ──is it there?──> room ──> download ──sha256──> root/<name>.zip ──judged──> unpacked ──CRC──> fetched.json
                                            └── each step may be interrupted, and is taken up by the same command ──┘

Invariant: nothing in the directory is replaced that this did not write itself, and an archive counts as unpacked only
when all of its files are on the disk. An archive that somebody put there is checked, used and left.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from stages.collections.catalogue import Archive, Collection
from stages.collections.fetched import FetchedArchive, read_fetched, write_fetched
from stages.collections.room import Need, check_room, room_in_words
from stages.collections.unpack import UnusableArchive, ZipContents, read_contents, unpack
from stages.errors import SourceError
from stages.file_hash import file_sha256
from stages.locations import is_hidden
from stages.settings import changed
from stages.web.download import WebFile, announced_bytes, download
from stages.web.progress import progress_bar

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FetchSummary:
    """What lies in a collection's directory after a fetch."""

    files: dict[str, int]
    """How many, by folder below the root."""
    was_there: bool
    """Nothing was missing."""


def fetch(
    collection: Collection, archives: Sequence[Archive], root: Path, keep_archives: bool, say: Say
) -> FetchSummary:
    """Have the files of `archives` and the collection's small texts below `root`.

    What is there already is not fetched again, and if nothing is missing the network is not used. Raises SourceError if
    a server, an archive or the disk refuses.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _only_one(root, say):
            missing = [archive for archive in archives if not _is_there(archive, root, say)]
            if missing:
                needs = [_need(archive, root, keep_archives) for archive in missing]
                say(f"{collection.name}: {room_in_words(needs, root)}")
            for archive in missing:
                _bring(archive, root, keep_archives, say)
            for name, text in collection.texts:
                if not (root / name).exists():
                    (root / name).write_text(text, encoding="utf-8")
    except OSError as error:
        place = error.filename or root
        raise SourceError(
            f"{place} must be writable, got {error.strerror or error}; make room there or choose another --out, and run"
            " it again: what has arrived stays"
        ) from error
    folders = [folder.below_root for archive in archives for folder in archive.folders]
    return FetchSummary({folder: _count(root / folder) for folder in folders}, was_there=not missing)


def _is_there(archive: Archive, root: Path, say: Say) -> bool:
    """Tell whether an archive is unpacked already, by condset or by somebody else."""
    entry = read_fetched(root).get(archive.name)
    if entry is not None and entry.is_unpacked:
        if archive.sha256 not in ("", entry.sha256):
            raise SourceError(
                f"{root} must hold {archive.name} of sha256 {archive.sha256}, unpacked, got one of"
                f" {entry.sha256} from {entry.url or 'elsewhere'}; give the --sums of that one or choose another --out"
            )
        return all(_count(root / folder) >= files for folder, files in entry.files.items())
    file = _web_file(archive, root)
    if entry is not None or file.destination.exists() or file.partial.exists():
        return False
    if not all(folder.files and _count(root / folder.below_root) >= folder.files for folder in archive.folders):
        return False
    folders = " and ".join(str(root / folder.below_root) for folder in archive.folders)
    say(f"{folders} hold as many files as {archive.name}: taken as they are, unchecked")
    return True


def _need(archive: Archive, root: Path, keep_archives: bool) -> Need:
    """Ask the server for a size, since a mirror may hold something smaller; SourceError if it has no such archive."""
    file, entry = _web_file(archive, root), read_fetched(root).get(archive.name)
    if file.destination.is_file():
        size_bytes, to_come_bytes = file.destination.stat().st_size, 0
        is_ours = entry is not None and bool(entry.url)
    else:
        size_bytes, is_ours = announced_bytes(file) or archive.size_bytes, True
        to_come_bytes = max(size_bytes - (file.partial.stat().st_size if file.partial.is_file() else 0), 0)
    unpacked = sum(_used_bytes(root / folder) for folder in entry.files) if entry is not None else 0
    to_unpack_bytes = max(round(size_bytes * archive.unpacked_times) - unpacked, 0)
    return Need(to_come_bytes, to_unpack_bytes, size_bytes if is_ours and not keep_archives else 0)


def _bring(archive: Archive, root: Path, keep_archives: bool, say: Say) -> None:
    """Download one archive if it is not there, unpack it, record it, and remove it if it came from the web."""
    file = _web_file(archive, root)
    entry = _downloaded(archive, file, root)
    try:
        contents = read_contents(file.destination, {each.inside: root / each.below_root for each in archive.folders})
        _check_counts(archive, contents, root)
        if not entry.files:
            entry = _begin(archive, contents, entry, root)
        check_room(contents.room_bytes(), f"what {archive.name} unpacks to", root)
        if contents.left_out:
            say(f"{archive.name}: {contents.left_out:,} files that do not belong to the layout are left out")
        with progress_bar(f"unpacking {archive.name}") as progress:
            unpack(contents, progress)
    except UnusableArchive as error:
        advice = "move it away, and condset downloads the published one"
        if entry.url:
            file.destination.unlink()
            _note(root, archive.name, None)
            advice = "the download was deleted: try again; if that does not help, the publisher has replaced the file"
        raise SourceError(f"{file.destination} {error}; {advice}") from error
    os.sync()  # tens of thousands of small files: one call for all of them, before they count as there
    _note(root, archive.name, changed(entry, is_unpacked=True))
    if entry.url and not keep_archives:
        file.destination.unlink()


def _downloaded(archive: Archive, file: WebFile, root: Path) -> FetchedArchive:
    """Have the archive on the disk, checked, and return its entry."""
    path = file.destination
    former = read_fetched(root).get(archive.name)
    if not path.is_file():
        download(file, progress_bar)
        url = file.url
    else:
        url = former.url if former is not None else ""
        with progress_bar(f"checking {archive.name}") as progress:
            digest = file_sha256(path, progress=progress)
        if not digest.startswith(archive.sha256):
            raise SourceError(
                f"{path} must have sha256 {archive.sha256}, got {digest}; move it away, and condset downloads the"
                " published one"
            )
    digest = file_sha256(path)
    # What an earlier attempt wrote counts as its own only if it came from the same archive.
    begun = former.files if former is not None and former.sha256 == digest and not former.is_unpacked else {}
    entry = FetchedArchive(url=url, sha256=digest, size_bytes=path.stat().st_size, files=begun)
    _note(root, archive.name, entry)
    return entry


def _check_counts(archive: Archive, contents: ZipContents, root: Path) -> None:
    counts = contents.in_folders()
    for folder in archive.folders:
        found = counts[root / folder.below_root]
        if folder.files is not None and found < folder.files:
            raise UnusableArchive(f"must hold {folder.files:,} files in {folder.inside}/, got {found:,}")


def _begin(archive: Archive, contents: ZipContents, entry: FetchedArchive, root: Path) -> FetchedArchive:
    """Note that unpacking begins, after a look at what it would replace; SourceError if that is somebody else's."""
    others = contents.others_there()
    if others:
        more = f" and {len(others) - 1:,} more" if others[1:] else ""
        raise SourceError(
            f"{others[0]}{more} must be as in {archive.name}, got another file; move it away or choose another --out"
        )
    counts = contents.in_folders()
    entry = changed(entry, files={folder.below_root: counts[root / folder.below_root] for folder in archive.folders})
    _note(root, archive.name, entry)
    return entry


def _note(root: Path, name: str, entry: FetchedArchive | None) -> None:
    """Put the entry of one archive into the record, or take it out."""
    entries = read_fetched(root)
    entries.pop(name, None)
    write_fetched(root, entries if entry is None else entries | {name: entry})


def _web_file(archive: Archive, root: Path) -> WebFile:
    size_bytes = archive.size_bytes if archive.is_exact else None
    return WebFile(archive.url, root / archive.name, SourceError, "--out", archive.sha256, size_bytes)


def _count(folder: Path) -> int:
    """Count the files of a folder, without hidden ones; 0 if there is no such folder."""
    return sum(1 for _ in _visible(folder))


def _used_bytes(folder: Path) -> int:
    return sum(entry.stat().st_size for entry in _visible(folder))


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    if folder.is_dir():
        with os.scandir(folder) as entries:
            yield from (entry for entry in entries if not is_hidden(entry.name))


@contextmanager
def _only_one(root: Path, say: Say) -> Iterator[None]:
    """Work alone in the directory; whoever comes second waits and then finds it done."""
    lock = FileLock(root / ".fetching.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another `condset fetch` is at work in {root}; waiting for it")
        lock.acquire()
    try:
        yield
        (root / ".fetching.lock").unlink(missing_ok=True)
    finally:
        lock.release()
