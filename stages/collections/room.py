"""How much room a fetch takes on the disk, and whether it is there: asked before the first byte comes.

Archives come one after the other, and each makes room again before the next one comes, unless it is kept.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stages.errors import SourceError
from stages.web.progress import in_words


@dataclass(frozen=True, slots=True)
class Need:
    """The room that one archive takes."""

    to_come_bytes: int
    """What is still to be downloaded."""
    unpacked_bytes: int
    """What its files will take beside it."""
    freed_bytes: int
    """What is free again once it is unpacked."""


def most_bytes(needs: Sequence[Need]) -> int:
    """Return the largest room that is taken at a time, beyond what is taken now."""
    taken = most = 0
    for need in needs:
        taken += need.to_come_bytes + need.unpacked_bytes
        most = max(most, taken)
        taken -= need.freed_bytes
    return most


def room_in_words(needs: Sequence[Need], root: Path) -> str:
    """Say in one line what a fetch takes and what is free; SourceError if that is not enough."""
    coming, unpacked = sum(need.to_come_bytes for need in needs), sum(need.unpacked_bytes for need in needs)
    most, what = most_bytes(needs), f"{in_words(coming)} to download, {in_words(unpacked)} unpacked"
    free = check_room(most, what, root)
    return f"{what}; takes {in_words(most)} at most of the {in_words(free)} that are free in {root}"


def check_room(wanted_bytes: int, what: str, root: Path) -> int:
    """Return how many bytes are free; SourceError, saying `what` for, if they are fewer than wanted."""
    free = shutil.disk_usage(root).free
    if wanted_bytes > free:
        raise SourceError(
            f"{root} must have room for {in_words(wanted_bytes)} ({what}), got {in_words(free)} free; make room or"
            " choose another --out"
        )
    return free
