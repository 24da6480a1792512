"""An adapter on a hub: what export writes, with its card, and nothing else."""

from pathlib import Path

import pytest
from huggingface_hub import HfApi, ModelCard
from safetensors.torch import load

from stages.errors import CheckpointError, ConfigError
from tests.pipeline.publish.fake_hub import TOKEN, fake_hub
from tests.train.training_runs import run_alone, small_job
from train.exchange.publish import push_run
from train.exchange.read import read_adapter
from train.exchange.t2i_layout import Layout


@pytest.fixture(scope="module")
def run(color_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of a full adapter."""
    directory = tmp_path_factory.mktemp("run") / "color"
    run_alone(small_job(color_data, directory))
    return directory


@pytest.mark.parametrize(
    ("layout", "weights"), [("diffusers", "diffusion_pytorch_model.safetensors"), ("t2i", "color.safetensors")]
)
def test_the_repository_holds_the_exported_adapter_and_its_card(
    run: Path, layout: Layout, weights: str, tmp_path: Path
) -> None:
    with fake_hub() as hub:
        api = HfApi(endpoint=hub.url, token=TOKEN)
        assert push_run(run, layout, "me/color", False, api, lambda sentence: None) == f"{hub.url}/me/color"
        files = {name: content for name, content in hub.repositories["me/color"].items() if name != ".gitattributes"}
    assert weights in files
    assert set(files) - {weights, "config.json"} == {"README.md"}
    assert load(files[weights])
    assert vars(ModelCard(files["README.md"].decode()).data)["tags"]
    (tmp_path / weights).write_bytes(files[weights])
    if layout == "t2i":
        assert read_adapter(tmp_path / weights).in_channels == read_adapter(run).in_channels


def test_a_run_without_a_checkpoint_is_said_before_the_hub_is_asked(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(CheckpointError):
        push_run(tmp_path, "diffusers", "me/color", False, HfApi(endpoint="http://127.0.0.1:1"), lambda sentence: None)


def test_a_hub_that_refuses_is_said_in_one_line(run: Path) -> None:
    with fake_hub() as hub:
        api = HfApi(endpoint=hub.url, token=TOKEN)
        with pytest.raises(ConfigError, match=r"push to other/color must be accepted by .*HTTP 403"):
            push_run(run, "diffusers", "other/color", False, api, lambda sentence: None)
