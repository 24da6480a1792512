"""Networks of transformers from one file."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stages.errors import WeightsError
from stages.weights.store import WeightsFile
from tests.train.fidelity.tiny_networks import tiny_maskformer, tiny_maskformer_config
from train.fidelity.networks.pretrained import pretrained


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tensor]:
    """A MaskFormer's parameters by the names that files have, which are no longer those that the network has."""
    directory = tmp_path_factory.mktemp("maskformer")
    tiny_maskformer().save_pretrained(directory)
    return load_file(directory / "model.safetensors")


def opened(path: Path) -> torch.nn.Module:
    from transformers import MaskFormerForInstanceSegmentation

    network: torch.nn.Module = pretrained(
        MaskFormerForInstanceSegmentation, tiny_maskformer_config(), WeightsFile(path, ""), "cpu"
    )
    return network


@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_every_parameter_comes_from_the_file(published: dict[str, Tensor], suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"model.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(published, path)
    network, expected = opened(path), tiny_maskformer().state_dict()
    assert network.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in network.state_dict().items())
    assert published.keys() != expected.keys()
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_file_that_lacks_parameters_is_refused_in_one_line(
    published: dict[str, Tensor], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({name: value for name, value in published.items() if not name.startswith("class_predictor")}, path)
    with pytest.raises(WeightsError) as refused:
        opened(path)
    assert str(refused.value) == (
        f"{path} must hold the parameters of MaskFormerForInstanceSegmentation, got none of class_predictor.bias and 1 "
        "others; use the published file"
    )
    assert "LOAD REPORT" not in "".join(capfd.readouterr())


def test_a_network_of_another_size_is_refused(published: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    torch.save(published | {"class_predictor.bias": torch.zeros(3)}, path)
    with pytest.raises(WeightsError) as refused:
        opened(path)
    assert str(refused.value) == (
        f"{path} must hold the parameters of MaskFormerForInstanceSegmentation, got some of other shapes; use the "
        "published file"
    )


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"not tensors")
    with pytest.raises(WeightsError) as refused:
        opened(path)
    assert str(refused.value).startswith(f"{path} must be readable as safetensors, got ")
    assert str(refused.value).endswith("; download it again")
