"""The sha256 of a file, read once per process however often it is asked for."""

import hashlib
from collections.abc import Callable
from pathlib import Path

_CHUNK_BYTES = 1 << 20

_digests: dict[tuple[int, int, int, int], str] = {}
"""By device, inode, size and time of change: a renamed file keeps its hash, a rewritten one loses it."""


def file_sha256(
    path: Path, *, fresh: bool = False, progress: Callable[[int, int], None] = lambda passed, total: None
) -> str:
    """Hash a file, reading it once per process however often it is asked for; again if `fresh`. Raises OSError.

    `progress` is told of bytes while they are read.
    """
    status = path.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if fresh or identity not in _digests:
        digest, passed = hashlib.sha256(), 0
        progress(passed, status.st_size)
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
                passed += len(chunk)
                progress(passed, status.st_size)
        _digests[identity] = digest.hexdigest()
    return _digests[identity]
