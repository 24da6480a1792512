"""What the file of a lease says: who writes into a directory, and since when."""

import json
from dataclasses import asdict, dataclass

from pipeline.writers.process import Process

SUFFIX = ".json"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a lease's file says."""

    id: str
    process: Process
    since: str
    """A moment, in UTC."""
    renewals: int = 0

    def __str__(self) -> str:
        return f"{self.process}, since {self.since}"

    @property
    def file(self) -> str:
        return self.id + SUFFIX

    def to_json(self) -> bytes:
        return json.dumps(asdict(self), indent=2).encode() + b"\n"
