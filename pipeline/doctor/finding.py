"""What the doctor says of one thing that was looked at."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, but slower or not for everything."""
    PROBLEM = "problem"
    """A command will fail."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    subject: str
    level: Level
    found: str
    advice: str = ""
    """What to do about it; empty if nothing."""
