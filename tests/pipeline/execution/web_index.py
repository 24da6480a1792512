"""Data sets of images on a local web server: the index is written beforehand, and `prepare` trusts it."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.dataset.listing import write_index
from pipeline.dataset.storage import Directory
from stages.records import IndexRow
from stages.sources.index.schema import NO_KEYPOINTS
from tests.misbehaving_server import MisbehavingServer
from tests.pipeline.dataset.test_index import ListedSource


def write_web_index(out: Path, server: MisbehavingServer, ways: Sequence[str]) -> None:
    """List one URL for each way."""
    out.mkdir()
    rows = [web_row(number, server.url(way, number)) for number, way in enumerate(ways)]
    write_index(Directory(str(out)), ListedSource(rows), 0)


def web_row(number: int, url: str) -> IndexRow:
    return IndexRow(f"{number:06}", url, (f"caption {number}",), url, "", 0, 0, NO_KEYPOINTS, "", {}, None)


def fetch_table(**changes: object) -> dict[str, object]:
    """A [fetch] table for a server on this machine, without long waits."""
    table: dict[str, object] = {
        "read_seconds": 5,
        "total_seconds": 10,
        "retries": 1,
        "first_pause_seconds": 0.01,
        "longest_pause_seconds": 2,
        "per_host": 32,
        "allow_private_hosts": ["127.0.0.1"],
    }
    return table | changes


def jpeg(number: int) -> bytes:
    """A photograph of noise."""
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(number).integers(0, 256, (70, 90, 3), np.uint8)).save(file, "JPEG")
    return file.getvalue()
