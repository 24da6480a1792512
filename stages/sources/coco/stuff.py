"""COCO-Stuff: the COCO 2017 photographs with a category for every pixel, in the layout of `stuffthingmaps`.

    root/annotations, root/<split>           as COCO 2017
    root/stuffthingmaps/<split>/<id>.png     one 8-bit channel: category id - 1; 255 is unlabelled
    root/stuffthingmaps/labels.txt           `<category id>: <name>` lines

Source of the layout: the COCO-Stuff repository (nightrome/cocostuff), 164 K images, 171 categories with gaps up to 182.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

import pyarrow as pa

from stages.errors import SourceError
from stages.records import IndexRow
from stages.settings import Mark, Settings
from stages.sources.coco.source import list_coco
from stages.sources.index.schema import to_batches

MAPS = "stuffthingmaps"


class CocoStuffSource(Settings):
    """The COCO 2017 photographs with their label maps."""

    kind: Literal["coco_stuff"] = "coco_stuff"
    root: Annotated[str, Mark.PLACE]
    """The directory that holds annotations/, the splits and stuffthingmaps/."""
    split: str = "train2017"
    """train2017 or val2017."""
    keypoints: bool = True
    """Read the annotated persons as well; false if person_keypoints_<split>.json is not there."""

    @property
    def base_uri(self) -> str:
        return self.root

    @property
    def label_offset(self) -> int:
        return 1

    @property
    def labels(self) -> Mapping[int, str]:
        return read_labels(Path(self.root) / MAPS / "labels.txt")

    def batches(self) -> Iterator[pa.RecordBatch]:
        maps = Path(self.root) / MAPS / self.split
        if not maps.is_dir():
            raise SourceError(
                f"{maps} must be a directory of label maps, got none; `condset fetch coco_stuff --split {self.split}"
                f" --out {self.root}` brings them"
            )
        return to_batches(self._with_labels(row) for row in list_coco(self.root, self.split, self.keypoints))

    def _with_labels(self, row: IndexRow) -> IndexRow:
        return replace(row, label_uri=f"{MAPS}/{self.split}/{Path(row.image_uri).stem}.png")


def read_labels(path: Path) -> dict[int, str]:
    """Read labels.txt: category id to name, 0 is "unlabeled". SourceError if a line is none of `<id>: <name>`."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise SourceError(
            f"{path} must list the categories, got no file; `condset fetch coco_stuff` writes it"
        ) from None
    labels = {}
    for line in filter(None, map(str.strip, lines)):
        match = re.fullmatch(r"(\d{1,3}): (.+)", line)
        if match is None:
            raise SourceError(f"{path} lines must be `<category id>: <name>`, got {line!r}; take COCO-Stuff's own file")
        labels[int(match[1])] = match[2]
    return labels
