"""Tars as img2dataset writes them, made in the test."""

import io
import json
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
from PIL import Image

from stages.records import IndexRow
from stages.sources.index.schema import from_table
from stages.sources.webdataset.source import WebDatasetSource

Files: TypeAlias = list[tuple[str, bytes]]


def rows(source: WebDatasetSource) -> list[IndexRow]:
    return from_table(pa.Table.from_batches(source.batches()))


def picture(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (70, 70), (number % 256, number // 256, 9)).save(file, "png")
    return file.getvalue()


def sample(number: int, **columns: object) -> Files:
    """Three files as img2dataset writes them."""
    key = f"{number:09d}"
    fields: dict[str, object] = {
        "caption": f"photograph {number}",
        "url": f"http://host/{number}.jpg",
        "key": key,
        "status": "success",
        "error_message": None,
        "width": 70,
        "height": 70,
        "original_width": 700,
        "original_height": 700,
        "exif": "{}",
        "similarity": 0.3 + number / 1000,
        "punsafe": None if number == 0 else 0.5,
        "NSFW": "UNLIKELY",
        "LICENSE": "?",
    }
    caption = f"photograph {number}".encode()
    return [
        (f"{key}.jpg", picture(number)),
        (f"{key}.txt", caption),
        (f"{key}.json", json.dumps(fields | columns).encode()),
    ]


def write_tar(path: Path, files: Sequence[tuple[str, bytes]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, content in files:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def write_one(tmp_path: Path, files: Sequence[tuple[str, bytes]]) -> WebDatasetSource:
    write_tar(tmp_path / "0.tar", files)
    return WebDatasetSource(root=str(tmp_path))


def shuffled(files: Files, seed: int) -> Files:
    random.Random(seed).shuffle(files)
    return files


def only(listed: list[IndexRow]) -> IndexRow:
    (row,) = listed
    return row


def reason(row: IndexRow) -> tuple[str, str]:
    assert row.rejection is not None
    assert row.rejection.key == row.key
    return row.rejection.reason, row.rejection.detail
