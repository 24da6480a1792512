"""Storage that fails, anywhere and in any command: one line and exit 2, and the next run goes on."""

import errno
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.config import PrepareConfig
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.run import Summary, prepare
from pipeline.verify.dataset import verify
from stages.errors import ConfigError, ManifestError, ShardCorrupt, StorageError
from stages.rehearsal.storage import Store, rehearsal
from stages.weights.store import WeightsStore
from tests.offline import offline
from tests.pipeline.conftest import Make, Run, tree
from train.cli import app

BUSY = OSError(errno.EBUSY, "Device or resource busy")
LATER = "run again when the storage answers"


@pytest.fixture
def store() -> Iterator[Store]:
    with rehearsal() as made:
        yield made


@pytest.fixture
def small(make_config: Make) -> PrepareConfig:
    """Four scenes, three to a shard."""
    source = {"kind": "synthetic", "count": 4, "width_pixels": 64, "height_pixels": 64}
    return make_config(source=source, samples_per_shard=3)


def made(config: PrepareConfig, store: Store, actor: str, out: str) -> Summary:
    return prepare(config, Directory(store.url(actor, out)), offline())


def fail_at(config: PrepareConfig, store: Store, number: int) -> bool:
    """Let one operation of a run fail, and look at what it says and what the next run makes of what is left.

    Returns whether the run failed: where it only tidies up, it does not.
    """
    actor, out = f"failing{number}", f"out{number}"
    store.script(actor).fail(number, BUSY, after=bool(number % 2))
    failed = ""
    try:
        made(config, store, actor, out)
    except StorageError as error:
        failed = str(error)
        assert LATER in failed
        assert "\n" not in failed
    made(config, store, "next", out)
    assert files_of(store, out) == files_of(store, "whole")
    return bool(failed)


def files_of(store: Store, out: str) -> dict[str, bytes]:
    return {name.removeprefix(out): content for name, content in store.files.items() if name.startswith(f"{out}/")}


@pytest.mark.parametrize("part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 8))])
def test_a_failure_at_any_operation_is_one_line_and_loses_nothing(
    small: PrepareConfig, store: Store, part: int
) -> None:
    made(small, store, "sound", "whole")
    operations = len(store.script("sound").operations)
    assert operations > 30
    failed = [fail_at(small, store, number) for number in range(1 + part, operations + 1, 8)]
    assert sum(failed) > len(failed) / 2


COMMANDS = {
    "verify": ["verify", "DATA"],
    "inspect": ["inspect", "DATA"],
    "encode": ["encode", "DATA", "--model", "none", "--executor", "inline"],
    "compact": ["compact", "DATA", "--out", "OUT"],
    "select": ["select", "DATA", "--split", "1.0", "--out", "OUT"],
    "remove": ["remove", "DATA", "--keys", "KEYS"],
    "upgrade": ["upgrade", "DATA"],
    "push": ["push", "DATA", "user/name"],
    "prepare": ["prepare", "CONFIG", "--out", "DATA", "--executor", "inline"],
    "onto": ["prepare", "CONFIG", "--onto", "DATA", "--executor", "inline"],
    "retry": ["prepare", "CONFIG", "--out", "DATA", "--executor", "inline", "--retry-rejected", "timeout"],
    "train": ["train", "TRAIN", "--data", "DATA", "--out", "RUN"],
}


@pytest.mark.parametrize("error", [BUSY, PermissionError("Forbidden"), RuntimeError("driver\nbroke"), TimeoutError()])
@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_ends_in_a_traceback_or_calls_the_data_unsound(
    command: str, error: Exception, store: Store, tmp_path: Path
) -> None:
    (tmp_path / "keys").write_text("000000000000\n")
    (tmp_path / "config").write_text(
        'name = "small"\n[source]\nkind = "synthetic"\n[image]\nsize_pixels = 64\n[[annotators]]\nkind = "color"\n'
    )
    (tmp_path / "train").write_text(
        'name = "t"\ncondition = "color"\n[adapter]\nkind = "tiny"\n[diffusion]\nkind = "tiny"\n[loop]\nmax_steps = 1\n'
    )
    names = {"DATA": store.url("failing", "data"), "OUT": store.url("failing", "out"), "RUN": str(tmp_path / "run")}
    names |= {name.upper(): str(tmp_path / name) for name in ("keys", "config", "train")}
    store.script("failing").fail_always(error)
    result = CliRunner().invoke(app, [names.get(word, word) for word in COMMANDS[command]])
    assert isinstance(result.exception, StorageError), result.output
    assert "\n" not in str(result.exception)


def test_a_store_that_is_busy_while_the_index_is_opened_never_advises_to_remove_it(
    small: PrepareConfig, store: Store
) -> None:
    made(small, store, "sound", "data")
    with pytest.raises(StorageError, match=r"index\.json must be readable, got Device or resource busy; run again"):
        fail_on(small, store, "index.json")
    assert made(small, store, "sound", "data").shards_made == 0


def fail_on(config: PrepareConfig, store: Store, name: str) -> None:
    """Let the operation fail that reads a file."""
    made(config, store, "watched", "data")
    operations = store.script("watched").operations
    number = next(n for n, each in enumerate(operations, 1) if (each.name, each.path) == ("cat_file", f"data/{name}"))
    store.script("failing").fail(number, BUSY)
    made(config, store, "failing", "data")


def test_a_tar_without_bytes_is_not_complete_already(make_config: Make, run_inline: Run, data_set: Path) -> None:
    before = tree(data_set)
    tar = data_set / "shards/0000001.tar"
    size = tar.stat().st_size
    tar.write_bytes(b"")
    with pytest.raises(ShardCorrupt) as caught:
        run_inline(make_config(), data_set)
    assert str(caught.value) == (
        f"{tar} must have {size} bytes, as its record says, got 0; delete records/0000001.json and prepare again"
    )
    (data_set / "records/0000001.json").unlink()
    run_inline(make_config(), data_set)
    assert tree(data_set) == before


def test_a_tar_that_is_gone_is_noticed_before_an_unfinished_data_set_is_called_complete(
    make_config: Make, run_inline: Run, data_set: Path
) -> None:
    (data_set / "shards/0000000.tar").unlink()
    (data_set / "records/0000002.json").unlink()
    with pytest.raises(ShardCorrupt, match=r"0000000\.tar must have \d+ bytes, as its record says, got no file"):
        run_inline(make_config(), data_set)
    assert json.loads((data_set / "dataset.json").read_bytes())["complete"] is False


@pytest.mark.parametrize("command", ["remove", "encode", "compact", "select", "onto", "push", "verify", "inspect"])
def test_a_layer_named_as_a_data_set_is_called_one(
    command: str, make_config: Make, data_set: Path, tmp_path: Path
) -> None:
    layer, _ = prepare_layer(make_config(annotators=[{"kind": "canny"}]), Directory(str(data_set)), offline())
    (tmp_path / "keys").write_text("000000000000\n")
    (tmp_path / "config").write_text(
        'name = "small"\n[source]\nkind = "synthetic"\n[image]\nsize_pixels = 64\n[[annotators]]\nkind = "canny"\n'
    )
    names = {"DATA": str(layer), "OUT": str(tmp_path / "out"), "KEYS": str(tmp_path / "keys")}
    names |= {"CONFIG": str(tmp_path / "config")}
    result = CliRunner().invoke(app, [names.get(word, word) for word in COMMANDS[command]])
    assert isinstance(result.exception, ManifestError), result.output
    assert str(result.exception) == (
        f"{layer} must be a data set, got a layer of one; name the data set that it lies in, whose layers/canny it is"
    )


def test_a_directory_that_a_node_does_not_see_is_one_line(make_config: Make, data_set: Path) -> None:
    shutil.rmtree(data_set / "index")
    (data_set / "records/0000001.json").unlink()
    with pytest.raises(ManifestError, match=r"got none on \S+, which must share the directory if several"):
        prepare(make_config(), Directory(str(data_set)), offline())


def test_verify_calls_nothing_unsound_that_it_could_not_read(small: PrepareConfig, store: Store) -> None:
    made(small, store, "sound", "data")
    no_weights = WeightsStore(allow_network=False)
    verify(Directory(store.url("watched", "data")), False, no_weights, "cpu")
    for number in range(1, len(store.script("watched").operations) + 1):
        store.script(f"failing{number}").fail(number, BUSY)
        with pytest.raises(StorageError, match=LATER):
            verify(Directory(store.url(f"failing{number}", "data")), False, no_weights, "cpu")


def test_a_directory_below_a_file_is_one_line(make_config: Make, tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises((StorageError, ConfigError), match=r"taken.* must be .*got .*; give another directory"):
        prepare(make_config(), Directory(str(tmp_path / "taken/data")), offline())
