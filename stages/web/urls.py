"""Fetch all images of a shard from the web at once, within limits, and hand each to a function as it arrives.

    requests ──slots: per host, in all──> attempt ──bytes──> use (one thread) ──> results in the order of the requests
                 └──<──pause──<──may pass──┘ └──> Rejection ──^

The invariant: results do not depend on which download finishes first. A slot is held until its bytes have been used, so
that at most `concurrency` images are in memory; pauses hold none. When the call returns or raises, no connection, task
or thread of it is left.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from stages.randomness import random_for
from stages.records import Rejection
from stages.web.config import FetchConfig

if TYPE_CHECKING:
    import aiohttp

STOP_POLL_SECONDS = 0.1

Result = TypeVar("Result")


def is_web_url(uri: str) -> bool:
    """Whether a URI of the index is fetched here."""
    return uri[:8].lower().startswith(("http://", "https://"))


def fetch_urls(
    requests: Sequence[tuple[str, str]],
    config: FetchConfig,
    use: Callable[[int, bytes | Rejection], Result],
    stop: threading.Event | None = None,
) -> list[Result]:
    """Fetch (key, URL) pairs concurrently; return what `use` made of each one, in their order.

    `use` is given the position of a request and its bytes or rejection, from one thread, in any order. A request holds
    slots for at most (retries + 1) x total_seconds. May be called from any thread without a running event loop; Ctrl-C
    in the main thread ends it, and elsewhere setting `stop` does, with asyncio.CancelledError. Raises SourceError if
    this machine cannot open another connection, and what `use` raises.
    """
    return asyncio.run(_fetch_all(requests, config, use, stop or threading.Event())) if requests else []


async def _fetch_all(
    requests: Sequence[tuple[str, str]],
    config: FetchConfig,
    use: Callable[[int, bytes | Rejection], Result],
    stop: threading.Event,
) -> list[Result]:
    from stages.web.client import open_session

    # Looking names up blocks a thread each; asyncio's own pool has too few of them. asyncio.run joins them.
    lookups = ThreadPoolExecutor(config.concurrency, thread_name_prefix="lookup")
    asyncio.get_running_loop().set_default_executor(lookups)
    with ThreadPoolExecutor(1, thread_name_prefix="use") as user:
        async with open_session(config) as session:
            fetcher = _Fetcher(session, config, use, user)
            return await _gather([fetcher.fetch(n, *request) for n, request in enumerate(requests)], stop)


async def _gather(work: Sequence[Coroutine[Any, Any, Result]], stop: threading.Event) -> list[Result]:
    """Run all to their ends, or none any further: at an error, a cancellation or `stop` the rest is cancelled."""
    tasks = [asyncio.create_task(each) for each in work]
    watcher = asyncio.create_task(_cancel_at(stop, tasks))
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in (watcher, *tasks):
            task.cancel()
        await asyncio.gather(watcher, *tasks, return_exceptions=True)


async def _cancel_at(stop: threading.Event, tasks: Sequence[asyncio.Task[Result]]) -> None:
    while not stop.is_set():
        await asyncio.sleep(STOP_POLL_SECONDS)
    for task in tasks:
        task.cancel()


class _Fetcher(Generic[Result]):
    """Makes the attempts for each request, one slot at a time."""

    def __init__(
        self,
        session: "aiohttp.ClientSession",
        config: FetchConfig,
        use: Callable[[int, bytes | Rejection], Result],
        user: Executor,
    ) -> None:
        self._session = session
        self._config = config
        self._use = use
        self._user = user
        self._slots = asyncio.Semaphore(config.concurrency)
        self._host_slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(config.per_host))

    async def fetch(self, position: int, key: str, url: str) -> Result:
        from stages.web.client import get

        host = url.split("/", 3)[2].lower()
        for attempt in count():
            async with (
                self._host_slots[host],
                self._slots,
            ):  # a request that waits for a busy host takes no slot from the others
                outcome = await get(self._session, url, self._config)
                if isinstance(outcome, bytes):
                    return await self._used(position, outcome)
                if (
                    not outcome.may_pass
                    or attempt == self._config.retries
                    or outcome.wait_seconds > self._config.longest_pause_seconds
                ):
                    return await self._used(position, Rejection(key, outcome.reason, outcome.detail))
            await asyncio.sleep(max(pause_seconds(key, attempt, self._config), outcome.wait_seconds))
        raise AssertionError("the last attempt returns")

    async def _used(self, position: int, fetched: bytes | Rejection) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._user, self._use, position, fetched)


def pause_seconds(key: str, attempt: int, config: FetchConfig) -> float:
    """How long to wait after attempt 0, 1, ...: doubling, less up to half of it, drawn from (key, attempt).

    Requests that failed together do not come back together, and yet each pause is the same in every run.
    """
    longest = min(config.first_pause_seconds * 2.0**attempt, config.longest_pause_seconds)
    return longest * (1 - random_for(0, "pause", f"{key} {attempt}").random() / 2)
