"""Invariant 1: many conditions from one decode, and each has the bytes it would have alone."""

from pathlib import Path

import pytest
import torch

from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.ledger import records
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.run import prepare
from stages.annotators.keypose.annotator import POSE_MODELS
from stages.reference.dpt_layers import published_network
from stages.reference.mmpose_networks import build_estimator
from tests.offline import offline

CONDITIONS = ("sketch", "depth", "keypose", "color", "segmentation", "canny")


@pytest.fixture(scope="module")
def own_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Random weights of MiDaS and of RTMO-s; pytest would keep their half gigabyte for three runs."""
    directory = tmp_path_factory.mktemp("weights")
    generator = torch.Generator().manual_seed(0)
    shapes = {name: meta.shape for name, meta in published_network().state_dict().items()}
    depth = {name: torch.empty(shape).normal_(0, 0.02, generator=generator) for name, shape in shapes.items()}
    torch.save(depth, directory / "depth.pt")
    torch.manual_seed(0)
    torch.save(build_estimator(POSE_MODELS["rtmo-s"].config).network.state_dict(), directory / "keypose.pth")
    return {"depth": str(directory / "depth.pt"), "keypose": str(directory / "keypose.pth")}


def run(
    shared: Path, own_files: dict[str, str], conditions: tuple[str, ...], out: Path
) -> dict[tuple[str, str], bytes]:
    """Make the three photographs that have label maps; returns (key, extension) to bytes."""
    files = {"sketch": str(shared / "weights/pidinet/table5_pidinet.pth"), **own_files}
    annotators = [{"kind": each} | ({"weights": files[each]} if each in files else {}) for each in conditions]
    for annotator in annotators:
        if annotator["kind"] == "keypose":
            annotator["model"] = "rtmo-s"
    tables = {
        "name": "six",
        "samples_per_shard": 3,
        "limit": 3,
        "source": {"kind": "coco_stuff", "root": str(shared / "data/coco17"), "split": "val2017"},
        "image": {"size_pixels": 128},
        "annotators": annotators,
        "execution": {"device": "cpu", "threads_per_worker": 1},
    }
    config = check_config(tables, "test", PrepareConfig)
    prepare(config, Directory(str(out)), offline())
    home = Directory(str(out))
    return {
        (entry.key, extension): content
        for record in records(home)
        for entry in record.samples
        for extension, content in read_sample(home, record, entry).items()
    }


@pytest.mark.slow
@pytest.mark.weights
def test_six_conditions_in_one_pass_have_the_bytes_of_six_passes(
    shared: Path, own_files: dict[str, str], tmp_path: Path
) -> None:
    together = run(shared, own_files, CONDITIONS, tmp_path / "together")
    assert {key for key, _ in together} == {"000000000785", "000000001268", "000000001993"}
    apart: dict[tuple[str, str], bytes] = {}
    for condition in CONDITIONS:
        apart |= run(shared, own_files, (condition,), tmp_path / condition)
    assert together == apart
    assert len(together) == 3 * (3 + 7)  # image, json, txt; six pictures and the keypoints
