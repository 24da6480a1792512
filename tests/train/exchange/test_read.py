"""Adapters from everywhere: what is opened is what was written, and what does not fit is said in one line."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import T2IAdapter
from safetensors.torch import save_file
from torch import nn

from stages.errors import CheckpointError, WeightsError
from stages.records import Condition
from tests.train.small_runs import CHANNELS, STEP, shapes_of, small_adapter, write_run
from train.exchange.export import export_run
from train.exchange.read import LoadedAdapter, load_into, read_adapter, stored_in_run
from train.exchange.t2i_layout import Layout, to_t2i

EXPORTS: list[tuple[str, Layout, str]] = [
    *((kind, "t2i", suffix) for kind in ("full", "light", "tiny", "full_xl") for suffix in (".pth", ".safetensors")),
    *((kind, "diffusers", "") for kind in ("full", "light", "full_xl")),
]


def assert_equal(one: nn.Module, other: nn.Module) -> None:
    mine, theirs = one.state_dict(), other.state_dict()
    assert list(mine) == list(theirs)
    for name in mine:
        assert float((mine[name] - theirs[name]).abs().max()) == 0, name


@pytest.mark.parametrize(("kind", "layout", "suffix"), EXPORTS)
def test_an_export_is_imported_without_any_difference(kind: Any, layout: Layout, suffix: str, tmp_path: Path) -> None:
    trained = write_run(tmp_path / "run", kind)
    out = tmp_path / f"adapter{suffix}"
    export_run(tmp_path / "run", layout, out)

    fine_tuned = small_adapter(kind, seed=7)
    load_into(fine_tuned, str(out))
    assert_equal(fine_tuned, trained)

    opened = read_adapter(out)
    condition = None if suffix == ".pth" else Condition.SKETCH  # which a .pth file has no place for
    assert opened == LoadedAdapter(kind, 1, shapes_of(kind), condition, opened.module)
    assert_equal(opened.module, trained)
    picture = torch.rand(1, 1, 64, 64)
    for mine, theirs in zip(opened.module(picture), trained(picture), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "suffix"), [("t2i", ".pth"), ("t2i", ".safetensors"), ("diffusers", "")])
def test_at_full_size_too(layout: Layout, suffix: str, tmp_path: Path) -> None:
    trained = write_run(tmp_path / "run", channels=(320, 640, 1280, 1280))
    export_run(tmp_path / "run", layout, tmp_path / f"adapter{suffix}")
    assert_equal(read_adapter(tmp_path / f"adapter{suffix}").module, trained)


def test_a_run_is_opened_at_its_last_checkpoint(tmp_path: Path) -> None:
    trained = write_run(tmp_path / "run", "tiny", 3, condition="keypose")
    opened = read_adapter(tmp_path / "run")
    assert opened == LoadedAdapter("tiny", 3, shapes_of("tiny"), Condition.KEYPOSE, opened.module)
    assert_equal(opened.module, trained)


def test_of_a_run_with_a_moving_average_that_is_opened(tmp_path: Path) -> None:
    average = write_run(tmp_path / "run", averaged=True)
    assert_equal(read_adapter(tmp_path / "run").module, average)


def test_an_opened_adapter_is_not_trained_by_accident(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    module = read_adapter(tmp_path / "run").module
    assert not module.training
    assert not any(parameter.requires_grad for parameter in module.parameters())


def test_what_diffusers_itself_saved_is_imported(tmp_path: Path) -> None:
    theirs = T2IAdapter(3, list(CHANNELS))
    theirs.save_pretrained(tmp_path / "safe")
    theirs.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    for directory in ("safe", "pickled"):
        opened = read_adapter(tmp_path / directory)
        assert (opened.kind, opened.in_channels, opened.condition) == ("full", 3, None)
        assert_equal(opened.module, theirs)


def test_diffusers_names_in_one_file_are_imported(tmp_path: Path) -> None:
    theirs = small_adapter("light", 3)
    save_file(theirs.state_dict(), tmp_path / "file.safetensors")
    assert_equal(read_adapter(tmp_path / "file.safetensors").module, theirs)


@pytest.mark.parametrize("wrapped", ["state_dict", "module", "adapter"])
def test_a_released_file_that_was_wrapped_is_imported(wrapped: str, tmp_path: Path) -> None:
    theirs = small_adapter()
    tensors: dict[str, Any] = to_t2i(theirs.state_dict())
    if wrapped == "state_dict":
        tensors = {"state_dict": tensors, "epoch": 3}
    else:
        tensors = {f"{wrapped}.{name}": tensor for name, tensor in tensors.items()}
    torch.save(tensors, tmp_path / "file.pth")
    assert_equal(read_adapter(tmp_path / "file.pth").module, theirs)


def test_half_precision_is_read_into_single(tmp_path: Path) -> None:
    theirs = small_adapter()
    tensors = {name: tensor.half() for name, tensor in to_t2i(theirs.state_dict()).items()}
    save_file(tensors, tmp_path / "file.safetensors")
    module = read_adapter(tmp_path / "file.safetensors").module
    assert all(parameter.dtype == torch.float32 for parameter in module.parameters())
    assert_equal(module, theirs.half().float())


def test_an_adapter_of_another_condition_is_refused_by_the_parameter_that_does_not_fit(tmp_path: Path) -> None:
    save_file(to_t2i(small_adapter(in_channels=3).state_dict()), tmp_path / "depth.safetensors")
    with pytest.raises(
        CheckpointError,
        match=r"depth\.safetensors adapter\.conv_in\.weight must have shape \(8, 64, 3, 3\), got \(8, 192, 3, 3\); "
        r"set the adapter\.kind and condition that it was trained with$",
    ):
        load_into(small_adapter(), str(tmp_path / "depth.safetensors"))


def test_an_adapter_with_learned_downsampling_is_refused_by_name(tmp_path: Path) -> None:
    tensors = to_t2i(small_adapter().state_dict()) | {"body.2.down_opt.op.weight": torch.zeros(8, 8, 3, 3)}
    save_file(tensors, tmp_path / "old.safetensors")
    with pytest.raises(CheckpointError, match=r"body\.1\.resnets\.0\.down_opt\.op\.weight must have shape none, got "):
        read_adapter(tmp_path / "old.safetensors")


def test_another_network_is_refused(tmp_path: Path) -> None:
    save_file({"style_embedding": torch.zeros(1)}, tmp_path / "style.safetensors")
    with pytest.raises(
        CheckpointError,
        match=r"style\.safetensors must hold a T2I adapter, got 1 parameters such as style_embedding; "
        r"give a file with body\.0\.\* or adapter\.body\.0\.\*$",
    ):
        read_adapter(tmp_path / "style.safetensors")


def test_a_damaged_safetensors_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(b"short")
    with pytest.raises(CheckpointError, match=r"cut\.safetensors must be readable, got SafetensorError: .*download it"):
        load_into(small_adapter(), str(tmp_path / "cut.safetensors"))


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"body.0.block1.weight": print}, tmp_path / "evil.pth")
    with pytest.raises(WeightsError, match=r"evil\.pth must be a checkpoint that torch reads with weights_only"):
        read_adapter(tmp_path / "evil.pth")


@pytest.mark.parametrize(
    ("there", "got"), [(True, "a directory without run.json or config.json and"), (False, "nothing")]
)
def test_a_path_without_an_adapter_is_refused(there: bool, got: str, tmp_path: Path) -> None:
    path = tmp_path if there else tmp_path / "nowhere"
    with pytest.raises(
        CheckpointError, match=f"must be a run, a directory of T2IAdapter.save_pretrained, or .* file, got {got}"
    ):
        read_adapter(path)


def test_a_run_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    with pytest.raises(CheckpointError, match=r"run must have a checkpoint, got none; go on with `condset train`$"):
        read_adapter(tmp_path / "run")


def test_a_step_that_has_no_checkpoint_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    assert stored_in_run(tmp_path / "run", STEP).file.parent.name == "step-0000020"
    with pytest.raises(CheckpointError, match=r"run must have a checkpoint of step 15, got 10, 20; give one of them$"):
        stored_in_run(tmp_path / "run", 15)


def test_a_run_of_another_version_is_refused(tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    file = tmp_path / "run" / "run.json"
    file.write_text(file.read_text().replace('"max_grad_norm"', '"clip"'))
    with pytest.raises(
        CheckpointError,
        match=r"run\.json optimizer\.clip must be as this version of condset has it, got '.+'; use the",
    ):
        read_adapter(tmp_path / "run")


@pytest.mark.parametrize("name", ["file.pth", "file.bin", "file", "file.ckpt"])
def test_safetensors_are_known_by_what_is_in_them(name: str, tmp_path: Path) -> None:
    write_run(tmp_path / "run")
    export_run(tmp_path / "run", "t2i", tmp_path / "file.safetensors")
    (tmp_path / "file.safetensors").rename(tmp_path / name)
    opened = read_adapter(tmp_path / name)
    assert opened.condition is Condition.SKETCH
    assert_equal(opened.module, read_adapter(tmp_path / "run").module)


@pytest.mark.parametrize("is_zip", [True, False])
def test_torchs_files_are_known_by_what_is_in_them(is_zip: bool, tmp_path: Path) -> None:
    theirs = small_adapter()
    path = tmp_path / "file.safetensors"
    torch.save(to_t2i(theirs.state_dict()), path, _use_new_zipfile_serialization=is_zip)
    assert_equal(read_adapter(path).module, theirs)


@pytest.mark.parametrize("safe", [True, False])
@pytest.mark.parametrize("variant", [None, "fp16"])
@pytest.mark.parametrize("largest", ["10GB", "20KB"])
def test_a_directory_with_a_variant_or_several_files_is_read(
    largest: str, variant: str | None, safe: bool, tmp_path: Path
) -> None:
    theirs = T2IAdapter(3, list(CHANNELS))
    theirs.save_pretrained(tmp_path / "out", variant=variant, max_shard_size=largest, safe_serialization=safe)
    assert len(list((tmp_path / "out").iterdir())) == 2 or largest == "20KB"
    opened = read_adapter(tmp_path / "out")
    assert_equal(opened.module, theirs)
    fine_tuned = small_adapter(in_channels=3, seed=7)
    load_into(fine_tuned, str(tmp_path / "out"))
    assert_equal(fine_tuned, theirs)


def test_in_full_comes_before_a_variant_and_two_variants_are_asked_about(tmp_path: Path) -> None:
    theirs, other = T2IAdapter(3, list(CHANNELS)), T2IAdapter(3, list(CHANNELS))
    other.save_pretrained(tmp_path / "out", variant="fp16")
    theirs.save_pretrained(tmp_path / "out")
    assert_equal(read_adapter(tmp_path / "out").module, theirs)
    full = tmp_path / "out" / "diffusion_pytorch_model.safetensors"
    full.rename(tmp_path / "out" / "diffusion_pytorch_model.bf16.safetensors")
    with pytest.raises(
        CheckpointError,
        match=r"^\S+out must have weights in full or in one variant, got bf16, fp16; give one of the files in place of",
    ):
        read_adapter(tmp_path / "out")
    assert_equal(read_adapter(tmp_path / "out" / "diffusion_pytorch_model.fp16.safetensors").module, other)


def test_an_index_without_one_of_its_files_is_refused(tmp_path: Path) -> None:
    T2IAdapter(3, list(CHANNELS)).save_pretrained(tmp_path / "out", max_shard_size="20KB")
    lost = max((tmp_path / "out").glob("*-of-*.safetensors"))
    lost.unlink()
    with pytest.raises(CheckpointError, match=rf"beside the \d+ files that it lists, got none called {lost.name}"):
        read_adapter(tmp_path / "out")
    (index,) = (tmp_path / "out").glob("*.index.json")
    index.write_text("[]")
    with pytest.raises(CheckpointError, match=r"index\.json must be an index of weights, got TypeError; copy or"):
        read_adapter(tmp_path / "out")
