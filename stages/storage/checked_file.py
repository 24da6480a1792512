"""An open file whose every failure is one line: see `failures`."""

import io
from typing import BinaryIO

from typing_extensions import Buffer

from stages.storage.failures import Doing, storage_failures


class CheckedFile(io.RawIOBase):
    """A file of any driver; reading, writing and closing raise StorageError, naming `where`, and nothing else."""

    def __init__(self, file: BinaryIO, where: str, doing: Doing) -> None:
        """Take a file that is open; closing this one closes it."""
        self._file, self._where, self._doing = file, where, doing

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._doing is Doing.WRITE

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        with storage_failures(self._where, self._doing):
            return self._file.read(-1 if size is None else size)

    def readinto(self, buffer: Buffer) -> int:
        with memoryview(buffer).cast("B") as view:
            content = self.read(len(view))
            view[: len(content)] = content
            return len(content)

    def readline(self, size: int | None = -1) -> bytes:
        with storage_failures(self._where, self._doing):
            return self._file.readline(-1 if size is None else size)

    def write(self, content: Buffer) -> int:
        with storage_failures(self._where, self._doing):
            return self._file.write(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with storage_failures(self._where, self._doing):
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def flush(self) -> None:
        if not self._file.closed:
            with storage_failures(self._where, self._doing):
                self._file.flush()

    def close(self) -> None:
        try:
            with storage_failures(self._where, self._doing):
                self._file.close()
        finally:
            super().close()
