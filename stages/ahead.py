"""Work that runs ahead of whoever waits for it, and comes in its order.

    items ──begin──> running, running, running ──the first is waited for──> results, in the order of the items

The one loop behind loading, annotating and checking shards and behind reading many small files: what bounds how much is
in memory, and what ends with an error, is the same everywhere.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    begin: Callable[[Item], Future[Result]], items: Iterable[Item], ahead: int
) -> Generator[Result, None, None]:
    """Yield the result of each item; `ahead` more are begun before it is waited for.

    At an error, or when the generator is closed, nothing else is begun: what its pool has queued is cancelled, and what
    runs goes on in its pool.
    """
    begun: deque[Future[Result]] = deque()
    try:
        for item in items:
            begun.append(begin(item))
            if len(begun) > ahead:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        for future in begun:
            future.cancel()
