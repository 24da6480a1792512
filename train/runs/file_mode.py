"""The permissions of a new file: what the user's umask leaves, where a library makes its own files private."""

import uuid
from pathlib import Path

from stages.locations import PARTIAL


def usual_mode(directory: Path) -> int:
    """Return the mode that a file gets that is made in a directory now. The umask cannot be read without setting it."""
    probe = directory / f".{uuid.uuid4().hex}{PARTIAL}"
    probe.touch()
    try:
        return probe.stat().st_mode
    finally:
        probe.unlink()
