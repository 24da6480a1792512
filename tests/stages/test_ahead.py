"""Work that runs ahead: in order, bounded, and at an end when it ends."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

import pytest

from stages.ahead import in_order

PATIENCE_SECONDS = 30


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as threads:
        yield threads


def test_results_come_in_order_whatever_is_ready_first(pool: ThreadPoolExecutor) -> None:
    last_is_ready = threading.Event()

    def run(number: int) -> int:
        if number == 3:
            last_is_ready.set()
        assert last_is_ready.wait(PATIENCE_SECONDS)
        return number * number

    assert list(in_order(lambda number: pool.submit(run, number), range(4), 3)) == [0, 1, 4, 9]


def test_no_more_is_begun_than_is_to_run_ahead() -> None:
    begun: list[int] = []

    def begin(number: int) -> Future[int]:
        begun.append(number)
        ready = Future[int]()
        ready.set_result(number)
        return ready

    ahead = [len(begun) - result for result in in_order(begin, range(10), 2)]
    assert ahead == [3, 3, 3, 3, 3, 3, 3, 3, 2, 1]


def test_an_error_comes_in_its_turn_and_nothing_else_is_begun(pool: ThreadPoolExecutor) -> None:
    begun: list[int] = []

    def begin(number: int) -> Future[float]:
        begun.append(number)
        return pool.submit(lambda: 1 / (number - 2))

    results = in_order(begin, range(100), 1)
    assert [next(results), next(results)] == [-0.5, -1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert begun == [0, 1, 2, 3]


def test_what_is_queued_when_nobody_wants_it_any_more_never_runs() -> None:
    ran: list[int] = []
    first_is_taken = threading.Event()

    def run(number: int) -> int:
        assert number == 0 or first_is_taken.wait(PATIENCE_SECONDS)
        ran.append(number)
        return number

    with ThreadPoolExecutor(1) as pool, closing(in_order(lambda number: pool.submit(run, number), range(9), 5)) as made:
        assert next(made) == 0
        made.close()
        first_is_taken.set()
    assert ran in ([0], [0, 1])
