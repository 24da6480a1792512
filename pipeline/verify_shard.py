"""Check one shard: its record against the plan and the index, its tar against the record, each sample's members.

plan, index rows ──> record ──> tar (size, sha256) ──> sample (crc32) ──> members (names, decode, size, fields)
"""

import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from pipeline.index import read_rows
from pipeline.manifest import Manifest
from pipeline.plan import ShardPlan
from pipeline.shards import SampleEntry, ShardRecord, parse_sample
from pipeline.storage import Directory
from stages.errors import ShardCorrupt

if TYPE_CHECKING:
    from pipeline.verify_deep import DeepCheck

JSON_FIELDS = {
    "captions": list,
    "crop_box": list,
    "height": int,
    "license": str,
    "original_height": int,
    "original_width": int,
    "source": str,
    "source_url": str,
    "width": int,
}
NUMBERS_PER_PERSON = 17 * 3


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect; shard and key are empty where it is not one shard's or one sample's."""

    shard: str
    key: str
    what: str

    def __str__(self) -> str:
        place = " ".join(
            part for part in (self.shard and f"shard {self.shard}", self.key and f"key {self.key}") if part
        )
        return f"{place}: {self.what}" if place else self.what


def check_shard(
    directory: Directory, plan: ShardPlan, record: ShardRecord, manifest: Manifest, deep: "DeepCheck | None"
) -> Iterator[Problem]:
    """Yield every defect of one shard."""
    rows = {row.key: row for row in read_rows(directory, plan.start, plan.stop) if row.rejection is None}
    yield from _check_record(directory, plan, record, manifest)
    if not record.tar:
        return
    try:
        content = (directory / "shards").read(record.tar)
    except FileNotFoundError:
        yield Problem(plan.name, "", f"{record.tar} is missing; delete the record and prepare again")
        return
    if len(content) != record.tar_bytes:
        yield Problem(plan.name, "", f"{record.tar} must have {record.tar_bytes} bytes, got {len(content)}")
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 != record.tar_sha256:
        yield Problem(plan.name, "", f"{record.tar} must have sha256 {record.tar_sha256}, got {sha256}")
    for entry in record.samples:
        where = f"{record.tar} sample {entry.key}"
        try:
            members = parse_sample(content[entry.offset : entry.offset + entry.bytes], entry, where)
        except ShardCorrupt as error:
            yield Problem(plan.name, entry.key, str(error))
            continue
        found = list(_check_members(members, entry, manifest))
        yield from (Problem(plan.name, entry.key, what) for what in found)
        if deep and not found and entry.key in rows:
            yield from (Problem(plan.name, entry.key, what) for what in deep(rows[entry.key], members))


def _check_record(directory: Directory, plan: ShardPlan, record: ShardRecord, manifest: Manifest) -> Iterator[Problem]:
    if record.plan != plan.digest(manifest.fingerprint):
        yield Problem(plan.name, "", "the record is of another data set or of other rows: its plan digest differs")
    if (record.name, record.start, record.stop) != (plan.name, plan.start, plan.stop):
        got = f"{record.name} with rows {record.start} to {record.stop}"
        yield Problem(plan.name, "", f"the record must be of rows {plan.start} to {plan.stop}, got {got}")
    accounted = len(record.samples) + len(record.rejected)
    if accounted != plan.rows:
        yield Problem(plan.name, "", f"the record must account for {plan.rows} rows, got {accounted}")
    keys = [row.key for row in read_rows(directory, plan.start, plan.stop)]
    yield from _check_keys(plan, record, keys)
    end = 0
    for entry in record.samples:
        if entry.offset != end:
            yield Problem(plan.name, entry.key, f"the sample must be at offset {end}, got {entry.offset}")
        end = entry.offset + entry.bytes


def _check_keys(plan: ShardPlan, record: ShardRecord, keys: list[str]) -> Iterator[Problem]:
    """Samples come in the order of the index, and each of its keys is a sample or a rejection."""
    position = {key: number for number, key in enumerate(keys)}
    recorded = [(entry.key, "samples") for entry in record.samples] + [
        (each.key, "rejected") for each in record.rejected
    ]
    for key, among in recorded:
        if key not in position:
            yield Problem(
                plan.name, key, f"the record has a key among its {among} that the index has not in these rows"
            )
    for key in sorted(position.keys() - {key for key, _ in recorded}):
        yield Problem(plan.name, key, "the index has a key in these rows that the record has not")
    order = [position[entry.key] for entry in record.samples if entry.key in position]
    if order != sorted(order):
        yield Problem(plan.name, "", "the samples must come in the order of the index")


def _check_members(members: dict[str, bytes], entry: SampleEntry, manifest: Manifest) -> Iterator[str]:
    image_format = str(manifest.config["image"]["format"])
    conditions = {extension for condition in manifest.conditions for extension in condition.extensions}
    expected = {image_format, "json", "txt"} | conditions
    if members.keys() != expected:
        yield f"members must be {', '.join(sorted(expected))}, got {', '.join(sorted(members))}"
        return
    for extension, content in members.items():
        match extension.rpartition(".")[2]:
            case "json":
                yield from _check_json(content, members["txt"])
            case "txt":
                continue
            case "npy":
                yield from _check_array(extension, content)
            case _:
                yield from _check_picture(extension, content, entry)


def _check_json(content: bytes, caption: bytes) -> Iterator[str]:
    try:
        fields = json.loads(content)
    except ValueError as error:
        yield f"json must be readable, got {error}"
        return
    for name, kind in JSON_FIELDS.items():
        if not isinstance(fields.get(name), kind):
            yield f"json {name} must be {kind.__name__}, got {fields.get(name)!r}"
    if caption.decode(errors="replace") not in (fields.get("captions") or []):
        yield f"txt must be one of the captions, got {caption[:60]!r}"


def _check_array(extension: str, content: bytes) -> Iterator[str]:
    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        yield f"{extension} must be readable, got {error}"
        return
    if values.dtype != np.float32 or values.ndim != 1 or values.size % NUMBERS_PER_PERSON:
        got = f"{values.dtype} of shape {values.shape}"
        yield f"{extension} must be flat float32, a multiple of {NUMBERS_PER_PERSON} long, got {got}"


def _check_picture(extension: str, content: bytes, entry: SampleEntry) -> Iterator[str]:
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            size = image.size
    except (OSError, SyntaxError, ValueError) as error:
        yield f"{extension} must decode, got {error}"
        return
    if size != (entry.width, entry.height):
        yield f"{extension} must have {entry.width}x{entry.height} pixels, got {size[0]}x{size[1]}"
