"""mmpose is imported without compiled mmcv, silently, and with the real packages wherever they are."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from stages.errors import WeightsError
from stages.reference.mmpose_networks import (
    Estimator,
    batch_norms,
    build_estimator,
    config_file,
    configs_directory,
    load_estimator_weights,
    placeholders,
)
from stages.weights.store import WeightsFile
from tests.stages.library_changes import taken_from

RTMO = "rtmo/body7/rtmo-t_8xb32-600e_body7-416x416"
RTMPOSE = "rtmpose/body8/rtmpose-t_8xb256-420e_body8-256x192"

IN_A_FRESH_PROCESS = """
import socket

def refuse(*arguments):
    raise AssertionError(f"no connection must be opened, got {arguments}")

socket.socket.connect = refuse
import numpy, sys
from stages.annotators.keypose.network import PoseNetwork
from stages.reference.mmpose_networks import build_estimator
for name in sys.argv[1:]:
    network = PoseNetwork(build_estimator(name), "cpu")
    width, height = network.input_size
    network([numpy.zeros((height, width, 3), numpy.uint8)])
assert not {"mmdet", "mmdet.utils", "mmcv.ops", "xtcocotools", "xtcocotools.coco"} & set(sys.modules)
"""


@pytest.fixture(scope="module")
def rtmo() -> Estimator:
    return build_estimator(RTMO)


@pytest.fixture(scope="module")
def rtmpose() -> Estimator:
    return build_estimator(RTMPOSE)


@pytest.fixture
def _stand_in_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Put importable packages mmdet and xtcocotools on the path, and a module mmcv.ops."""
    for name in ("mmdet/__init__", "mmdet/utils", "xtcocotools/__init__", "xtcocotools/coco"):
        file = tmp_path / f"{name}.py"
        file.parent.mkdir(exist_ok=True)
        file.write_text("ConfigType = reduce_mean = COCO = 'the real one'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    ops = ModuleType("mmcv.ops")
    ops.DeformConv2d = "the real one"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mmcv.ops", ops)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mmdet", "xtcocotools")]:
        del sys.modules[name]


def test_the_configurations_are_where_mmpose_had_them() -> None:
    with taken_from("mmpose", by="stages/reference/mmpose_networks.py"):
        assert config_file(RTMO).is_file()
        assert config_file(RTMPOSE).is_file()
        assert next(configs_directory().rglob("*.yml")).is_file()


@pytest.mark.parametrize("config_name", [RTMO, RTMPOSE])
def test_every_layer_that_keeps_statistics_is_a_batch_norm(config_name: str) -> None:
    network = build_estimator(config_name).network
    with_statistics = {id(layer) for layer in network.modules() if hasattr(layer, "running_mean")}
    assert {id(layer) for layer in batch_norms(network)} == with_statistics


@pytest.mark.slow
def test_nothing_is_printed_or_downloaded_by_mmpose_in_a_fresh_process() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_FRESH_PROCESS, RTMO, RTMPOSE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_building_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    build_estimator(RTMPOSE)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_stand_in_packages")
def test_real_packages_are_used_where_they_are_installed() -> None:
    with placeholders():
        for module, attribute in (
            ("mmcv.ops", "DeformConv2d"),
            ("mmdet.utils", "reduce_mean"),
            ("xtcocotools.coco", "COCO"),
        ):
            assert getattr(sys.modules[module], attribute) == "the real one"
    assert "mmdet.utils" in sys.modules


def test_placeholders_stand_only_within_their_context() -> None:
    before = set(sys.modules)
    with placeholders():
        assert "mmdet.utils" in sys.modules
        assert sys.modules["xtcocotools.mask"].__name__ == "pycocotools.mask"
    assert not {"mmdet", "mmdet.utils", "mmcv.ops", "xtcocotools.mask"} & (set(sys.modules) - before)


def test_a_placeholder_class_says_what_is_missing_when_it_is_used() -> None:
    with placeholders():
        convolution: Any = sys.modules["mmcv.ops"].DeformConv2d
    with pytest.raises(ImportError, match="needs the compiled mmcv or mmdet; install the package"):
        convolution(3, 3)


def test_no_part_of_a_network_is_told_to_download_weights(rtmpose: Estimator) -> None:
    initialisers = [getattr(part, "init_cfg", None) for part in rtmpose.network.modules()]
    assert not [settings for settings in initialisers if isinstance(settings, dict) and "checkpoint" in settings]


def test_the_backbone_is_mmposes_own_not_mmdets(rtmpose: Estimator) -> None:
    assert type(rtmpose.network.backbone).__module__ == "mmpose.models.backbones.cspnext"


def test_the_config_says_what_the_input_is(rtmo: Estimator, rtmpose: Estimator) -> None:
    assert (rtmo.input_width, rtmo.input_height, rtmo.takes_rgb, rtmo.mean) == (416, 416, False, (0, 0, 0))
    assert (rtmpose.input_width, rtmpose.input_height, rtmpose.takes_rgb) == (192, 256, True)
    assert rtmpose.std == (58.395, 57.12, 57.375)


def saved(state: dict[str, torch.Tensor], directory: Path) -> WeightsFile:
    file = directory / "own.pth"
    torch.save({"meta": {"epoch": 420}, "state_dict": state}, file)
    return WeightsFile(file, "")


def test_weights_of_mmpose_0_are_read_too(rtmpose: Estimator, tmp_path: Path) -> None:
    state = {name: torch.rand_like(value.float()) for name, value in rtmpose.network.state_dict().items()}
    renamed = {name.replace("head.", "keypoint_head."): value for name, value in state.items()}
    load_estimator_weights(rtmpose, saved(renamed, tmp_path))
    assert torch.equal(rtmpose.network.head.cls_x.weight, state["head.cls_x.weight"])


def test_a_constant_that_mmpose_computes_may_be_missing(rtmo: Estimator, tmp_path: Path) -> None:
    state = {name: value for name, value in rtmo.network.state_dict().items() if name != "head.dcc.x_bins"}
    load_estimator_weights(rtmo, saved(state, tmp_path))


def test_a_missing_tensor_is_an_error_that_names_it(rtmo: Estimator, tmp_path: Path) -> None:
    state = {name: value for name, value in rtmo.network.state_dict().items() if "out_cls.0" not in name}
    with pytest.raises(WeightsError, match=r"own\.pth must hold all \d+ .* without 2 of them \(head\.head_module\.out"):
        load_estimator_weights(rtmo, saved(state, tmp_path))


def test_weights_of_another_size_are_refused(rtmo: Estimator, tmp_path: Path) -> None:
    state = dict(rtmo.network.state_dict()) | {"head.dcc.pos_enc": torch.zeros(5, 5)}
    with pytest.raises(WeightsError, match=r"own\.pth must be those of this network, got .*head\.dcc\.pos_enc"):
        load_estimator_weights(rtmo, saved(state, tmp_path))
