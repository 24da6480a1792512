"""A directory of the data set, local or behind any fsspec URL, and the one way to write a file into it.

    publish("0000000.tar") ──> draft ──> 0000000.tar, unless somebody has published another one
    create("dataset.json") ──> draft ──> dataset.json, in place of the former one

A file exists under its name only when it is complete: see `drafts`. Whatever a driver raises comes out as a
StorageError of one line, but for FileNotFoundError of a file that is not there: see `stages/storage`.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, cast

from pipeline.dataset.drafts import Draft, LocalDraft, UploadDraft
from stages.errors import ConfigError
from stages.locations import PARTIAL, driver_bytes, file_system, local_path, with_home
from stages.storage.checked_file import CheckedFile
from stages.storage.failures import Doing, is_missing, storage_failures

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hf"})
"""Drivers that have no directories to make: for most of them to make one is to make a bucket, of any name."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory by its path or fsspec URL; picklable, holds no connection."""

    location: str

    def __post_init__(self) -> None:
        """Refuse the empty name that an unset shell variable gives: "/shards" would be below it. Expand `~`."""
        if not self.location:
            raise ConfigError("a directory must be a path or URL, got an empty one; name it, or . for this one")
        object.__setattr__(self, "location", with_home(self.location))

    def __truediv__(self, name: str) -> "Directory":
        return Directory(f"{self.location.rstrip('/')}/{name}")

    def __str__(self) -> str:
        return self.location

    def make(self) -> None:
        """Create the directory and its parents; an object store has nothing to create, least of all a bucket."""
        with storage_failures(self.location, Doing.WRITE):
            files, path = file_system(self.location)
            if not OBJECT_STORES & set(_protocols(files)):
                files.makedirs(path, exist_ok=True)

    def unmake(self) -> None:
        """Remove the directory if nothing lies in it; one that stays does no harm."""
        with contextlib.suppress(Exception):
            files, path = file_system(self.location)
            if not OBJECT_STORES & set(_protocols(files)):
                files.rmdir(path)

    def names(self) -> list[str]:
        """The names of the files in it, unsorted; empty if there is no such directory."""
        local = local_path(self.location)
        try:
            with storage_failures(self.location, Doing.LIST):
                if local is not None:
                    with os.scandir(local) as entries:
                        return [entry.name for entry in entries]
                return [name for name, _ in self._listed()]
        except FileNotFoundError:
            return []

    def sizes(self) -> dict[str, int]:
        """The names of the files in it and how many bytes each has; empty if there is no such directory."""
        local = local_path(self.location)
        try:
            with storage_failures(self.location, Doing.LIST):
                if local is not None:
                    with os.scandir(local) as entries:
                        return {entry.name: entry.stat().st_size for entry in entries if entry.is_file()}
                return {name: int(size) for name, size in self._listed() if size is not None}
        except FileNotFoundError:
            return {}

    def exists(self, name: str) -> bool:
        """Whether there is a file or a folder; StorageError if that cannot be told, where a driver would say no."""
        try:
            with storage_failures(f"{self.location}/{name}", Doing.READ):
                local = local_path(self.location)
                if local is not None:
                    (local / name).stat()
                else:
                    files, path = self._fresh()
                    files.info(f"{path}/{name}")
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int:
        with storage_failures(f"{self.location}/{name}", Doing.READ):
            files, path = self._fresh()
            return int(files.size(f"{path}/{name}"))

    def read(self, name: str) -> bytes:
        """Read a whole file; FileNotFoundError if there is none."""
        return self.read_range(name, 0, None)

    def read_range(self, name: str, offset: int, length: int | None) -> bytes:
        """Read `length` bytes from `offset`, fewer at the end of the file; None reads on to the end."""
        local = local_path(self.location)
        with storage_failures(f"{self.location}/{name}", Doing.READ):
            if local is not None:
                with (local / name).open("rb") as file:
                    file.seek(offset)
                    return file.read(-1 if length is None else length)
            files, path = file_system(self.location)
            return driver_bytes(files, f"{path}/{name}", offset or None, None if length is None else offset + length)

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; what it raises later is a StorageError as well."""
        local, where = local_path(self.location), f"{self.location}/{name}"
        with storage_failures(where, Doing.READ):
            if local is not None:
                opened: BinaryIO = (local / name).open("rb")
            else:
                files, path = self._fresh()
                opened = files.open(f"{path}/{name}", "rb")
        return cast(BinaryIO, CheckedFile(opened, partial(storage_failures, where, Doing.READ)))

    def remove(self, name: str) -> None:
        """Remove a file; nothing happens if there is none."""
        with storage_failures(f"{self.location}/{name}", Doing.WRITE):
            files, path = file_system(self.location)
            try:
                files.rm_file(f"{path}/{name}")
            except OSError as error:
                if not is_missing(error):
                    raise

    def draft(self, name: str) -> Draft:
        """Begin a file that appears under its name when it is published or put in place, complete and synced."""
        local = local_path(self.location)
        return LocalDraft(local, name) if local is not None else UploadDraft(self.location, name)

    @contextlib.contextmanager
    def create(self, name: str) -> Iterator[BinaryIO]:
        """Write a file that appears, in place of a former one, when the block ends without an error.

        Raises WorkerError if the partial file has been removed meanwhile, which another run in the same directory does.
        """
        draft = self.draft(name)
        try:
            yield draft.file
            draft.replace()
        finally:
            draft.discard()

    @contextlib.contextmanager
    def publish(self, name: str) -> Iterator[BinaryIO]:
        """Write a file as `create` does, but never in place of one of other bytes: that is a ShardConflict."""
        draft = self.draft(name)
        try:
            yield draft.file
            draft.publish()
        finally:
            draft.discard()

    def write(self, name: str, content: bytes) -> None:
        """Write a small file in one piece, as `create` does."""
        with self.create(name) as file:
            file.write(content)

    def remove_partials(self) -> None:
        """Remove what attempts that were cut off have left."""
        for name in self.names():
            if name.endswith(PARTIAL):
                self.remove(name)

    def _listed(self) -> Iterator[tuple[str, int | None]]:
        """Names and sizes of what an fsspec driver lists in it; a folder has no size, or one that means nothing."""
        files, path = self._fresh()
        for entry in files.ls(path, detail=True):
            name = entry["name"].rstrip("/")
            if name != path:  # some stores list the directory in itself
                yield name.rpartition("/")[2], entry.get("size") if entry.get("type") == "file" else None

    def _fresh(self) -> "tuple[AbstractFileSystem, str]":
        """The file system without what it remembers of this directory: other processes write into it."""
        files, path = file_system(self.location)
        files.invalidate_cache(path)
        return files, path


def _protocols(files: "AbstractFileSystem") -> tuple[str, ...]:
    """The schemes of a driver's URLs, which it names by one text or by several."""
    return (files.protocol,) if isinstance(files.protocol, str) else tuple(files.protocol)
