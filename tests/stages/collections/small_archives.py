"""Archives of the same shape as the published ones, of a few files each, and what a fetch of them makes."""

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

from stages.collections.catalogue import COLLECTIONS, Archive
from stages.collections.fetch import FetchSummary, fetch
from stages.collections.mirror import from_mirror, with_sums
from stages.randomness import random_for
from tests.file_server import FileServer


def zipped(files: Mapping[str, bytes]) -> bytes:
    """A zip with an entry for each folder, as the published ones have."""
    content = io.BytesIO()
    with ZipFile(content, "w", ZIP_DEFLATED) as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files}):
            archive.writestr(f"{folder}/", b"")
        for name, body in files.items():
            archive.writestr(name, body)
    return content.getvalue()


def picture(name: str, size_bytes: int = 20_000) -> bytes:
    """Bytes that no compression makes smaller."""
    return random_for(0, "picture", name).bytes(size_bytes)


def pictures(folder: str, count: int, ending: str = "jpg") -> dict[str, bytes]:
    names = [f"{folder}/{number:012d}.{ending}" for number in range(count)]
    return {name: picture(name) for name in names}


def tree(root: Path) -> dict[str, bytes]:
    """Every file below a directory: relative name to bytes."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def written(path: Path) -> tuple[int, int]:
    """When, and as which file: another one was written after it if this differs."""
    return path.stat().st_ino, path.stat().st_mtime_ns


KINDS = ("captions", "instances", "person_keypoints")
FILES = {
    "annotations_trainval2017.zip": {
        f"annotations/{kind}_{split}.json": picture(kind + split)
        for kind in KINDS
        for split in ("train2017", "val2017")
    },
    "val2017.zip": pictures("val2017", 5),
    "train2017.zip": pictures("train2017", 7),
    "stuffthingmaps_trainval2017.zip": pictures("train2017", 7, "png") | pictures("val2017", 5, "png"),
}
"""What is in each archive."""

ARCHIVES = {name: zipped(files) for name, files in FILES.items()}
SUMS = {name: hashlib.sha256(body).hexdigest() for name, body in ARCHIVES.items()}

LAID_OUT = {
    name: body for archive in ("annotations_trainval2017.zip", "val2017.zip") for name, body in FILES[archive].items()
}
"""What coco17's split val2017 looks like below its root."""


def archives(
    server: FileServer, way: str = "", collection: str = "coco17", sums: Mapping[str, str] = SUMS
) -> list[Archive]:
    """The archives of the split val2017, small, as `server` serves them in this way."""
    chosen = COLLECTIONS[collection].archives_of(["val2017"])
    return [with_sums(from_mirror(archive, server.url(way)), sums) for archive in chosen]


def bring(chosen: list[Archive], root: Path, said: list[str] | None = None, keep: bool = False) -> FetchSummary:
    """Fetch archives of coco17."""
    heard = said if said is not None else []
    return fetch(COLLECTIONS["coco17"], chosen, root, keep, heard.append)


def laid_out(root: Path) -> dict[str, bytes]:
    """What lies below a root, without the record and what an error leaves of a lock."""
    return {name: body for name, body in tree(root).items() if name != "fetched.json" and not name.endswith(".lock")}


def own_sums(**bodies: bytes) -> dict[str, str]:
    """The sums of the small archives, some of them by other bodies: own_sums(val2017=BODY)."""
    return SUMS | {f"{name}.zip": hashlib.sha256(body).hexdigest() for name, body in bodies.items()}
