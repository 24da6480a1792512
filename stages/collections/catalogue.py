"""Every collection that condset fetches: its archives, where they are published, their sums and their licences.

    COLLECTIONS[name].archives ──> fetch.py downloads `url`, checks it against `sha256`, unpacks `folders`

The table is data: nothing here opens or downloads anything.

Where the numbers come from. Sizes and sha256 of the three archives of COCO 2017 agree in ten public projects that pin
them, and some of these give the MD5 of the same files, which agrees in twenty. Of COCO-Stuff's label maps no sum is
published: their count tells whether they are all there, and the CRC of each whether it is whole. http, because the
certificate of images.cocodataset.org is one for another name; the sums make up for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from stages.sources.coco.stuff_labels import LABELS_TEXT


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of an archive, and where its files belong."""

    inside: str
    """Its name in the archive."""
    below_root: str
    """Relative to the collection's directory."""
    files: int | None
    """How many it holds as published; None for an archive of somebody's own."""


@dataclass(frozen=True, slots=True)
class Archive:
    """One published zip."""

    name: str
    url: str
    sha256: str
    """All 64 digits, or "" if none is published."""
    size_bytes: int
    is_exact: bool
    """False if the size is about right."""
    unpacked_times: float
    """Room that its files take on the disk, in blocks of 4 KiB, as a multiple of its size; about."""
    folders: tuple[Folder, ...]
    split: str = ""
    """The split that it belongs to; "" if every one needs it."""


@dataclass(frozen=True, slots=True)
class Collection:
    """What `condset fetch NAME` brings."""

    name: str
    title: str
    licence: str
    archives: tuple[Archive, ...]
    """In the order in which they are fetched: small ones first, so that what is wrong shows early."""
    config: str
    """The configuration that makes a data set of it."""
    data_set: str
    """The name of that data set."""
    texts: tuple[tuple[str, str], ...] = ()
    """Small files that belong to its layout and are in none of the archives: name below the root, content."""
    splits: tuple[str, ...] = ("train2017", "val2017")

    def archives_of(self, splits: Sequence[str]) -> tuple[Archive, ...]:
        """Return the archives that these splits need."""
        return tuple(archive for archive in self.archives if archive.split in ("", *splits))


_COCO = "http://images.cocodataset.org"
_PHOTOGRAPHS = "photographs: each its own, told in the annotations"

_ANNOTATIONS = Archive(
    name="annotations_trainval2017.zip",
    url=f"{_COCO}/annotations/annotations_trainval2017.zip",
    sha256="113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268",
    size_bytes=252_907_541,
    is_exact=True,
    unpacked_times=3.4,
    # Captions, instances and persons with keypoints, of both splits.
    folders=(Folder("annotations", "annotations", 6),),
)
_VAL_IMAGES = Archive(
    name="val2017.zip",
    url=f"{_COCO}/zips/val2017.zip",
    sha256="4f7e2ccb2866ec5041993c9cf2a952bbed69647b115d0f74da7ce8f4bef82f05",
    size_bytes=815_585_330,
    is_exact=True,
    unpacked_times=1.02,
    folders=(Folder("val2017", "val2017", 5_000),),
    split="val2017",
)
_TRAIN_IMAGES = Archive(
    name="train2017.zip",
    url=f"{_COCO}/zips/train2017.zip",
    sha256="69a8bb58ea5f8f99d24875f21416de2e9ded3178e903f1f7603e283b9e06d929",
    size_bytes=19_336_861_798,
    is_exact=True,
    unpacked_times=1.02,
    folders=(Folder("train2017", "train2017", 118_287),),
    split="train2017",
)
_LABEL_MAPS = Archive(
    name="stuffthingmaps_trainval2017.zip",
    url="http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/stuffthingmaps_trainval2017.zip",
    sha256="",
    size_bytes=659_000_000,
    is_exact=False,
    # Five kilobytes a map, on average, in blocks of four.
    unpacked_times=1.6,
    folders=(
        Folder("train2017", "stuffthingmaps/train2017", 118_287),
        Folder("val2017", "stuffthingmaps/val2017", 5_000),
    ),
)

COLLECTIONS: dict[str, Collection] = {
    collection.name: collection
    for collection in (
        Collection(
            name="coco17",
            title="COCO 2017: photographs, five captions each, persons with keypoints",
            licence=f"annotations: CC-BY-4.0; {_PHOTOGRAPHS}",
            archives=(_ANNOTATIONS, _VAL_IMAGES, _TRAIN_IMAGES),
            config="configs/prepare/sketch_coco.toml",
            data_set="coco17-sketch",
        ),
        Collection(
            name="coco_stuff",
            title="COCO-Stuff: COCO 2017 and a label map for each photograph",
            licence=f"annotations and label maps: CC-BY-4.0; {_PHOTOGRAPHS}",
            archives=(_ANNOTATIONS, _LABEL_MAPS, _VAL_IMAGES, _TRAIN_IMAGES),
            config="configs/prepare/segmentation_coco_stuff.toml",
            data_set="coco-stuff-segmentation",
            texts=(("stuffthingmaps/labels.txt", LABELS_TEXT),),
        ),
    )
}
