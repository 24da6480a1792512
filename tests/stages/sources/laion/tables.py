"""Tables of random rows in the layouts that LAION is published in, with missing values and odd types."""

import math
import random
from collections.abc import Callable, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

Value = TypeVar("Value")

WORDS = ["cat", "Dog", "logo", "雪", "Ünïcode", "a", "painting", "of", "Logo!", "1985"]
SPACES = [" ", " ", " ", " ", "  ", "\t", "\n", " \u3000", "\x1f", "\u00a0"]


def often(rng: random.Random, usual: Callable[[], Value], *rare: Value) -> Value:
    """Mostly what `usual` makes, and one time in ten one of the others."""
    return rng.choice(rare) if rng.random() < 0.1 else usual()


def caption(rng: random.Random) -> str:
    words = [rng.choice(WORDS) + rng.choice(SPACES) for _ in range(rng.randint(1, 12))]
    return rng.choice(["", " ", "\n"]) + "".join(words)


def url(rng: random.Random) -> str:
    scheme = rng.choice(["http://", "https://", "HTTPS://"])
    return f"{scheme}example.org/{rng.randint(0, 9000)}/é.jpg"


def aesthetics(rng: random.Random, rows: int) -> pa.Table:
    """The columns and types of LAION-Aesthetics V2, and columns that are of no interest."""
    nan, inf = math.nan, math.inf
    columns: dict[str, tuple[pa.DataType, Callable[[], Any]]] = {
        "URL": (
            pa.string(),
            lambda: often(rng, lambda: url(rng), None, "", "ftp://x/y.jpg", "/etc/passwd", " http://x"),
        ),
        "TEXT": (pa.string(), lambda: often(rng, lambda: caption(rng), None, "", " \t ")),
        "WIDTH": (
            pa.float64(),
            lambda: often(rng, lambda: float(rng.randint(50, 2000)), None, nan, 0.0, -5.0, 3e9, 99.5),
        ),
        "HEIGHT": (pa.float64(), lambda: often(rng, lambda: float(rng.randint(50, 2000)), None, nan, inf)),
        "similarity": (pa.float64(), lambda: often(rng, lambda: rng.uniform(0.2, 0.5), None, nan, 853.0)),
        "punsafe": (pa.float32(), lambda: often(rng, lambda: rng.random(), None, nan, 0.5)),
        "pwatermark": (pa.float32(), lambda: often(rng, lambda: rng.random(), None, nan, -inf)),
        "AESTHETIC_SCORE": (pa.float32(), lambda: often(rng, lambda: rng.gauss(6, 1), None, nan, inf, 6.0)),
        "hash": (pa.int64(), lambda: often(rng, lambda: rng.randint(-6000, 6000), None, 0, -(2**63), 2**63 - 1)),
        "LICENSE": (pa.string(), lambda: often(rng, lambda: "?", None, "CC BY 4.0", "")),
        "seen": (pa.timestamp("us"), lambda: datetime(2021, 1, rng.randint(1, 28))),
        "__index_level_0__": (pa.int64(), lambda: rng.randint(0, 10**6)),
    }
    return build(columns, rows)


def img2dataset(rng: random.Random, rows: int) -> pa.Table:
    """What img2dataset writes, with dictionaries, integers and texts where floats are usual."""
    columns: dict[str, tuple[pa.DataType, Callable[[], Any]]] = {
        "url": (pa.large_string(), lambda: often(rng, lambda: url(rng), None)),
        "caption": (pa.dictionary(pa.int32(), pa.string()), lambda: often(rng, lambda: caption(rng), None)),
        "width": (pa.int32(), lambda: 512),
        "height": (pa.int32(), lambda: 512),
        "original_width": (pa.int64(), lambda: often(rng, lambda: rng.randint(50, 2000), None, 0, 2**31)),
        "original_height": (pa.uint16(), lambda: often(rng, lambda: rng.randint(50, 2000), None)),
        "similarity": (
            pa.string(),
            lambda: often(
                rng, lambda: f"{rng.uniform(0.2, 0.5):.4f}", None, "", "nan", "1_0", " +.4 ", "4e-1", "０.4", "x"
            ),
        ),
        "punsafe": (pa.decimal128(8, 4), lambda: often(rng, lambda: Decimal(rng.randint(0, 9999)) / 10000, None)),
        "pwatermark": (pa.float16(), lambda: often(rng, lambda: rng.random(), None, math.nan)),
        "aesthetic": (pa.int8(), lambda: often(rng, lambda: rng.randint(3, 9), None)),
        "hash": (pa.uint64(), lambda: often(rng, lambda: rng.randint(0, 6000), None, 2**63, 2**64 - 1)),
        "exif": (pa.struct([("a", pa.int32())]), lambda: {"a": 1}),
    }
    return build(columns, rows)


def oddities(rng: random.Random, rows: int) -> pa.Table:
    """Bytes that are no UTF-8, a column without any value, floats and texts as hashes."""
    broken = b"caf\xe9 cat"
    columns: dict[str, tuple[pa.DataType, Callable[[], Any]]] = {
        "Url": (pa.dictionary(pa.int32(), pa.large_string()), lambda: often(rng, lambda: url(rng), None)),
        "text": (pa.binary(), lambda: often(rng, lambda: caption(rng).encode(), None, broken)),
        "Width": (pa.string(), lambda: often(rng, lambda: str(rng.randint(50, 2000)), None, "wide", "1e3")),
        "Height": (pa.float32(), lambda: often(rng, lambda: float(rng.randint(50, 2000)), None)),
        "similarity": (
            pa.dictionary(pa.int16(), pa.float64()),
            lambda: often(rng, lambda: rng.randint(1, 9) / 10, None),
        ),
        "punsafe": (pa.null(), lambda: None),
        "pwatermark": (pa.float64(), lambda: rng.random()),
        "aesthetic": (pa.uint8(), lambda: rng.randint(3, 9)),
        "sha256": (
            pa.string(),
            lambda: often(rng, lambda: f"{rng.randint(0, 3000):064x}", None, "", "12"),
        ),
    }
    return build(columns, rows)


def float_hashes(rng: random.Random, rows: int) -> pa.Table:
    """What pandas makes of whole numbers with gaps."""
    columns: dict[str, tuple[pa.DataType, Callable[[], Any]]] = {
        "image_url": (pa.string(), lambda: url(rng)),
        "txt": (pa.string_view(), lambda: caption(rng)),
        "width": (pa.int16(), lambda: rng.randint(50, 2000)),
        "height": (pa.int16(), lambda: rng.randint(50, 2000)),
        "similarity": (pa.float64(), lambda: rng.uniform(0.2, 0.5)),
        "punsafe": (pa.float64(), lambda: rng.random()),
        "pwatermark": (pa.float64(), lambda: rng.random()),
        "aesthetic": (pa.float64(), lambda: rng.gauss(6, 1)),
        "hash": (pa.float64(), lambda: often(rng, lambda: float(rng.randint(-6000, 6000)), None, math.nan, 0.5, 1e300)),
    }
    return build(columns, rows)


def build(columns: dict[str, tuple[pa.DataType, Callable[[], Any]]], rows: int) -> pa.Table:
    arrays = {}
    for name, (type_, make) in columns.items():
        made = [make() for _ in range(rows)]
        if pa.types.is_dictionary(type_):
            arrays[name] = pa.array(made, type_.value_type).dictionary_encode().cast(type_)
        else:
            arrays[name] = pa.array(made, type_)
    return pa.table(arrays)


LAYOUTS = (aesthetics, img2dataset, oddities, float_hashes)


def write_tables(directory: Path, rows: int, seed: int) -> list[pa.Table]:
    """Write one file of each layout, in small row groups; returns the tables in the order of the files."""
    tables = [layout(random.Random(seed + number), rows // len(LAYOUTS)) for number, layout in enumerate(LAYOUTS)]
    for number, table in enumerate(tables):
        pq.write_table(table, directory / f"{number}.parquet", row_group_size=700)
    return tables


def rows_of(tables: Sequence[pa.Table]) -> list[dict[str, Any]]:
    return [row for table in tables for row in table.to_pylist()]
