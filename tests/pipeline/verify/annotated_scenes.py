"""A small collection on disk in COCO-Stuff's layout, drawn by the product: photographs, captions, labels, persons."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config import PrepareConfig
from pipeline.dataset.storage import Directory
from pipeline.layer import prepare_layer
from pipeline.run import prepare
from stages.settings import changed
from stages.sources.synthetic.scenes import LABELS, describe_scene, draw_scene
from tests.offline import offline
from tests.pipeline.conftest import Make

WIDTH, HEIGHT = 96, 80
SCENES = 16
PER_SHARD = 5
WITHOUT_CAPTION = (3, 15)
"""The second of them is alone in its shard, which so has no tar."""
WITHOUT_FILE = (8,)

WITHOUT_WEIGHTS: tuple[dict[str, object], ...] = (
    {"kind": "color"},
    {"kind": "segmentation"},
    {"kind": "canny"},
    {"kind": "keypose", "from": "annotations"},
)
"""The annotators that run no network."""


def write_scenes(root: Path) -> None:
    """Write the collection below `root`."""
    images, captions, persons = [], [], []
    for folder in ("annotations", "val2017", "stuffthingmaps/val2017"):
        (root / folder).mkdir(parents=True)
    for number in range(SCENES):
        scene = draw_scene(0, number, WIDTH, HEIGHT)
        if number not in WITHOUT_FILE:
            Image.fromarray(scene.image_hwc).save(root / f"val2017/{number}.png")
        Image.fromarray(scene.labels_hw - np.uint8(1)).save(root / f"stuffthingmaps/val2017/{number}.png")
        described = describe_scene(0, number, WIDTH, HEIGHT)
        images.append({"id": number, "file_name": f"{number}.png", "width": WIDTH, "height": HEIGHT})
        if number not in WITHOUT_CAPTION:
            captions += [{"id": 0, "image_id": number, "caption": caption} for caption in described.captions]
        persons += [
            {"id": 0, "image_id": number, "keypoints": person.ravel().tolist(), "iscrowd": 0}
            for person in described.keypoints
        ]
    for name, entries in (("captions", captions), ("person_keypoints", persons)):
        numbered = [entry | {"id": position} for position, entry in enumerate(entries)]
        content = {"images": images, "annotations": numbered}
        (root / f"annotations/{name}_val2017.json").write_text(json.dumps(content), encoding="utf-8")
    labels = "".join(f"{number}: {name}\n" for number, name in LABELS.items())
    (root / "stuffthingmaps/labels.txt").write_text(labels, encoding="utf-8")


def scenes_config(make_config: Make, root: Path) -> PrepareConfig:
    """The configuration of a data set of the collection, with every annotator that needs no weights."""
    return make_config(
        source={"kind": "coco_stuff", "root": str(root), "split": "val2017"},
        annotators=WITHOUT_WEIGHTS,
        samples_per_shard=PER_SHARD,
        max_rejected_fraction=0.5,
    )


def make_layered(make_config: Make, root: Path) -> Path:
    """Make a data set of the collection below `root`, with its colors in a layer; returns its directory."""
    write_scenes(root / "scenes")
    config = scenes_config(make_config, root / "scenes")
    data = Directory(str(root / "data"))
    in_layer = [each for each in config.annotators if each.kind == "color"]
    in_data_set = [each for each in config.annotators if each.kind != "color"]
    prepare(changed(config, annotators=in_data_set), data, offline())
    prepare_layer(changed(config, annotators=in_layer), data, offline())
    return root / "data"
