"""Label maps beside images, kept in any way, give the segmentation that the scenes' own label maps give."""

import io
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import pytest

from pipeline.dataset.ledger import records
from pipeline.dataset.shards import read_sample
from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import verify
from stages.sources.synthetic.scenes import LABELS
from stages.sources.synthetic.source import render
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import Make, Run

COUNT = 4
SCENES = {"kind": "synthetic", "count": COUNT, "width_pixels": 96, "height_pixels": 80}
Keep: TypeAlias = Callable[[Path], Mapping[str, object]]


def files(label_suffix: str) -> dict[str, bytes]:
    found = {}
    for number in range(COUNT):
        found[f"{number}.png"] = render(f"scene:0/{number}/96x80")
        found[f"{number}.txt"] = f"scene {number}".encode()
        found[f"{number}{label_suffix}"] = render(f"scene-labels:0/{number}/96x80")
    return found


def keep_in_folders(root: Path) -> Mapping[str, object]:
    for folder in ("images", "labels"):
        (root / folder).mkdir()
    for name, content in files(".labels").items():
        (root / "images" / name).write_bytes(content)
    for path in (root / "images").glob("*.labels"):
        path.rename(root / "labels" / f"{path.stem}.png")
    return {"kind": "folder", "root": str(root / "images"), "labels_root": str(root / "labels")}


def keep_in_tars(root: Path) -> Mapping[str, object]:
    with tarfile.open(root / "0.tar", "w") as tar:
        for name, content in files(".seg.png").items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return {"kind": "webdataset", "root": str(root), "label_extension": "seg.png"}


def segmentations(out: Path) -> set[bytes]:
    home = Directory(str(out))
    return {
        read_sample(home, record, entry)["segmentation.png"] for record in records(home) for entry in record.samples
    }


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("keep", [keep_in_folders, keep_in_tars])
def test_the_segmentation_is_the_label_map_with_or_without_names(
    make_config: Make, run_inline: Run, tmp_path: Path, keep: Keep, names: bool
) -> None:
    source = dict(keep(tmp_path))
    if names:
        (tmp_path / "names.txt").write_text("".join(f"{number}: {name}\n" for number, name in LABELS.items()))
        source["labels_file"] = str(tmp_path / "names.txt")
    annotators = [{"kind": "segmentation"}]
    manifest = run_inline(make_config(source=source, annotators=annotators), tmp_path / "data")
    run_inline(make_config(source=SCENES, annotators=annotators), tmp_path / "scenes")
    made = segmentations(tmp_path / "data")
    assert (len(made), made) == (COUNT, segmentations(tmp_path / "scenes"))
    assert manifest.labels == ({str(number): name for number, name in LABELS.items()} if names else {})
    assert ("## Categories" in (tmp_path / "data/README.md").read_text()) is names
    assert verify(Directory(str(tmp_path / "data")), True, WeightsStore(allow_network=False), "cpu").problems == ()


def test_the_data_set_is_the_same_wherever_its_label_maps_lie(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    source = dict(keep_in_folders(tmp_path))
    config = make_config(source=source, annotators=[{"kind": "segmentation"}])
    there = run_inline(config, tmp_path / "data")
    (tmp_path / "labels").rename(tmp_path / "moved")
    moved = make_config(source=source | {"labels_root": str(tmp_path / "moved")}, annotators=[{"kind": "segmentation"}])
    assert run_inline(moved, tmp_path / "again").fingerprint == there.fingerprint
