"""A problem that `verify` found, and the same problem of many shards in one line."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.dataset.plan import SHARD_DIGITS

REMAKE_SHARD = "delete its record and prepare again"
REMAKE_MANIFEST = "delete dataset.json and prepare again"


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect; layer, shard and key are empty where it is not one layer's, one shard's or one sample's."""

    shard: str
    """The shard's name, or `0000003 to 0000007`."""
    key: str
    what: str
    """`<what> must be <expected>, got <value>; <what to do>`."""
    layer: str = ""

    def __str__(self) -> str:
        shards = "shards" if " " in self.shard else "shard"
        parts = (("layer", self.layer), (shards, self.shard), ("key", self.key))
        place = " ".join(f"{kind} {name}" for kind, name in parts if name)
        return f"{place}: {self.what}" if place else self.what


def folded(problems: Iterable[Problem]) -> list[Problem]:
    """Say once what is wrong with consecutive shards as a whole: an interrupted copy may lack thousands of them.

    In the folded line `<shard>` stands for each one's name.
    """
    lines: list[Problem] = []
    for problem in problems:
        if lines and _continues(lines[-1], problem):
            first = lines[-1].shard.partition(" ")[0]
            lines[-1] = replace(problem, shard=f"{first} to {problem.shard}", what=_without_name(problem))
        else:
            lines.append(problem)
    return lines


def _continues(before: Problem, problem: Problem) -> bool:
    if before.key or problem.key or not before.shard or not problem.shard:
        return False
    last = before.shard[-SHARD_DIGITS:]
    return int(last) + 1 == int(problem.shard) and _without_name(before) == _without_name(problem)


def _without_name(problem: Problem) -> str:
    return problem.what.replace(problem.shard, "<shard>")
