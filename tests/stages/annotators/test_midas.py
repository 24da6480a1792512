"""The depth network's weights: which files it takes, and what building it does not do."""

import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stages.annotators.midas import load_depth_network, published_network
from stages.errors import WeightsError
from stages.weights import WeightsFile


def light_tensors(**changed: Tensor) -> dict[str, Tensor]:
    """Tensors of the published names and shapes that take no room: each repeats one number."""
    shapes = {name: meta.shape for name, meta in published_network().state_dict().items()}
    return {name: torch.ones(1).expand(shape) for name, shape in shapes.items()} | changed


def saved(content: Mapping[str, object], directory: Path) -> WeightsFile:
    path = directory / "checkpoint.pt"
    torch.save(content, path)
    return WeightsFile(path, "")


def test_a_training_checkpoint_is_unwrapped_as_midas_does(tmp_path: Path) -> None:
    file = saved({"optimizer": {"state": {}}, "model": light_tensors()}, tmp_path)
    network = load_depth_network(file, "cpu", "float32")
    assert network.class_token.shape == (1, 1, 768)
    assert (network.class_token == 1).all()


def test_weights_of_another_network_are_refused_by_their_names(tmp_path: Path) -> None:
    file = saved({"conv1.weight": torch.zeros(1), "conv2.weight": torch.zeros(1), "fc.bias": torch.zeros(1)}, tmp_path)
    with pytest.raises(WeightsError) as caught:
        load_depth_network(file, "cpu", "float32")
    assert str(caught.value) == (
        f"{file.path} must hold the 368 tensors of MiDaS dpt_hybrid, got 368 missing (pretrained.model.cls_token,"
        " pretrained.model.pos_embed, ...) and 3 unknown (conv1.weight, conv2.weight, ...);"
        " name a dpt_hybrid checkpoint as weights of depth, or leave weights out"
    )


def test_a_tensor_of_another_shape_is_refused_with_both_shapes(tmp_path: Path) -> None:
    changed = {"pretrained.model.pos_embed": torch.zeros(1, 197, 768)}
    with pytest.raises(WeightsError, match=r"got 1 of another shape \(\S+pos_embed \(1, 197, 768\) for \(1, 577, 768"):
        load_depth_network(saved(light_tensors(**changed), tmp_path), "cpu", "float32")


def test_building_the_network_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert sum(parameter.numel() for parameter in published_network().parameters()) == 123_146_985


@pytest.mark.slow
def test_building_the_network_prints_nothing() -> None:
    program = "from stages.annotators.midas import published_network; published_network()"
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
