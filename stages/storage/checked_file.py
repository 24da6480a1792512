"""An open file of a driver, whose every failure becomes what its callers expect: an OSError, or one line for users."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

from typing_extensions import Buffer


class CheckedFile(io.RawIOBase):
    """A file of any driver; reading, writing and closing raise what `failures` makes of the driver's errors."""

    def __init__(
        self, file: BinaryIO, failures: Callable[[], AbstractContextManager[None]], is_written: bool = False
    ) -> None:
        """Take a file that is open; closing this one closes it. Every call of the driver is a block of `failures()`."""
        self._file, self._failures, self._is_written = file, failures, is_written

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return self._is_written

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        with self._failures():
            return self._file.read(-1 if size is None else size)

    def readinto(self, buffer: Buffer) -> int:
        with memoryview(buffer).cast("B") as view:
            content = self.read(len(view))
            view[: len(content)] = content
            return len(content)

    def readline(self, size: int | None = -1) -> bytes:
        with self._failures():
            return self._file.readline(-1 if size is None else size)

    def write(self, content: Buffer) -> int:
        with self._failures():
            return self._file.write(content)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        with self._failures():
            return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def fileno(self) -> int:
        return self._file.fileno()

    def flush(self) -> None:
        if not self._file.closed:
            with self._failures():
                self._file.flush()

    def close(self) -> None:
        try:
            with self._failures():
                self._file.close()
        finally:
            super().close()
