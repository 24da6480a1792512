"""Shard plans: which rows of the index become which shard. A plan is a reference of a few bytes."""

import hashlib
from dataclasses import dataclass

from stages.errors import ConfigError

SHARD_DIGITS = 7


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """Rows [start, stop) of the index."""

    number: int
    start: int
    stop: int

    @property
    def name(self) -> str:
        """The shard's name: 0000000."""
        return f"{self.number:0{SHARD_DIGITS}d}"

    @property
    def rows(self) -> int:
        return self.stop - self.start

    def digest(self, fingerprint: str) -> str:
        """Tell this plan of this data set from every other."""
        return hashlib.sha256(f"{fingerprint} {self.start} {self.stop}".encode()).hexdigest()


def plan_shards(rows: int, samples_per_shard: int) -> list[ShardPlan]:
    """Cut `rows` rows of the index into shards, in order; only the last one may be smaller."""
    starts = range(0, rows, samples_per_shard)
    if len(starts) > 10**SHARD_DIGITS:
        raise ConfigError(
            f"samples_per_shard must give at most 10^{SHARD_DIGITS} shards of {rows} rows, got {len(starts)}"
        )
    return [ShardPlan(number, start, min(start + samples_per_shard, rows)) for number, start in enumerate(starts)]
