"""Keeps Pillow's warnings about bad files off the terminal, from any number of threads.

Pillow warns of broken EXIF data, malformed animations and more through Python's `warnings`. A data set has its own
place for what was wrong with a file, its shard's record.
"""

from contextlib import AbstractContextManager

from stages.hardware.warning_filters import Ignored, warnings_ignored

PILLOW = Ignored(module=r"PIL\.")


def pillow_warnings_ignored() -> AbstractContextManager[None]:
    """Ignore, neither print nor raise, the warnings that Pillow's modules give while the block runs."""
    return warnings_ignored(PILLOW)
