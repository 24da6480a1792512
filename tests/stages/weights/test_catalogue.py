"""The model table against its publishers' own metadata, as far as it is installed here, and the files that are here."""

import hashlib
import importlib.util
import re
from pathlib import Path, PurePosixPath

import pytest

from stages.reference.mmpose_networks import configs_directory
from stages.weights.catalogue import MODELS, HubFile, Model

MMPOSE_MODELS = [model for model in MODELS.values() if "openmmlab" in model.url]


def package(name: str) -> Path:
    """The folder of an installed package, without importing it."""
    found = importlib.util.find_spec(name)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent


def published_by_mmpose() -> set[str]:
    """Every weights URL in the metafiles that ship inside the mmpose wheel."""
    metafiles = configs_directory().rglob("*.yml")
    return {url for path in metafiles for url in re.findall(r"^ *Weights: (\S+)$", path.read_text(), re.M)}


def test_every_mmpose_address_is_in_mmposes_own_metafiles() -> None:
    assert {model.url for model in MMPOSE_MODELS} <= published_by_mmpose()
    assert len(MMPOSE_MODELS) == 5


@pytest.mark.parametrize("model", MMPOSE_MODELS, ids=lambda model: model.name)
def test_an_mmpose_hash_is_the_one_in_the_file_name(model: Model) -> None:
    assert model.sha256 == PurePosixPath(model.url).stem.split("-")[-1].split("_")[0]


def test_the_torchvision_address_hash_and_size_are_those_of_its_weights_enum() -> None:
    """Read from its source: importing torchvision's detectors takes seconds."""
    source = (package("torchvision") / "models" / "detection" / "faster_rcnn.py").read_text()
    enum = source.partition("class FasterRCNN_ResNet50_FPN_Weights(")[2].partition("\nclass ")[0]
    model = MODELS["faster_rcnn"]
    assert f'url="{model.url}"' in enum
    assert model.sha256.startswith(PurePosixPath(model.url).stem.rpartition("-")[2])
    assert model.size_bytes is not None
    assert f'"_file_size": {model.size_bytes / 2**20:.3f},' in enum


def test_the_inception_address_is_torch_fidelitys_and_its_hash_begins_as_its_file_name_says() -> None:
    """Read from its source: importing it takes seconds."""
    source = (package("torch_fidelity") / "feature_extractor_inceptionv3.py").read_text()
    model = MODELS["inception_v3_fid"]
    assert f'"{model.url}"' in source
    assert model.sha256.startswith(PurePosixPath(model.url).stem.rpartition("-")[2])


def test_the_midas_hash_begins_as_its_file_name_says() -> None:
    assert MODELS["dpt_hybrid"].sha256.startswith(PurePosixPath(MODELS["dpt_hybrid"].url).stem.rpartition("-")[2])


@pytest.mark.weights
def test_the_pidinet_hash_and_size_are_those_of_the_file(shared: Path) -> None:
    content = (shared / "weights" / MODELS["pidinet"].file).read_bytes()
    assert MODELS["pidinet"].sha256 == hashlib.sha256(content).hexdigest()
    assert MODELS["pidinet"].size_bytes == len(content)


def test_a_hub_file_has_an_address_for_people() -> None:
    assert MODELS["pidinet"].url == "https://huggingface.co/lllyasviel/Annotators/resolve/main/table5_pidinet.pth"


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_a_model_keeps_its_published_file_name_below_a_folder(model: Model) -> None:
    name = model.source.filename if isinstance(model.source, HubFile) else PurePosixPath(model.source).name
    assert PurePosixPath(model.file).name == name
    assert len(PurePosixPath(model.file).parts) == 2
    assert model.url.startswith("https://")


def test_no_two_models_share_a_file() -> None:
    assert len({model.file for model in MODELS.values()}) == len(MODELS)
