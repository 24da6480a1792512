"""The one line that is said when a file of a run cannot be written."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.errors import CheckpointError


@contextmanager
def explain_write_errors(path: Path) -> Iterator[None]:
    """Name `path`, and what to do, if the file system does not take what the block writes: CheckpointError."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise CheckpointError(f"{path} must be written, got {reason}; make room, or choose another --out") from error
