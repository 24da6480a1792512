"""Defects of a data set as a whole: dataset.json, the index, what follows from the records, foreign files.

Each function damages a copy and says what verify must say of it.
"""

import shutil

from pipeline.dataset.fingerprint import fingerprint
from tests.pipeline.verify.damage import Copy, Said


def missing_records(copy: Copy) -> Said:
    for path in (copy.path / "shards").glob("*.json"):
        path.unlink()
    return Said("0000000 to 0000003", "", r"^<shard>\.json must be there, got none; prepare again$")


def missing_shards_directory(copy: Copy) -> Said:
    shutil.rmtree(copy.path / "shards")
    return Said("0000000 to 0000003", "", r"^<shard>\.json must be there, got none")


def tar_without_a_record(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "shards/0000000.tar", copy.path / "shards/0000009.tar")
    return Said("", "", r"^shards/0000009\.tar must not be there")


def shard_behind_the_last_plan(copy: Copy) -> Said:
    for suffix in ("json", "tar"):
        shutil.copyfile(copy.path / f"shards/0000000.{suffix}", copy.path / f"shards/0000004.{suffix}")
    return Said("", "", r"^shards/0000004\.json must not be there")


def foreign_file_among_the_shards(copy: Copy) -> Said:
    (copy.path / "shards/0000000.tar.bak").write_bytes(b"once")
    return Said("", "", r"^shards/0000000\.tar\.bak must not be there.*; remove it$")


def foreign_file_beside_dataset_json(copy: Copy) -> Said:
    (copy.path / "notes.txt").write_text("to do")
    return Said("", "", r"^notes\.txt must not be there")


def tar_that_a_retry_replaced(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "shards/0000000.tar", copy.path / "shards/0000000.r1.tar")
    return Said("", "", r"^shards/0000000\.r1\.tar must be gone with the retry that replaced it; prepare again$")


def partial_file(copy: Copy) -> Said:
    (copy.path / "shards/0000000.tar.0f0f.partial").write_bytes(b"half")
    return Said("", "", r"^shards/0000000\.tar\.0f0f\.partial must be gone with the run that left it.*; prepare again$")


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
    return Said("", "", r"^dataset\.json must be of what is complete, got one still being made; prepare again$")


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
    copy.edit_json("dataset.json", lambda fields: fields["conditions"][0].update(extensions=["colour.png"]))
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
        "0000000 to 0000003", "", r"^<shard>\.json must be a record of this data set, got one of another fingerprint;"
    )


def replaced_index(copy: Copy) -> Said:
    copy.flip("index.parquet", copy.random.randrange(4, 200))
    return Said(
        "", "", r"^index\.parquet must have sha256 \w{64}, got \w{64}; restore it: nothing was compared with it$"
    )
