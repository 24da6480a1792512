"""What cannot be verified at all is one ManifestError, and nothing else ever stops verify."""

import hashlib
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.dataset.fingerprint import fingerprint
from pipeline.dataset.index import GROUP_KEYS, INDEX_FILE, PARTS, Index, group_digest, open_index, read_rows
from pipeline.dataset.ledger import records
from pipeline.dataset.manifest import read_manifest, write_manifest
from pipeline.dataset.plan import plan_shards
from pipeline.dataset.record import record_file
from pipeline.dataset.shards import commit_shard
from pipeline.dataset.storage import Directory
from pipeline.verify.dataset import VerifyReport, verify
from pipeline.verify.problem import Problem
from stages.captions import choose_caption
from stages.errors import ManifestError
from stages.weights.store import WeightsStore
from tests.pipeline.conftest import Make
from tests.pipeline.verify.annotated_scenes import make_layered
from tests.pipeline.verify.damage import Copy

NO_WEIGHTS = WeightsStore(allow_network=False)


def check(path: Path, deep: bool = False) -> VerifyReport:
    return verify(Directory(str(path)), deep, NO_WEIGHTS, "cpu")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"complete": "yes"}, r"dataset\.json must have the format's types, got complete = 'yes': Input should be a"),
        ({"inputs": []}, r"dataset\.json must have the format's types, got inputs = \[\]"),
        ({"config": {}}, r"dataset\.json config name is missing; .*; delete dataset\.json and prepare again$"),
        ({"conditions": 3}, r"dataset\.json must have format 2's fields"),
        ({"labels": {"0": 0}}, r"dataset\.json must have the format's types, got labels\.0 = 0"),
        ({"format": 3}, r"dataset\.json must have format 2, got 3; read it with its own condset$"),
        ({"numerics": {}}, r"dataset\.json must have format 2's fields"),
    ],
)
def test_a_malformed_manifest_is_one_error(data_set: Path, change: dict[str, object], message: str) -> None:
    Copy(data_set, Random(0)).edit_json("dataset.json", lambda fields: fields.update(change))
    with pytest.raises(ManifestError, match=message):
        check(data_set)


def test_a_manifest_of_no_threads_is_one_error(data_set: Path) -> None:
    copy = Copy(data_set, Random(0))
    copy.edit_json("dataset.json", lambda fields: fields["numerics"].update(threads_per_worker=0))
    with pytest.raises(ManifestError, match=r"dataset\.json numerics\.threads_per_worker must be 1 to 4096, got 0"):
        check(data_set)


def test_a_directory_without_a_data_set_is_one_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"must be a data set's manifest, got none"):
        check(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off", "text", "of other parts"])
def test_an_index_json_that_is_none_is_one_error(data_set: Path, damage: str) -> None:
    path = data_set / "index.json"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        other = content.replace(b'"rows": 12', b'"rows": 13', 1)
        path.write_bytes({"empty": b"", "cut off": content[:-9], "text": b"key,uri\n", "of other parts": other}[damage])
    with pytest.raises(ManifestError, match=r"index\.json must describe the parts of an index, got \w+\(.*; remove it"):
        check(data_set)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut off", "text", "footer", "other table"])
def test_a_part_of_the_index_that_is_none_is_one_problem(data_set: Path, damage: str) -> None:
    path = data_set / "index/0000000.parquet"
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "other table":
        pq.write_table(pa.table({"key": ["a"]}), path)
    else:
        footer = content[:-300] + bytes(200) + content[-100:]
        path.write_bytes({"empty": b"", "cut off": content[:-9], "text": b"key,uri\n", "footer": footer}[damage])
    (problem,) = check(data_set).problems
    got = "no file" if damage == "missing" else r"\w{64}"
    words = rf"^index/0000000\.parquet must have sha256 \w{{64}}, got {got}; restore it: nothing was compared with it$"
    assert re.search(words, problem.what)


def forge_index(directory: Directory, table: pa.Table) -> Index:
    """Put a table in place of the index's only part, with hashes that fit."""
    digests = group_digest(table.column("key")).encode()
    content = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({GROUP_KEYS: digests}), content)
    former = open_index(directory)
    part = replace(
        former.parts[0],
        bytes=len(content.getvalue()),
        sha256=hashlib.sha256(content.getvalue()).hexdigest(),
        keys_sha256=hashlib.sha256(digests).hexdigest(),
    )
    (directory / PARTS).write(part.file, content.getvalue())
    forged = replace(former, parts=(part,))
    directory.write(INDEX_FILE, forged.to_json())
    return forged


def with_index(path: Path, table: pa.Table, rename: dict[str, str]) -> None:
    """Put another index in place and make everything else agree with it, as if it had been so from the start."""
    directory = Directory(str(path))
    index = forge_index(directory, table)
    manifest = read_manifest(directory)
    inputs = manifest.inputs | {"index": index.digest}
    manifest = replace(manifest, inputs=inputs, fingerprint=fingerprint(inputs))
    write_manifest(directory, manifest)
    copy = Copy(path, Random(0))
    for plan, record in zip(plan_shards(12, 5), records(directory), strict=True):
        samples = []
        for sample, row in zip(copy.encoded(record), read_rows(directory, index, plan.start, plan.stop), strict=True):
            key = rename.get(sample.key, sample.key)
            members = dict(sample.members) | {"txt": choose_caption(row.captions, 0, key).encode()}
            samples.append(replace(sample, key=key, members=tuple(members.items())))
        directory.remove(record_file(plan.name))
        commit_shard(directory, plan, manifest.fingerprint, record.numerics, samples)
    copy.derive()


def test_a_key_that_is_twice_in_the_index_is_named(data_set: Path) -> None:
    table = pq.read_table(data_set / "index/0000000.parquet")
    keys = table.column("key").to_pylist()
    repeated = [*keys[:6], keys[1], *keys[7:]]
    with_index(data_set, table.set_column(0, "key", pa.array(repeated)), {keys[6]: keys[1]})
    what = "the index must have the key once, got it again in row 6; prepare into another directory"
    assert check(data_set).problems == (Problem("0000001", keys[1], what),)


def test_rows_that_cannot_be_read_are_one_error(data_set: Path) -> None:
    table = pq.read_table(data_set / "index/0000000.parquet")
    reasons = pa.array(["moonlight", *[""] * 11])
    at = table.schema.get_field_index("rejected_reason")
    broken = table.set_column(at, "rejected_reason", reasons)
    manifest = read_manifest(Directory(str(data_set)))
    inputs = manifest.inputs | {"index": forge_index(Directory(str(data_set)), broken).digest}
    write_manifest(Directory(str(data_set)), replace(manifest, inputs=inputs))
    with pytest.raises(ManifestError, match=r"index must be parquet, got ValueError: 'moonlight'"):
        check(data_set)


def test_a_damaged_json_never_crashes_verify(make_config: Make, tmp_path: Path) -> None:
    """Replaces or removes a value anywhere in dataset.json, a record, or a layer's, 30 times."""
    values = [None, 0, -1, 1.5, "", "x", [], {}, True, 10**30, float("nan"), "\ud800", [None], {"a": None}]
    sound = make_layered(make_config, tmp_path)
    for seed in range(30):
        random = Random(seed)
        copy = Copy(tmp_path / str(seed), random)
        shutil.copytree(sound, copy.path)
        file = random.choice(sorted(copy.path.rglob("*.json")))
        content = json.loads(file.read_bytes())
        inner, name = random.choice(list(places(content)))
        if random.random() < 0.2:
            del inner[name]
        else:
            inner[name] = random.choice(values)
        file.write_text(json.dumps(content))
        try:
            report = check(copy.path, deep=seed % 10 == 0)
        except ManifestError:
            continue
        "\n".join(map(str, report.problems)).encode()  # may be printed


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every (container, key or position) in a JSON value."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from places(inner)
