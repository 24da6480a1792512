"""Two runs of different sources at one directory, the one held at every operation while the other runs: one data set.

first   ──1──2──3── ... held at n ─────────────────────────────── goes on ──> complete, or one line
second                            starts, ends: complete, or one line
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from pipeline.config import PrepareConfig
from pipeline.dataset.reader import open_dataset
from pipeline.dataset.storage import Directory
from pipeline.derive.remove import remove
from pipeline.layer import prepare_layer
from pipeline.run import prepare
from pipeline.verify.dataset import verify
from stages.errors import CondsetError, DirectoryInUse, ShardConflict, WorkerError
from stages.rehearsal.storage import Store, rehearsal
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make

NO_WEIGHTS = WeightsStore(allow_network=False)
STRIDE = 9
"""A default run holds the first writer at every so many operations, the slow ones at all others."""
PARTS = [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, STRIDE))]


@pytest.fixture
def store() -> Iterator[Store]:
    with rehearsal() as made:
        yield made


@dataclass(frozen=True, slots=True)
class Two:
    """The configurations of two sources, both of scenes in two shards."""

    first: PrepareConfig
    second: PrepareConfig


@pytest.fixture
def two(make_config: Make) -> Two:
    def scenes(count: int, size: int) -> PrepareConfig:
        source = {"kind": "synthetic", "count": count, "width_pixels": size, "height_pixels": size}
        return make_config(source=source, samples_per_shard=3)

    return Two(scenes(4, 64), scenes(5, 80))


def run(config: PrepareConfig, store: Store, actor: str, out: str) -> CondsetError | None:
    """Run to the end; returns the line that a user would see."""
    try:
        prepare(config, Directory(store.url(actor, out)), offline())
    except CondsetError as error:
        return error
    return None


def files_of(store: Store, out: str) -> dict[str, bytes]:
    return {name.removeprefix(out): content for name, content in store.files.items() if name.startswith(f"{out}/")}


def race(two: Two, store: Store, number: int, leases_expire: bool) -> tuple[CondsetError | None, CondsetError | None]:
    """Hold the first run at an operation, run the second one from beginning to end, let the first one go on."""
    out, actor = f"out{number}", f"first{number}"
    pause = store.script(actor).pause(number)
    errors: list[CondsetError | None] = []
    first = threading.Thread(target=lambda: errors.append(run(two.first, store, actor, out)))
    first.start()
    assert pause.reached()
    if leases_expire:
        for name in [name for name in store.files if name.startswith(f"{out}/.work/")]:
            del store.files[name]
    second = run(two.second, store, "second", out)
    pause.go_on()
    first.join()
    return errors[0], second


@contextmanager
def held_at(store: Store, actor: str, number: int, work: Callable[[], object]) -> Iterator[None]:
    """Hold an actor's work at an operation while the block runs."""
    pause = store.script(actor).pause(number)
    thread = threading.Thread(target=work)
    thread.start()
    assert pause.reached()
    try:
        yield
    finally:
        pause.go_on()
        thread.join()


def operations(two: Two, store: Store) -> int:
    """Make each source's data set alone, and return how many operations the first one took."""
    assert run(two.first, store, "alone", "whole-first") is None
    assert run(two.second, store, "other", "whole-second") is None
    return len(store.script("alone").operations)


@pytest.mark.parametrize("part", PARTS)
def test_of_two_sources_at_one_directory_one_is_made_and_the_other_refused(part: int, two: Two, store: Store) -> None:
    for number in range(1 + part, operations(two, store) + 1, STRIDE):
        first, second = race(two, store, number, leases_expire=False)
        assert (first is None) != (second is None), (number, first, second)
        assert isinstance(first or second, DirectoryInUse | ShardConflict)
        winner = "whole-first" if first is None else "whole-second"
        assert files_of(store, f"out{number}") == files_of(store, winner)


@pytest.mark.parametrize("part", PARTS)
def test_nothing_is_mixed_even_if_a_writer_that_stood_still_goes_on_after_it_was_taken_over(
    part: int, two: Two, store: Store
) -> None:
    for number in range(1 + part, operations(two, store) + 1, STRIDE):
        out = f"out{number}"
        first, second = race(two, store, number, leases_expire=True)
        assert first is not None or second is not None, number
        for error in (first, second):
            assert error is None or isinstance(error, DirectoryInUse | ShardConflict | WorkerError)
            assert "\n" not in str(error)
        again = [run(config, store, "again", out) for config in (two.first, two.second)]
        assert [error is None for error in again].count(True) == 1, (number, again)
        winner = "whole-first" if again[0] is None else "whole-second"
        assert files_of(store, out) == files_of(store, winner)
        assert verify(Directory(store.url("again", out)), False, NO_WEIGHTS, "cpu").problems == ()


def test_a_second_run_is_refused_before_it_lists(two: Two, store: Store) -> None:
    """The first one is held while it lists: whoever listed as well would have made hours of work for nothing."""
    assert run(two.first, store, "alone", "whole") is None
    listed = [each.path for each in store.script("alone").operations].index("whole/index/0000000.parquet")
    first, second = race(two, store, listed + 1, leases_expire=False)
    assert first is None
    assert isinstance(second, DirectoryInUse)
    asked = {each.path for each in store.script("second").operations}
    assert not [path for path in asked if path.endswith(".parquet")]


def test_a_layer_and_a_takedown_keep_each_other_out(two: Two, store: Store, make_config: Make) -> None:
    assert run(two.first, store, "alone", "data") is None
    home, held = (Directory(store.url(actor, "data")) for actor in ("alone", "held"))
    layer = make_config(annotators=[{"kind": "canny"}])
    key = open_dataset(home)[0].key

    def take_down(directory: Directory) -> None:
        remove(directory, frozenset({key}), lambda sentence: None)

    prepare_layer(layer, Directory(store.url("watched", "data")), offline())
    made = next(n for n, each in enumerate(store.script("watched").operations, 1) if each.path.endswith("0000000.tar"))
    for name in [name for name in store.files if name.startswith("data/layers/")]:
        del store.files[name]
    with (
        held_at(store, "held", made, lambda: prepare_layer(layer, held, offline())),
        pytest.raises(DirectoryInUse, match=r"layers/canny must be written by one run at a time"),
    ):
        take_down(home)
    with held_at(store, "remover", 30, lambda: take_down(Directory(store.url("remover", "data")))):
        with pytest.raises(DirectoryInUse, match=r"data must be written by one run at a time"):
            prepare_layer(layer, home, offline())
        with pytest.raises(DirectoryInUse):
            take_down(home)
    assert key not in open_dataset(home)
    assert not [name for name in store.files if ".work" in name]
    assert verify(home, False, NO_WEIGHTS, "cpu").problems == ()


def test_a_finished_data_set_is_recognised_without_a_lease(two: Two, store: Store) -> None:
    assert run(two.first, store, "alone", "data") is None
    assert run(two.first, store, "again", "data") is None
    assert not [each for each in store.script("again").operations if each.name in ("put_file", "rm_file")]
