"""What can be read out of a checkpoint, and that nothing in one is run."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from stages.errors import WeightsError
from stages.weights.state_dicts import load_state_dict
from stages.weights.store import WeightsFile


@pytest.mark.parametrize("entry", ["state_dict", "model", None])
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_parameters_are_taken_out_of_what_wraps_them(tmp_path: Path, entry: str | None, prefix: str) -> None:
    parameters = {f"{prefix}weight": torch.ones(2)}
    torch.save({entry: parameters, "epoch": 3} if entry else parameters, tmp_path / "file")
    assert list(load_state_dict(WeightsFile(tmp_path / "file", ""))) == ["weight"]


def save_as_openmmlab(path: Path, numpy_module: bytes) -> None:
    """Write what `tools/misc/publish_model.py` of mmpose does: the legacy format, arrays in `meta`."""
    arrays = {"sigmas": np.ones(17, np.float32), "colors": np.zeros((17, 3), np.uint8), "scale": np.float64(2)}
    checkpoint = {"meta": {"epoch": 3, "dataset_meta": arrays}, "state_dict": {"weight": torch.ones(2)}}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    assert b"numpy._core.multiarray" in content
    path.write_bytes(content.replace(b"numpy._core.multiarray", numpy_module))


@pytest.mark.parametrize("numpy_module", [b"numpy.core.multiarray", b"numpy._core.multiarray"], ids=["1", "2"])
def test_the_arrays_in_an_openmmlab_checkpoint_do_not_hinder(tmp_path: Path, numpy_module: bytes) -> None:
    save_as_openmmlab(tmp_path / "file", numpy_module)
    assert load_state_dict(WeightsFile(tmp_path / "file", ""))["weight"].tolist() == [1, 1]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_the_curves_in_an_mmengine_checkpoint_do_not_hinder(tmp_path: Path) -> None:
    from mmengine.logging.history_buffer import HistoryBuffer

    curves = {"loss": HistoryBuffer([1.0, 0.5], [1, 1])}
    torch.save({"message_hub": curves, "state_dict": {"weight": torch.ones(2)}}, tmp_path / "file")
    assert list(load_state_dict(WeightsFile(tmp_path / "file", ""))) == ["weight"]


class ModelCheckpoint:
    """Named as the callback of PyTorch Lightning is."""


def test_the_callbacks_in_a_lightning_checkpoint_do_not_hinder(tmp_path: Path) -> None:
    checkpoint = {"callbacks": {ModelCheckpoint: {"monitor": "val/loss"}}, "state_dict": {"weight": torch.ones(2)}}
    path = tmp_path / "model.ckpt"
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)
    here, theirs = ModelCheckpoint.__module__.encode(), b"pytorch_lightning.callbacks.model_checkpoint"
    assert here in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(here, theirs))
    assert load_state_dict(WeightsFile(path, ""))["weight"].tolist() == [1, 1]


def test_reading_a_file_leaves_torchs_list_of_safe_globals_as_it_was(tmp_path: Path) -> None:
    before = set(torch.serialization.get_safe_globals())
    torch.save({"weight": torch.ones(2)}, tmp_path / "file")
    load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert set(torch.serialization.get_safe_globals()) == before


class Command:
    """What pickle would run on loading, were it allowed to."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


def test_a_file_that_would_run_a_command_runs_nothing(tmp_path: Path) -> None:
    torch.save({"weight": Command(tmp_path / "made")}, tmp_path / "file")
    with pytest.raises(WeightsError, match=r"got one that names posix\.mkdir; save the state_dict alone"):
        load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert not (tmp_path / "made").exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    torch.save(torch.nn.Linear(1, 1), tmp_path / "file")
    with pytest.raises(WeightsError) as caught:
        load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert str(caught.value) == (
        f"{tmp_path / 'file'} must be a checkpoint that torch reads with weights_only, got one that names"
        " torch.nn.modules.linear.Linear; save the state_dict alone, with torch.save"
    )


def test_a_list_of_tensors_is_refused(tmp_path: Path) -> None:
    torch.save([torch.ones(1)], tmp_path / "file")
    with pytest.raises(WeightsError, match="must hold tensors by name, got list; save the state_dict alone"):
        load_state_dict(WeightsFile(tmp_path / "file", ""))


@pytest.mark.parametrize("content", [b"", b"hello\n", b"<html></html>", b"PK\x03\x04" + b"0" * 100, bytes(1000)])
def test_what_is_no_checkpoint_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(WeightsError, match="must be a checkpoint that torch reads with weights_only, got") as caught:
        load_state_dict(WeightsFile(tmp_path / "file", ""))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))


def test_safetensors_under_another_name_are_read_by_their_content(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"module.weight": torch.ones(2)}, tmp_path / "file.pth")
    assert load_state_dict(WeightsFile(tmp_path / "file.pth", ""))["weight"].tolist() == [1, 1]


@pytest.mark.parametrize("length", [9, 40])
def test_safetensors_that_were_cut_off_are_said_in_one_line(length: int, tmp_path: Path) -> None:
    from safetensors.torch import save

    (tmp_path / "file.safetensors").write_bytes(save({"weight": torch.ones(200)})[:length])
    with pytest.raises(WeightsError, match=r"file\.safetensors must be a whole safetensors file, got .*; copy or"):
        load_state_dict(WeightsFile(tmp_path / "file.safetensors", ""))
