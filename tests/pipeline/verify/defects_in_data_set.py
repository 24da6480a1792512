"""Defects of a data set as a whole: dataset.json, the index, what follows from the records, foreign files.

Each function damages a copy and says what verify must say of it.
"""

import hashlib
import shutil
from typing import Any

from pipeline.dataset.fingerprint import fingerprint
from tests.pipeline.verify.damage import Copy, Said

PART = "index/0000000.parquet"


def missing_records(copy: Copy) -> Said:
    for path in (copy.path / "records").glob("*.json"):
        path.unlink()
    return Said("0000000 to 0000003", "", r"^records/<shard>\.json must be there, got none; prepare again$")


def missing_shards_directory(copy: Copy) -> Said:
    shutil.rmtree(copy.path / "records")
    shutil.rmtree(copy.path / "shards")
    return Said("0000000 to 0000003", "", r"^records/<shard>\.json must be there, got none")


def tar_without_a_record(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "shards/0000000.tar", copy.path / "shards/0000009.tar")
    return Said("", "", r"^shards/0000009\.tar must not be there")


def shard_behind_the_last_plan(copy: Copy) -> Said:
    for file in ("records/{}.json", "shards/{}.tar"):
        shutil.copyfile(copy.path / file.format("0000000"), copy.path / file.format("0000004"))
    return Said("", "", r"^records/0000004\.json must not be there")


def foreign_file_among_the_shards(copy: Copy) -> Said:
    (copy.path / "shards/0000000.tar.bak").write_bytes(b"once")
    return Said("", "", r"^shards/0000000\.tar\.bak must not be there.*; remove it$")


def foreign_file_among_the_records(copy: Copy) -> Said:
    (copy.path / "records/0000000.json.bak").write_bytes(b"{}")
    return Said("", "", r"^records/0000000\.json\.bak must not be there.*; remove it$")


def tar_among_the_records(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "shards/0000000.tar", copy.path / "records/0000000.tar")
    return Said("", "", r"^records/0000000\.tar must not be there.*; remove it$")


def record_among_the_shards(copy: Copy) -> Said:
    """As format 1 had it."""
    shutil.copyfile(copy.path / "records/0000000.json", copy.path / "shards/0000000.json")
    return Said("", "", r"^shards/0000000\.json must not be there.*; remove it$")


def partial_record(copy: Copy) -> Said:
    (copy.path / "records/0000000.json.0f0f.partial").write_bytes(b"{")
    return Said(
        "",
        "",
        r"^records/0000000\.json\.0f0f\.partial must have been removed by the run that wrote it.*; prepare again$",
    )


def foreign_file_beside_dataset_json(copy: Copy) -> Said:
    (copy.path / "notes.txt").write_text("to do")
    return Said("", "", r"^notes\.txt must not be there")


def tar_that_a_retry_replaced(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "shards/0000000.tar", copy.path / "shards/0000000.r1.tar")
    return Said(
        "", "", r"^shards/0000000\.r1\.tar must have been removed by the retry that replaced it.*; prepare again$"
    )


def partial_file(copy: Copy) -> Said:
    (copy.path / "shards/0000000.tar.0f0f.partial").write_bytes(b"half")
    return Said(
        "", "", r"^shards/0000000\.tar\.0f0f\.partial must have been removed by the run that wrote it.*; prepare again$"
    )


def missing_card(copy: Copy) -> Said:
    (copy.path / "README.md").unlink()
    return Said("", "", r"^README\.md must be there, got none; delete dataset\.json and prepare again$")


def stale_card(copy: Copy) -> Said:
    card = (copy.path / "README.md").read_text()
    (copy.path / "README.md").write_text(card.replace("13", "14", 1))
    return Said("", "", r"^README\.md must follow from dataset\.json and the index, got another card;")


def stale_shards_jsonl(copy: Copy) -> Said:
    lines = (copy.path / "shards.jsonl").read_text().splitlines(keepends=True)
    lines[1] = lines[1].replace('"samples": ', '"samples": 1')
    (copy.path / "shards.jsonl").write_text("".join(lines))
    return Said("", "", r"^shards\.jsonl must follow from the records, got other lines from shard 0000001 on;")


def shards_jsonl_with_a_line_too_many(copy: Copy) -> Said:
    with (copy.path / "shards.jsonl").open("a") as file:
        file.write("{}\n")
    return Said("", "", r"^shards\.jsonl must follow from the records, got other lines behind the last shard's;")


def stale_rejected_jsonl(copy: Copy) -> Said:
    (copy.path / "rejected.jsonl").write_text("")
    return Said("", "", r"^rejected\.jsonl must follow from the records, got other lines from shard 0000000 on;")


def wrong_totals(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields["totals"].update(samples=12, tar_bytes=7))
    return Said(
        "", "", r"^dataset\.json totals must be those of the records: samples 13, got 12; tar_bytes \d+, got 7;"
    )


def incomplete(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields.update(complete=False))
    return Said("", "", r"^dataset\.json must be of a complete data set, got one still being made; prepare again$")


def other_fingerprint(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields.update(fingerprint="0" * 64))
    return Said(
        "", "", r"^dataset\.json fingerprint must be '\w{64}', got '0+'; delete dataset\.json and prepare again$"
    )


def other_inputs(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields["inputs"].update({"image.quality": 80}))
    return Said("", "", r"^dataset\.json inputs image\.quality must be 95, got 80;")


def other_config(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields["config"]["image"].update(quality=80))
    return Said("", "", r"^dataset\.json inputs image\.quality must be 80, got 95;")


def other_conditions(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields["conditions"][0]["members"][0].update(extension="colour.png"))
    return Said("", "", r"^dataset\.json conditions must be .*'color\.png'.*, got .*'colour\.png'")


def other_split(copy: Copy) -> Said:
    copy.edit_json("dataset.json", lambda fields: fields.update(split="train2017"))
    return Said("", "", r"^dataset\.json split must be 'val2017', got 'train2017'")


def dataset_json_of_another_data_set(copy: Copy) -> Said:
    """A manifest that is consistent in itself: no record was made for it."""
    inputs = copy.manifest.inputs | {"seed": 1}

    def change(fields: dict[str, dict[str, object]]) -> None:
        fields["config"]["seed"] = 1
        fields.update(inputs=inputs, fingerprint=fingerprint(inputs))  # type: ignore[call-overload]  # any JSON

    copy.edit_json("dataset.json", change)
    return Said(
        "0000000 to 0000003",
        "",
        r"^records/<shard>\.json must be a record of this data set, got one of another fingerprint;",
    )


def replaced_index(copy: Copy) -> Said:
    copy.edit_json("index.json", _replace_part)
    return Said("", "", r"^index\.json must have digest \w{64}, got \w{64}; restore it: nothing was compared with it$")


def _replace_part(fields: dict[str, Any]) -> None:
    """Make index.json one of other rows, which agrees with itself."""
    fields["parts"][0]["sha256"] = "0" * 64
    fields["digest"] = hashlib.sha256(b"0" * 64).hexdigest()


def damaged_part_of_the_index(copy: Copy) -> Said:
    size = (copy.path / PART).stat().st_size
    copy.flip(PART, copy.random.randrange(size))
    return Said(
        "",
        "",
        r"^index/0000000\.parquet must have sha256 \w{64}, got \w{64}; restore it: nothing was compared with it$",
    )


def missing_part_of_the_index(copy: Copy) -> Said:
    (copy.path / PART).unlink()
    return Said(
        "",
        "",
        r"^index/0000000\.parquet must have sha256 \w{64}, got no file; restore it: nothing was compared with it$",
    )


def foreign_file_among_the_parts_of_the_index(copy: Copy) -> Said:
    shutil.copyfile(copy.path / PART, copy.path / "index/0000001.parquet")
    return Said(
        "", "", r"^index/0000001\.parquet must not be there: it belongs to none of the shards and files; remove"
    )


def partial_part_of_the_index(copy: Copy) -> Said:
    (copy.path / f"{PART}.0f0f.partial").write_bytes(b"half")
    return Said(
        "",
        "",
        r"^index/0000000\.parquet\.0f0f\.partial must have been removed by the run that wrote it.*; prepare again$",
    )
