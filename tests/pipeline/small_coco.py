"""A collection in COCO's layout with everything that a report has to sum up: licences, rejections, languages."""

import json
from pathlib import Path

import numpy as np
from PIL import Image

LICENSES = [{"id": 1, "name": "By | and large", "url": "https://a"}, {"id": 2, "name": "No rights", "url": "https://b"}]

LICENSE_NAMES = ("By | and large (https://a)", "No rights (https://b)")

CAPTIONS = {
    1: ["a red square", "ein großes Quadrat"],
    2: ["雪の絵", "a picture of snow in the mountains"],
    3: ["one caption"],
    4: ["the file is missing"],
    5: [],
    6: ["the file is cut off"],
    7: ["the last one", "das letzte", "a very long caption " + "that goes on and on " * 12],
}
SIZES = {1: (90, 80), 2: (100, 70), 3: (64, 64), 4: (90, 80), 5: (90, 80), 6: (90, 80), 7: (200, 100)}
WRITTEN = ("000000000001", "000000000002", "000000000003", "000000000007")


def write_coco(root: Path) -> None:
    """Write images 1 to 7; 4, 5 and 6 cannot be used, and 7 is listed twice, under another licence the second time."""
    (root / "val2017").mkdir(parents=True)
    (root / "annotations").mkdir()
    rng = np.random.default_rng(0)
    images: list[dict[str, object]] = []
    captions: list[dict[str, object]] = []
    for number, (width, height) in SIZES.items():
        file = root / f"val2017/{number}.png"
        Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8)).save(file)
        image = {"id": number, "file_name": file.name, "width": width, "height": height}
        images.append(image | {"license": 1 + number % 2})
        captions += [{"id": len(captions), "image_id": number, "caption": text} for text in CAPTIONS[number]]
    images.append(images[-1] | {"license": 1})
    (root / "val2017/4.png").unlink()
    (root / "val2017/6.png").write_bytes((root / "val2017/6.png").read_bytes()[:1000])
    content = {"images": images, "annotations": captions, "licenses": LICENSES}
    (root / "annotations/captions_val2017.json").write_text(json.dumps(content))
