"""All files below a directory, local or behind any fsspec URL, and the contents of many small ones.

Hidden files and directories are passed over. Locally links are followed, except one that leads to itself or back to a
directory that it lies in: the listing is finite and the same every time.
"""

import errno
import os
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stages.ahead import in_order
from stages.errors import SourceError
from stages.locations import NotRegular, driver_errors, file_system, is_hidden, local_path, read_bytes

READERS = 16
"""Threads that read small files: behind a URL each read waits for the network."""
READ_AHEAD = 64


def list_files(root: str) -> list[str]:
    """Return the paths of all files relative to root, with forward slashes, sorted.

    Raises SourceError if root is no directory or one below it cannot be read.
    """
    local = local_path(root)
    try:
        if local is not None:
            return sorted(_walk(local, "", frozenset()))
        files, path = file_system(root)
        with driver_errors():
            if not files.isdir(path):
                raise NotADirectoryError
            found = [name.removeprefix(path).lstrip("/") for name in files.find(path)]
        return sorted(name for name in found if not is_hidden(name))
    except (FileNotFoundError, NotADirectoryError):
        raise SourceError(f"{root} must be a directory of images, got none; fix source.root") from None
    except OSError as error:
        raise SourceError(f"{root} must be readable, got {error}; fix its permissions or the storage") from None


def _walk(directory: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[str]:
    status = directory.stat()
    identity = (status.st_dev, status.st_ino)
    if identity in above:
        return
    with os.scandir(directory) as entries:
        visible = [Path(entry.path) for entry in entries if not is_hidden(entry.name)]
    for path in visible:
        if path.is_dir():
            yield from _walk(path, f"{prefix}{path.name}/", above | {identity})
        elif not (path.is_symlink() and _leads_to_itself(path)):
            yield prefix + path.name


def _leads_to_itself(link: Path) -> bool:
    try:
        link.stat()
    except OSError as error:
        return error.errno == errno.ELOOP
    return False


def read_files(root: str, names: Iterable[str], most_bytes: int) -> Generator[bytes, None, None]:
    """Read files below root, in order; of one larger than `most_bytes`, and of a pipe or a device, nothing.

    Raises SourceError if one cannot be read.
    """
    files, path = file_system(root)

    def read(name: str) -> bytes:
        try:
            content = read_bytes(files, f"{path}/{name}", None, most_bytes + 1)
        except NotRegular:
            return b""
        except OSError as error:
            raise SourceError(f"{root}/{name} must be readable, got {error}; fix it and run again") from None
        return content if len(content) <= most_bytes else b""

    with ThreadPoolExecutor(READERS, thread_name_prefix="sidecar") as readers:
        yield from in_order(lambda name: readers.submit(read, name), names, READ_AHEAD)
