"""The sha256 of a file, read once per process however often it is asked for."""

import hashlib
from pathlib import Path

_digests: dict[tuple[int, int, int, int], str] = {}
"""By device, inode, size and time of change: a renamed file keeps its hash, a rewritten one loses it."""


def file_sha256(path: Path, *, fresh: bool = False) -> str:
    """Hash a file, reading it once per process however often it is asked for; again if `fresh`. Raises OSError."""
    status = path.stat()
    identity = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if fresh or identity not in _digests:
        with path.open("rb") as file:
            _digests[identity] = hashlib.file_digest(file, "sha256").hexdigest()
    return _digests[identity]
