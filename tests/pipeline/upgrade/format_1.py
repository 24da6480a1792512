"""Data sets of format 1, made from present ones: every file but the card as the condset of that format wrote it.

Nothing here is shared with what reads the format: it is written down a second time, in plain JSON.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

SCHEMA = pa.schema(
    [
        ("key", pa.string()),
        ("image_uri", pa.string()),
        ("captions", pa.list_(pa.string())),
        ("source_url", pa.string()),
        ("license", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("keypoints", pa.list_(pa.float32())),
        ("label_uri", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float64())),
        ("rejected_reason", pa.string()),
        ("rejected_detail", pa.string()),
    ]
)
DICTIONARIES = ["license", "width", "height", "label_uri", "rejected_reason", "rejected_detail"]
OF_MANIFEST = ("name", "split", "complete", "fingerprint", "inputs", "config", "conditions")
"""The fields of dataset.json up to those that are as they were, in their order."""
TAKEN_OVER = ("labels", "numerics", "totals", "dropped")
CAME_LATER = {"folder": ("labels_root", "labels_file", "label_offset")}
"""Settings of sources that there were not."""
CARD = "The card of format 1.\n"
"""In place of its text, which nobody reads any more."""


def make_format_1(data: Path) -> None:
    """Turn a data set, finished or not, with its layers, into what it would be in format 1; the tars stay."""
    if not (data / "dataset.json").exists():
        _write_index(data, json.loads((data / "index.json").read_text())["listed_by"])
        return
    inputs = json.loads((data / "dataset.json").read_text())["inputs"]
    listing = {name: value for name, value in inputs.items() if name == "limit" or name.startswith("source.")}
    index_sha256 = _write_index(data, listed_by=_fingerprint(_known(listing, inputs["source.kind"])))
    fingerprint = _write_manifest(data, {"index.sha256": index_sha256}, instead_of="index")
    _write_records(data, fingerprint, base=None)
    if (data / "README.md").exists():
        (data / "README.md").write_text(CARD)
    for layer in sorted(data.glob("layers/*")):
        _write_records(layer, _write_manifest(layer, {"base": fingerprint}, instead_of="base"), base=data)
    for keys in data.rglob("keys.npy"):
        keys.unlink()


def _known(settings: dict[str, Any], kind: str) -> dict[str, Any]:
    """Leave out what came later, under its own name or a dotted one."""
    later = {f"{prefix}{name}" for name in CAME_LATER.get(kind, ()) for prefix in ("", "source.")}
    return {name: value for name, value in settings.items() if name not in later}


def _fingerprint(inputs: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _write_index(data: Path, listed_by: str) -> str:
    """Make one file of the parts; returns its sha256."""
    index = json.loads((data / "index.json").read_text())
    files = [data / "index" / part["file"] for part in index["parts"]]
    table = pa.concat_tables(pq.read_table(file, partitioning=None).select(SCHEMA.names) for file in files)
    table = table.cast(SCHEMA).combine_chunks()
    metadata = {"condset.listed_by": listed_by}
    if index["dropped"]:
        metadata = {"condset.dropped": json.dumps(index["dropped"]), **metadata}
    path = data / "index.parquet"
    with pq.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        use_dictionary=DICTIONARIES,
        write_statistics=False,
        write_batch_size=4096,
    ) as writer:
        writer.write_table(table, row_group_size=4096)
        writer.add_key_value_metadata(metadata)
    for file in (*files, data / "index.json"):
        file.unlink()
    (data / "index").rmdir()
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _write_manifest(home: Path, of_format: dict[str, str], instead_of: str) -> str:
    """Write dataset.json; returns the fingerprint."""
    fields = json.loads((home / "dataset.json").read_text())
    source = fields["config"]["source"]
    fields["config"]["source"] = _known(source, source["kind"])
    kept = {name: value for name, value in fields["inputs"].items() if name not in ("format", instead_of)}
    inputs = {"format": 1, **of_format, **_known(kept, source["kind"])}
    fingerprint = _fingerprint(inputs)
    conditions = [_condition(entry) for entry in fields["conditions"]]
    former = fields | {"fingerprint": fingerprint, "inputs": inputs, "conditions": conditions}
    former = {name: former[name] for name in (*OF_MANIFEST, *TAKEN_OVER)} | {"format": 1}
    (home / "dataset.json").write_text(json.dumps(former, ensure_ascii=False, indent=2) + "\n")
    return fingerprint


def _condition(entry: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": entry["name"],
        "annotator": entry["annotator"],
        "algorithm_version": entry["algorithm_version"],
        "extensions": [member["extension"] for member in entry["members"]],
        "models": entry["models"],
    }


def _write_records(home: Path, fingerprint: str, base: Path | None) -> None:
    """Move the records beside their tars, bound to the fingerprint and to the records below them."""
    for path in sorted((home / "records").iterdir()):
        fields = json.loads(path.read_text())
        plan = f"{fingerprint} {fields['start']} {fields['stop']}"
        fields["plan"] = hashlib.sha256(plan.encode()).hexdigest()
        if base:
            fields["base_sha256"] = hashlib.sha256((base / "shards" / path.name).read_bytes()).hexdigest()
        text = json.dumps(fields, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"
        (home / "shards" / path.name).write_text(text)
        path.unlink()
    (home / "records").rmdir()
