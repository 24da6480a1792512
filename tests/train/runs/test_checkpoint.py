"""Checkpoints: whole or not there, and everything that a run goes on from is in them."""

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
import torch

from stages.errors import CheckpointError
from tests.train.conftest import open_reader
from tests.train.small_runs import small_adapter
from train.adapters.spatial import AdapterConfig, build_adapter
from train.base.caption_cache import CaptionCache
from train.config import OptimizerConfig
from train.data.batch import Batch, stack
from train.loop.optimization import Optimization
from train.runs.checkpoint import (
    ADAPTER_FILE,
    CHECKPOINTS,
    EMA_FILE,
    OPTIMIZER_FILE,
    POSITION_FILE,
    Position,
    checkpoints,
    last_checkpoint,
    load_checkpoint,
    read_position,
    remove_partials,
    save_checkpoint,
)

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

FILES = (ADAPTER_FILE, EMA_FILE, OPTIMIZER_FILE, POSITION_FILE)

Start: TypeAlias = Callable[..., Optimization]


@pytest.fixture(scope="module")
def batch(color_data: Path) -> Batch:
    read = open_reader([color_data])
    return stack([read(0), read(1)], pin=False)


@pytest.fixture(scope="module")
def start(tiny_base: "StableDiffusion") -> Start:
    """A run's moving parts before the first step; keyword arguments are settings of `[optimizer]`."""

    def begin(seed: int = 0, **settings: object) -> Optimization:
        adapter = build_adapter(AdapterConfig(kind="tiny", seed=seed), 3, tiny_base.feature_shapes)
        config = {"lr": 1e-3, "warmup_steps": 5, "ema_decay": 0.9} | settings
        return Optimization(adapter, tiny_base, OptimizerConfig.model_validate(config), 100)

    return begin


@pytest.fixture(scope="module")
def trained(start: Start, tiny_base: "StableDiffusion", batch: Batch) -> Optimization:
    """The same after three steps."""
    optimization = start()
    captions = CaptionCache(tiny_base, 10)
    for number in (1, 2, 3):
        take_step(optimization, batch, captions, number)
    return optimization


def take_step(optimization: Optimization, batch: Batch, captions: CaptionCache, number: int) -> None:
    optimization.accumulate([batch], captions, number)
    optimization.apply(number)


def contents(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def same(ours: Any, theirs: Any) -> bool:
    """Equality of what torch's state dicts are made of."""
    if isinstance(ours, torch.Tensor):
        return torch.equal(ours, theirs)
    if isinstance(ours, dict):
        return ours.keys() == theirs.keys() and all(same(ours[key], theirs[key]) for key in ours)
    if isinstance(ours, list | tuple):
        return len(ours) == len(theirs) and all(same(*pair) for pair in zip(ours, theirs, strict=True))
    return bool(ours == theirs)


def test_everything_that_changes_is_taken_up_again(start: Start, trained: Optimization, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path, trained, Position(3, 6), kept=3)
    resumed = start(seed=1)
    assert not same(resumed.state(), trained.state())
    assert load_checkpoint(checkpoint, resumed) == Position(3, 6)
    assert same(resumed.state(), trained.state())
    assert same(resumed.adapter.state_dict(), trained.adapter.state_dict())
    assert resumed.ema is not None
    assert trained.ema is not None
    assert same(resumed.ema.state_dict(), trained.ema.state_dict())
    assert not same(trained.ema.module.state_dict(), trained.adapter.state_dict())
    assert resumed.learning_rate == trained.learning_rate == pytest.approx(1e-3 * 3 / 5)


def test_a_resumed_run_takes_the_very_step_that_it_would_have_taken(
    start: Start, trained: Optimization, tiny_base: "StableDiffusion", batch: Batch, tmp_path: Path
) -> None:
    first, second = start(seed=1), start(seed=2)
    checkpoint = save_checkpoint(tmp_path, trained, Position(3, 6), kept=3)
    for resumed in (first, second):
        load_checkpoint(checkpoint, resumed)
        take_step(resumed, batch, CaptionCache(tiny_base, 10), 4)
    assert same(first.state(), second.state())
    assert same(first.adapter.state_dict(), second.adapter.state_dict())
    assert not same(first.adapter.state_dict(), trained.adapter.state_dict())


def test_equal_runs_write_equal_bytes(start: Start, trained: Optimization, tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path / "first", trained, Position(3, 6), kept=1)
    resumed = start(seed=1)
    load_checkpoint(first, resumed)
    second = save_checkpoint(tmp_path / "second", resumed, Position(3, 6), kept=1)
    assert sorted(contents(first)) == sorted(FILES)
    assert contents(first) == contents(second)


def test_without_a_moving_average_there_is_no_file_of_it(start: Start, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path, start(ema_decay=None), Position(0, 0), kept=1)
    assert sorted(contents(checkpoint)) == sorted(set(FILES) - {EMA_FILE})
    load_checkpoint(checkpoint, start(seed=1, ema_decay=None))


def test_the_last_checkpoints_are_kept_and_nothing_else(trained: Optimization, tmp_path: Path) -> None:
    for step in (1, 9, 10, 100, 1000):
        saved = save_checkpoint(tmp_path, trained, Position(step, 2 * step), kept=2)
        assert saved == last_checkpoint(tmp_path)
    assert [path.name for path in checkpoints(tmp_path)] == ["step-0000100", "step-0001000"]
    assert sorted(path.name for path in (tmp_path / CHECKPOINTS).iterdir()) == ["step-0000100", "step-0001000"]
    assert [read_position(path) for path in checkpoints(tmp_path)] == [Position(100, 200), Position(1000, 2000)]


def test_a_step_that_is_reached_again_takes_the_place_of_its_checkpoint(
    start: Start, trained: Optimization, tmp_path: Path
) -> None:
    before = contents(save_checkpoint(tmp_path, start(), Position(3, 6), kept=2))
    again = save_checkpoint(tmp_path, trained, Position(3, 6), kept=2)
    assert checkpoints(tmp_path) == [again]
    assert contents(again)[ADAPTER_FILE] != before[ADAPTER_FILE]


def test_a_run_without_checkpoints_has_no_last_one(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    assert checkpoints(tmp_path) == []
    remove_partials(tmp_path)


def test_what_was_cut_off_is_no_checkpoint_and_is_removed(trained: Optimization, tmp_path: Path) -> None:
    whole = save_checkpoint(tmp_path, trained, Position(3, 6), kept=2)
    cut_off = tmp_path / CHECKPOINTS / "step-0000004.0123abcd.partial"
    cut_off.mkdir()
    (cut_off / ADAPTER_FILE).write_bytes((whole / ADAPTER_FILE).read_bytes()[:100])
    assert last_checkpoint(tmp_path) == whole
    remove_partials(tmp_path)
    assert list((tmp_path / CHECKPOINTS).iterdir()) == [whole]


@pytest.fixture
def small_disk() -> Iterator[Callable[[int], None]]:
    """Let no file grow beyond some bytes: what a full disk does to a program, without one."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda most_bytes: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("name", [POSITION_FILE, ADAPTER_FILE, OPTIMIZER_FILE])
def test_a_full_disk_leaves_the_former_checkpoint_as_it_was(
    trained: Optimization, tmp_path: Path, small_disk: Callable[[int], None], name: str
) -> None:
    former = save_checkpoint(tmp_path, trained, Position(3, 6), kept=1)
    before = contents(former)
    sizes = sorted(len(content) for content in before.values())
    assert sizes[-1] == len(before[OPTIMIZER_FILE]) > sizes[-2]  # it alone does not fit where all others do
    small_disk(len(before[name]) - 1)
    with pytest.raises(
        CheckpointError,
        match=rf"^{tmp_path}/checkpoints/step-0000004 must be written, got \w+: .*; make room and run again, "
        r"training goes on from step-0000003$",
    ):
        save_checkpoint(tmp_path, trained, Position(4, 8), kept=1)
    assert list((tmp_path / CHECKPOINTS).iterdir()) == [former]
    assert contents(former) == before


def test_a_full_disk_at_the_first_checkpoint_says_so(
    trained: Optimization, tmp_path: Path, small_disk: Callable[[int], None]
) -> None:
    small_disk(1000)
    with pytest.raises(CheckpointError, match=r"make room and run again, no checkpoint was written before$"):
        save_checkpoint(tmp_path, trained, Position(1, 2), kept=1)


@pytest.fixture(scope="module")
def saved(trained: Optimization, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("run"), trained, Position(3, 6), kept=1)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["missing", "cut off", "one bit"])
def test_a_damaged_file_is_named(start: Start, saved: Path, tmp_path: Path, name: str, damage: str) -> None:
    checkpoint = shutil.copytree(saved, tmp_path / saved.name)
    content = bytearray((checkpoint / name).read_bytes())
    (checkpoint / name).unlink()
    if damage == "cut off":
        (checkpoint / name).write_bytes(content[: len(content) // 2])
    elif damage == "one bit":
        content[len(content) // 2] ^= 1
        (checkpoint / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=rf"^{checkpoint}.* must .* training goes on from the checkpoint before$"):
        load_checkpoint(checkpoint, start())


def test_a_file_that_is_not_the_one_written_is_told_by_its_hash(start: Start, saved: Path, tmp_path: Path) -> None:
    checkpoint = shutil.copytree(saved, tmp_path / saved.name)
    (checkpoint / OPTIMIZER_FILE).write_bytes(b"")
    expected = json.loads((saved / POSITION_FILE).read_text())["sha256"][OPTIMIZER_FILE]
    with pytest.raises(
        CheckpointError,
        match=rf"^{checkpoint}/optimizer\.pt must have sha256 {expected[:12]}, got e3b0c44298fc; remove step",
    ):
        load_checkpoint(checkpoint, start())


@pytest.mark.parametrize(
    "content", ["[1, 2]", '{"step": 1}', '{"step": 1, "samples": 2}', "null", "1" * 5, '{"step": 1']
)
def test_a_position_that_is_none_is_a_damaged_checkpoint(tmp_path: Path, content: str) -> None:
    (tmp_path / POSITION_FILE).write_text(content)
    with pytest.raises(CheckpointError, match=rf"^{tmp_path} must be readable, got \w+: "):
        read_position(tmp_path)


def test_the_checkpoint_of_another_network_is_refused(start: Start, trained: Optimization, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path, trained, Position(3, 6), kept=1)
    other = start()
    other.adapter = small_adapter("tiny", 3)
    with pytest.raises(
        CheckpointError,
        match=rf"^{checkpoint}/adapter\.safetensors adapter\.body\.0\.in_conv\.bias must have shape \(1,\), got "
        r"\(4,\); set the adapter\.kind and condition that it was trained with$",
    ):
        load_checkpoint(checkpoint, other)


def test_a_position_says_steps_samples_and_what_each_file_must_be(saved: Path) -> None:
    content = json.loads((saved / POSITION_FILE).read_text())
    assert (content["step"], content["samples"]) == (3, 6)
    assert content["sha256"].keys() == {ADAPTER_FILE, EMA_FILE, OPTIMIZER_FILE}
