"""Locations: a local path, or any URL that fsspec has a driver for (s3://, gs://, hf://, https://, memory://, file://).

    "data/coco17", "file:///data/coco17" ──> a local path
    "s3://bucket/coco17"                 ──> a file system and the path in it

A name below a location is joined after the URL is taken apart, so that `::` or `#` in a file's name mean nothing.
Each driver has errors of its own (aiohttp's, botocore's, Google's); here they become OSErrors, once for all callers.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from stages.errors import ConfigError
from stages.extras import require
from stages.storage.checked_file import CheckedFile

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

LOCAL_SCHEMES = ("file://", "local://")
PARTIAL = ".partial"
"""How the name of a file ends that is still being written, everywhere in condset; readers and listings pass it over."""

HIDDEN_FOLDERS = frozenset({"_temporary", "__MACOSX"})
"""What Spark leaves of jobs that died, and the Finder's half of a zip: hidden, though the names do not show it."""


def is_hidden(name: str) -> bool:
    """Whether a name, or a folder on a relative path, is one that no listing of condset looks at."""
    return any(part in HIDDEN_FOLDERS or (part.startswith(".") and part not in (".", "..")) for part in name.split("/"))


def with_home(location: str) -> str:
    """Expand `~` or `~user` at the beginning; done where a location is given, since workers may have other homes."""
    if not location.startswith("~"):
        return location
    try:
        return str(Path(location).expanduser())
    except RuntimeError:  # no such user: a file may be called so
        return location


def local_path(location: str) -> Path | None:
    """Return the path of a local location; None for every other one."""
    for scheme in LOCAL_SCHEMES:
        if location.startswith(scheme):
            return Path(location.removeprefix(scheme))
    return None if "://" in location else Path(location)


def file_system(location: str) -> "tuple[AbstractFileSystem, str]":
    """Return the file system of a location and the path in it, without a slash at the end.

    Raises ConfigError if fsspec has no driver for the URL, or the driver's package is not installed.
    """
    import fsspec
    from fsspec.implementations.local import LocalFileSystem

    local = local_path(location)
    if local is not None:
        return LocalFileSystem(), str(local.absolute()).rstrip("/")
    if location.startswith("s3://"):
        require("s3")
    try:
        files, path = fsspec.core.url_to_fs(location)
    except (ValueError, ImportError) as error:
        raise ConfigError(
            f"{location} must be a local path or a URL that fsspec can open, got {error}; "
            "install the package that it names, or copy the files"
        ) from None
    return files, path.rstrip("/")


def open_regular(path: Path) -> BinaryIO:
    """Open a local file for reading, unless it is a pipe or a device: these would make the reader wait, or never end.

    Raises an OSError that says so, IsADirectoryError of a directory.
    """
    _refuse_others(path, path.stat())  # opening some devices does something
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # opening a pipe waits for its writer
    try:
        _refuse_others(path, os.fstat(descriptor))  # it may be another by now
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def _refuse_others(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(status.st_mode):
        raise NotRegular(f"{path} is no regular file")


class NotRegular(OSError):
    """What should be a file is a pipe, a socket or a device."""


def _is_local(files: "AbstractFileSystem") -> bool:
    from fsspec.implementations.local import LocalFileSystem

    return type(files) is LocalFileSystem


def read_bytes(files: "AbstractFileSystem", path: str, start: int | None, stop: int | None) -> bytes:
    """Read bytes [start, stop) of a file, fewer at its end; None is the file's start or end.

    Every failure is an OSError, FileNotFoundError if there is no such file.
    """
    with driver_errors():
        return driver_bytes(files, path, start, stop)


def driver_bytes(files: "AbstractFileSystem", path: str, start: int | None, stop: int | None) -> bytes:
    """Read as `read_bytes` does; raises whatever the driver raises."""
    if start is not None and start == stop:
        return b""  # HTTP cannot ask for an empty range: servers would send the whole file
    if _is_local(files):
        with open_regular(Path(path)) as file:
            file.seek(start or 0)
            return file.read(-1 if stop is None else stop - (start or 0))
    # The hub's driver is a reader of whole files: it would fetch five megabytes for every few bytes.
    exact = {"cache_type": "none"} if "hf" in files.protocol else {}
    try:
        return bytes(files.cat_file(path, start=start, end=stop, **exact))
    except FileNotFoundError:
        raise
    except Exception:
        if stop is not None and _is_empty(files, path):
            return b""  # of an empty object S3 has no range at all: status 416
        raise


def _is_empty(files: "AbstractFileSystem", path: str) -> bool:
    try:
        return bool(files.size(path) == 0)
    except Exception:  # noqa: BLE001  whatever it is, the failure that led here says more
        return False


def open_file(files: "AbstractFileSystem", path: str) -> BinaryIO:
    """Open a file for reading, to be closed; every failure until then, and of closing it, is an OSError."""
    if _is_local(files):
        return open_regular(Path(path))
    with driver_errors():
        return cast(BinaryIO, CheckedFile(files.open(path, "rb"), driver_errors))


@contextmanager
def driver_errors() -> Iterator[None]:
    """Turn whatever a driver raises into an OSError."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
