"""COCO-Stuff: the COCO 2017 photographs with a category for every pixel, in the layout of `stuffthingmaps`.

    root/annotations, root/<split>           as COCO 2017
    root/stuffthingmaps/<split>/<id>.png     one 8-bit channel: category id - 1; 255 is unlabelled
    root/stuffthingmaps/labels.txt           `<category id>: <name>` lines

Source of the layout: the COCO-Stuff repository (nightrome/cocostuff), 164 K images, 171 categories with gaps up to 182.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import pyarrow as pa

from stages.errors import SourceError
from stages.records import IndexRow, Reason, Rejection
from stages.settings import Mark, Settings
from stages.sources.coco.source import list_coco, missing_persons
from stages.sources.index.schema import to_batches
from stages.sources.label_names import read_label_names

MAPS = "stuffthingmaps"


class CocoStuffSource(Settings):
    """The COCO 2017 photographs with their label maps."""

    kind: Literal["coco_stuff"] = "coco_stuff"
    root: Annotated[str, Mark.PLACE]
    """The directory that holds annotations/, the splits and stuffthingmaps/."""
    split: str = "train2017"
    """train2017 or val2017."""
    keypoints: bool = True
    """Read the annotated persons as well, if person_keypoints_<split>.json is there."""

    @property
    def base_uri(self) -> str:
        return self.root

    @property
    def label_base_uri(self) -> str:
        return self.base_uri

    @property
    def label_offset(self) -> int:
        return 1

    @property
    def lacks_keypoints(self) -> str:
        return missing_persons(self.root, self.split, self.keypoints)

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
        return to_batches(self._rows())

    def _rows(self) -> Iterator[IndexRow]:
        """The map lies where the image lies: that of val2017/sub/1.jpg is stuffthingmaps/val2017/sub/1.png."""
        rows = list(list_coco(self.root, self.split, self.keypoints))
        images: defaultdict[str, set[str]] = defaultdict(set)
        for row in rows:
            images[_label_uri(row)].add(row.image_uri)
        for row in rows:
            uri = _label_uri(row)
            if row.rejection is not None:
                yield row
            elif len(images[uri]) > 1:
                detail = f"{row.image_uri} must have a label map of its own, got {uri} for {len(images[uri])} images"
                yield replace(row, rejection=Rejection(row.key, Reason.BAD_LABELS, f"{detail}; rename the others"))
            else:
                yield replace(row, label_uri=uri)


def _label_uri(row: IndexRow) -> str:
    return f"{MAPS}/{PurePosixPath(row.image_uri).with_suffix('.png')}" if row.image_uri else ""


def read_labels(path: Path) -> dict[int, str]:
    """Read labels.txt: category id to name, 0 is "unlabeled". SourceError if a line is none of `<id>: <name>`."""
    return read_label_names(str(path), "`condset fetch coco_stuff` writes it")
