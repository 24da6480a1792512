"""The depth network's weights: which files it takes, and what building it does not do."""

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from timm.layers.attention import Attention
from torch import Tensor

from stages.annotators.depth.midas import Float32Attention, load_depth_network
from stages.errors import WeightsError
from stages.hardware.precision import ResolvedDtype
from stages.reference.dpt_layers import attention_layers, published_network
from stages.weights.store import WeightsFile


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


@pytest.mark.parametrize(("amd", "dtype"), [(True, "bfloat16"), (True, "float32"), (False, "bfloat16")])
def test_attention_is_replaced_where_it_is_slow(amd: bool, dtype: ResolvedDtype, tmp_path: Path) -> None:
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text(f"vendor_id\t: {'AuthenticAMD' if amd else 'GenuineIntel'}\n")
    network = load_depth_network(saved(light_tensors(), tmp_path), "cpu", dtype, cpu_info)
    replaced = [isinstance(block.get_submodule("attention"), Float32Attention) for block in network.blocks]
    assert replaced == [amd and dtype == "bfloat16"] * 12


def test_attention_in_float32_is_timms_and_in_bfloat16_as_near_to_it() -> None:
    torch.manual_seed(0)
    published = Attention(64, num_heads=4, qkv_bias=True).eval().requires_grad_(False)
    published.qkv.weight.mul_(8)  # tokens that attend to few others, as trained ones do
    ours, tokens_btd = Float32Attention(attention_layers(published)), torch.randn(2, 50, 64)
    exact = published(tokens_btd)
    torch.testing.assert_close(ours(tokens_btd), exact)
    with torch.autocast("cpu", torch.bfloat16):
        distances = [float((each(tokens_btd).float() - exact).pow(2).mean()) for each in (ours, published)]
    assert distances[0] == pytest.approx(distances[1], rel=0.1)  # the layers around it round, as in both
