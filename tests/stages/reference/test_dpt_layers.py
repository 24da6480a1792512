"""The layers of dpt_hybrid are where controlnet_aux and timm had them, and finding them does nothing else."""

import socket
import subprocess
import sys

import pytest
import torch
from torch import nn

from stages.reference.dpt_layers import attention_layers, dpt_layers, published_network
from tests.stages.library_changes import taken_from

PARAMETERS = 123_146_985


def test_every_layer_has_the_kind_and_the_size_that_the_depth_network_counts_on() -> None:
    with taken_from("controlnet-aux", "timm", by="stages/reference/dpt_layers.py"):
        network = published_network()
        assert sum(parameter.numel() for parameter in network.parameters()) == PARAMETERS
        layers = dpt_layers(network)
        assert [len(each) for each in (layers.stages, layers.blocks, layers.readouts, layers.fusions)] == [3, 12, 2, 4]
        assert layers.trained_positions.shape == (1, 1 + 24 * 24, 768)
        assert layers.class_token.shape == (1, 1, 768)
        assert {type(layer) for layer in (layers.wide, layers.narrow, layers.to_depth)} == {nn.Conv2d}
        assert {block.attention.heads for block in layers.blocks} == {12}
        assert {(readout.project.in_features, readout.project.out_features) for readout in layers.readouts} == {
            (1536, 768)
        }
        kinds = {type(layer).__name__ for stage in layers.stages for layer in stage.modules()}
        assert "Conv2d" in kinds
        assert not [name for name in kinds if name.startswith("StdConv")]


def test_attention_is_made_of_the_layers_that_are_taken() -> None:
    from timm.layers.attention import Attention

    with taken_from("timm", by="stages/reference/dpt_layers.py"):
        published = Attention(64, num_heads=4, qkv_bias=True).eval()
        layers, tokens_btd = attention_layers(published), torch.randn(2, 5, 64)
        qkv = layers.qkv(tokens_btd).unflatten(-1, (3, layers.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(*qkv)
        torch.testing.assert_close(layers.proj(mixed.transpose(1, 2).flatten(2)), published(tokens_btd))


def test_building_the_network_opens_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    published_network()


@pytest.mark.slow
def test_building_the_network_prints_nothing() -> None:
    program = "from stages.reference.dpt_layers import published_network; published_network()"
    done = subprocess.run([sys.executable, "-W", "always", "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
