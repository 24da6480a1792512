import hashlib
import os
from pathlib import Path

from stages.file_hash import file_sha256


def test_a_file_is_read_again_only_after_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"first")
    status = path.stat()
    assert file_sha256(path) == hashlib.sha256(b"first").hexdigest()
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file_sha256(path) == hashlib.sha256(b"first").hexdigest()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert file_sha256(path) == hashlib.sha256(b"other").hexdigest()
