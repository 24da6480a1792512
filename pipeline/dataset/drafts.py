"""A file on its way into a directory: under a partial name, or here until it is uploaded, and then there at once.

    local:     0000000.tar.<attempt>.partial ──sync──> published by a hard link │ put in place by a rename
    elsewhere: a temporary file here ──────────upload─> create-only              │ replacing what is there

The partial name is unique to the attempt, because a worker that was given up for lost may still be writing. Publishing
never replaces what somebody else has published: equal bytes are as good as one's own, others are a `ShardConflict`.
Object stores have no rename, or one that copies, but publish an upload only when it is complete, which is the same
promise.
"""

import contextlib
import errno
import fcntl
import filecmp
import hashlib
import io
import os
import tempfile
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from typing_extensions import Buffer

from stages.errors import ShardConflict, StorageError, WorkerError
from stages.locations import PARTIAL, file_system
from stages.storage.checked_file import CheckedFile
from stages.storage.failures import Doing, http_status, storage_failures

NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""What a file system without hard links (exFAT, some network and FUSE mounts) says of one."""
COMPARED_BYTES = 1 << 20


class Draft(Protocol):
    """A file that nobody sees yet; ends by `publish` or `replace`, or is discarded."""

    file: BinaryIO
    """Open for reading and writing."""

    def close(self) -> None:
        """Write no more, and hold no file open: a long listing has thousands of drafts before it publishes one."""
        ...

    def publish(self) -> None:
        """Let it appear, unless there is one: ShardConflict if that one has other bytes."""
        ...

    def replace(self) -> None:
        """Let it appear in place of whatever is there."""
        ...

    def discard(self) -> None:
        """Leave nothing behind; after `publish` or `replace` there is nothing left to discard."""
        ...


class LocalDraft:
    """A draft beside the file that it will be."""

    def __init__(self, directory: Path, name: str) -> None:
        self._final = directory / name
        self._partial = self._final.with_name(f"{self._final.name}.{uuid.uuid4().hex}{PARTIAL}")
        failures = partial(storage_failures, str(self._final), Doing.WRITE)
        with failures():
            self.file = cast(BinaryIO, CheckedFile(self._partial.open("x+b"), failures, is_written=True))
        self._is_over = False

    def close(self) -> None:
        if not self.file.closed:
            self.file.flush()
            with storage_failures(str(self._final), Doing.WRITE):
                os.fsync(self.file.fileno())
            self.file.close()

    def publish(self) -> None:
        self.close()
        with storage_failures(str(self._final), Doing.WRITE):
            self._publish()
        self.discard()

    def _publish(self) -> None:
        try:
            os.link(self._partial, self._final)
        except FileExistsError:
            self._accept_equal()
        except FileNotFoundError:
            raise self._vanished() from None
        except OSError as error:
            if error.errno not in NO_HARD_LINKS:
                raise
            self._rename_if_new()
        sync_directory(self._final.parent)

    def replace(self) -> None:
        self.close()
        with storage_failures(str(self._final), Doing.WRITE):
            try:
                self._partial.replace(self._final)
            except FileNotFoundError:
                raise self._vanished() from None
            self._is_over = True
            sync_directory(self._final.parent)

    def discard(self) -> None:
        with contextlib.suppress(StorageError, OSError):  # a partial that stays is nobody's, and why it does is said
            self.file.close()
        if not self._is_over:
            with contextlib.suppress(OSError):
                self._partial.unlink(missing_ok=True)
            self._is_over = True

    def _rename_if_new(self) -> None:
        """Without hard links: look and rename under a lock that others of this machine respect."""
        descriptor = os.open(self._final.parent, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # what has no links may have no locks either
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if self._final.exists():
                self._accept_equal()
            else:
                self._partial.rename(self._final)
        finally:
            os.close(descriptor)

    def _accept_equal(self) -> None:
        if not filecmp.cmp(self._partial, self._final, shallow=False):
            raise conflict(str(self._final))

    def _vanished(self) -> WorkerError:
        return WorkerError(
            f"{self._partial} must stay until it is published, got a removal meanwhile; let only one run write to "
            f"{self._final.parent}"
        )


class UploadDraft:
    """A draft on this machine; fsspec alone would publish the half of a file whose writer fails."""

    def __init__(self, location: str, name: str) -> None:
        self._location, self._name = location, name
        with storage_failures(tempfile.gettempdir(), Doing.WRITE):
            descriptor, here = tempfile.mkstemp(prefix="condset-")
        self._here = Path(here)
        failures = partial(storage_failures, here, Doing.WRITE)
        self.file = cast(BinaryIO, CheckedFile(os.fdopen(descriptor, "w+b"), failures, is_written=True))

    def close(self) -> None:
        self.file.close()

    def publish(self) -> None:
        try:
            self._upload("create")
        except FileExistsError:
            if not self._is_equal():
                raise conflict(self._where) from None

    def replace(self) -> None:
        self._upload("overwrite")

    def discard(self) -> None:
        with contextlib.suppress(StorageError):
            self.close()
        with contextlib.suppress(OSError):
            self._here.unlink(missing_ok=True)

    @property
    def _where(self) -> str:
        return f"{self._location}/{self._name}"

    def _upload(self, mode: str) -> None:
        """Raises FileExistsError if the file is there and the mode is to create it."""
        self.close()
        exists = False
        with storage_failures(self._where, Doing.WRITE):
            files, path = file_system(self._location)
            try:
                files.put_file(str(self._here), f"{path}/{self._name}", mode=mode)
            except Exception as error:
                # Some stores say no more than 412, which S3's own driver takes for an error like any other.
                exists = mode == "create" and (isinstance(error, FileExistsError) or _is_refused_as_there(error))
                if not exists:
                    raise
        if exists:
            raise FileExistsError(errno.EEXIST, "File exists", self._where)

    def _is_equal(self) -> bool:
        with storage_failures(self._where, Doing.WRITE):
            files, path = file_system(self._location)
            files.invalidate_cache(path)
            with files.open(f"{path}/{self._name}", "rb") as there, self._here.open("rb") as here:
                return all(piece == there.read(len(piece) or 1) for piece in _pieces(here))


def _is_refused_as_there(error: Exception) -> bool:
    """Whether a store has refused to create what is there already, by "precondition failed" and nothing else."""
    return 412 in (http_status(error), error.__cause__ and http_status(error.__cause__))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    """The bytes of a file, and an empty piece at its end."""
    while piece := file.read(COMPARED_BYTES):
        yield piece
    yield b""


class HashingFile(io.RawIOBase):
    """Counts and hashes what is written through it, so that a file is never read back."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._hash = hashlib.sha256()
        self.position = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Buffer) -> int:
        with memoryview(content) as view:
            self._file.write(view)
            self._hash.update(view)
            self.position += view.nbytes
            return view.nbytes

    def tell(self) -> int:
        return self.position

    def sha256(self) -> str:
        return self._hash.hexdigest()


def conflict(where: str) -> ShardConflict:
    """The error of a file that somebody else has published with other bytes."""
    return ShardConflict(
        f"{where} must have the bytes that this run makes, got others, which another run has published; let one "
        "configuration write to a directory, or give another --out"
    )


def sync_directory(directory: Path) -> None:
    """Make what was renamed or linked in a directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
