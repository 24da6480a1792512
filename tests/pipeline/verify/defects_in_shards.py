"""Defects of one shard, in its tar or its record; the samples in it are sound.

Each function damages a copy and says what verify must say of it.
"""

import shutil
from collections.abc import Callable
from dataclasses import replace

from pipeline.dataset.plan import ShardPlan
from pipeline.dataset.record import ShardRecord, read_record, record_file
from stages.records import Reason, Rejection
from tests.pipeline.verify.damage import Copy, Said

BLOCK = 512


def missing_tar(copy: Copy) -> Said:
    record = copy.shard()
    copy.shards.remove(record.tar)
    return Said(record.name, "", r"^\d+\.tar must be there, got none; delete its record and prepare again$")


def truncated_tar(copy: Copy) -> Said:
    record, entry = copy.sample()
    size = entry.offset + copy.random.randrange(entry.bytes)
    (copy.path / "shards" / record.tar).write_bytes(copy.shards.read(record.tar)[:size])
    lost = len(record.samples) - record.samples.index(entry)
    words = rf"^\d+\.tar must have {record.tar_bytes} bytes, got {size} and {lost} damaged samples, this one the first;"
    return Said(record.name, entry.key, words)


def empty_tar(copy: Copy) -> Said:
    record = copy.shard()
    (copy.path / "shards" / record.tar).write_bytes(b"")
    return Said(record.name, record.samples[0].key, rf"bytes, got 0 and {len(record.samples)} damaged samples")


def tar_with_trailing_garbage(copy: Copy) -> Said:
    record = copy.shard()
    garbage = copy.random.randbytes(copy.random.randrange(1, 5000))
    (copy.path / "shards" / record.tar).write_bytes(copy.shards.read(record.tar) + garbage)
    return Said(
        record.name, "", rf"^\d+\.tar must have {record.tar_bytes} bytes, got {record.tar_bytes + len(garbage)};"
    )


def tar_with_a_hole(copy: Copy) -> Said:
    record, entry = copy.sample()
    content = copy.shards.read(record.tar)
    start = entry.offset + copy.random.randrange(entry.bytes)
    (copy.path / "shards" / record.tar).write_bytes(content[:start] + content[start + 1 :])
    return Said(
        record.name, entry.key, r"^\d+\.tar must have \d+ bytes, got \d+ and \d damaged samples, this one the first;"
    )


def flipped_byte_in_an_image(copy: Copy) -> Said:
    return _flip_in_member(copy, "jpg")


def flipped_byte_in_a_condition(copy: Copy) -> Said:
    return _flip_in_member(copy, "color.png")


def flipped_byte_in_the_json(copy: Copy) -> Said:
    return _flip_in_member(copy, "json")


def _flip_in_member(copy: Copy, extension: str) -> Said:
    record, entry = copy.sample()
    content = copy.read(record, entry)[extension]
    start = copy.shards.read_range(record.tar, entry.offset, entry.bytes).index(content)
    copy.flip(f"shards/{record.tar}", entry.offset + start + copy.random.randrange(len(content)))
    return Said(record.name, entry.key, rf"^\d+\.tar sample must have crc32 {entry.crc32:08x}, got \w+; delete its")


def flipped_byte_in_a_tar_header(copy: Copy) -> Said:
    record, entry = copy.sample()
    copy.flip(f"shards/{record.tar}", entry.offset + copy.random.randrange(BLOCK))
    return Said(record.name, entry.key, r"^\d+\.tar sample must have crc32")


def flipped_byte_in_the_padding_of_a_member(copy: Copy) -> Said:
    record, entry = copy.sample()
    copy.flip(f"shards/{record.tar}", entry.offset + entry.bytes - 1)  # a text ends every sample, and no block
    return Said(record.name, entry.key, r"^\d+\.tar sample must have crc32")


def flipped_byte_behind_the_last_sample(copy: Copy) -> Said:
    record = copy.shard()
    last = record.samples[-1]
    copy.flip(f"shards/{record.tar}", copy.random.randrange(last.offset + last.bytes, record.tar_bytes))
    return Said(record.name, "", r"^\d+\.tar must (end with \d+ zeros at byte|hold only its record's samples, got)")


def missing_record(copy: Copy) -> Said:
    record = copy.shard()
    copy.directory.remove(record_file(record.name))
    return Said(record.name, "", r"^records/\d+\.json must be there, got none; prepare again$")


def record_of_another_shard(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "records/0000001.json", copy.path / "records/0000000.json")
    words = r"^records/\d+\.json must be of shard 0000000 with rows 0 to 5, got 0000001 with rows 5 to 10;"
    return Said("0000000", "", words)


def record_of_another_fingerprint(copy: Copy) -> Said:
    record = copy.shard()
    plan = ShardPlan(int(record.name), record.start, record.stop)
    copy.put_record(replace(record, plan=plan.digest("another")))
    return Said(
        record.name, "", r"^records/\d+\.json must be a record of this data set, got one of another fingerprint;"
    )


def record_cut_off(copy: Copy) -> Said:
    record = copy.shard()
    path = copy.path / f"records/{record.name}.json"
    path.write_bytes(path.read_bytes()[: copy.random.randrange(path.stat().st_size - 1)])
    return Said(record.name, "", rf"{record.name}\.json must be a shard's record, got JSONDecodeError")


def record_with_text_for_a_number(copy: Copy) -> Said:
    record = copy.shard()
    copy.edit_json(f"records/{record.name}.json", lambda fields: fields["samples"][0].__setitem__(1, "0"))
    return Said(record.name, "", r"^records/\d+\.json must have the format's types, got samples\.0\.offset = '0'")


def record_with_half_a_character(copy: Copy) -> Said:
    record = copy.shard()
    copy.edit_json(f"records/{record.name}.json", lambda fields: fields["samples"][0].__setitem__(0, "\ud800"))
    return Said(record.name, "", r"^records/\d+\.json must have the format's types, got .*surrogates not allowed")


def record_without_a_sample(copy: Copy) -> Said:
    """The wrong count: a sample is in the tar and in the index, and the record knows nothing of it."""
    record = copy.shard()
    left_out = copy.random.choice(record.samples)
    copy.put_record(replace(record, samples=tuple(entry for entry in record.samples if entry != left_out)))
    return Said(
        record.name, left_out.key, r"^records/\d+\.json must have the key among its samples or rejections, got neither;"
    )


def record_without_a_rejection(copy: Copy) -> Said:
    record = copy.rejecting_shard()
    copy.put_record(replace(record, rejected=record.rejected[1:]))
    words = r"^records/\d+\.json must have the key among its samples or rejections, got neither;"
    return Said(record.name, record.rejected[0].key, words)


def record_with_a_sample_twice(copy: Copy) -> Said:
    record, entry = copy.sample()
    copy.put_record(replace(record, samples=(*record.samples, entry)))
    return Said(record.name, entry.key, r"^records/\d+\.json must have the key 1 times, like the index, got it 2 times")


def record_with_its_samples_out_of_order(copy: Copy) -> Said:
    record = copy.shard()
    first, second, *others = record.samples
    copy.put_record(replace(record, samples=(second, first, *others)))
    return Said(
        record.name, first.key, r"^records/\d+\.json must list the key in the order of the index, got something else"
    )


def rejected_key_that_is_a_sample_too(copy: Copy) -> Said:
    record, entry = copy.sample()
    rejection = Rejection(entry.key, Reason.TRUNCATED, "half of it")
    copy.put_record(replace(record, rejected=(*record.rejected, rejection)))
    return Said(record.name, entry.key, r"^records/\d+\.json must have the key 1 times, like the index, got it 2 times")


def rejected_key_of_no_row(copy: Copy) -> Said:
    record = copy.shard()
    rejection = Rejection("stranger", Reason.TRUNCATED, "half of it")
    copy.put_record(replace(record, rejected=(*record.rejected, rejection)))
    return Said(
        record.name, "stranger", r"^records/\d+\.json must have only the keys of its rows in the index, got .* besides;"
    )


def reason_of_a_rejection_that_is_no_text(copy: Copy) -> Said:
    record = copy.rejecting_shard()
    copy.edit_json(f"records/{record.name}.json", lambda fields: fields["rejected"][0].__setitem__(1, 7))
    return Said(record.name, "", r"^records/\d+\.json must have the format's types, got rejected\.0\.reason = 7")


def other_reason_than_in_the_index(copy: Copy) -> Said:
    record = next(each for each in map(_record(copy), range(4)) if each.rejected[:1] and _no_caption(each))
    rejected = tuple(replace(each, reason=Reason.TRUNCATED) for each in record.rejected)
    copy.put_record(replace(record, rejected=rejected))
    words = r"^records/\d+\.json must reject the key as no_caption, like the index, got something else;"
    return Said(record.name, rejected[0].key, words)


def _record(copy: Copy) -> Callable[[int], ShardRecord]:
    return lambda number: read_record(copy.directory, f"000000{number}")


def _no_caption(record: ShardRecord) -> bool:
    return record.rejected[0].reason == Reason.NO_CAPTION


def _with_entry(copy: Copy, **changes: int) -> tuple[str, str]:
    """Change numbers of one sample's entry: by name, what is added to each."""
    record, entry = copy.sample()
    changed = replace(entry, **{name: getattr(entry, name) + more for name, more in changes.items()})
    samples = tuple(changed if each == entry else each for each in record.samples)
    copy.put_record(replace(record, samples=samples))
    return record.name, entry.key


def wrong_offset(copy: Copy) -> Said:
    return Said(
        *_with_entry(copy, offset=BLOCK), r"^records/\d+\.json must place the sample at byte \d+ of the tar, got \d+;"
    )


def offset_before_the_tar(copy: Copy) -> Said:
    return Said(
        *_with_entry(copy, offset=-(10**9)),
        r"^records/\d+\.json must place the sample at byte \d+ of the tar, got -\d+;",
    )


def offset_behind_the_tar(copy: Copy) -> Said:
    return Said(
        *_with_entry(copy, offset=10**9), r"^records/\d+\.json must place the sample at byte \d+ of the tar, got \d+;"
    )


def wrong_length(copy: Copy) -> Said:
    return Said(*_with_entry(copy, bytes=copy.random.choice([-BLOCK, BLOCK])), r"^\d+\.tar sample must have crc32")


def enormous_length(copy: Copy) -> Said:
    words = r"^\d+\.tar must hold the sample within its \d+ bytes, got 10{6}\d+ bytes at byte \d+ in the record;"
    return Said(*_with_entry(copy, bytes=10**15), words)


def wrong_crc32(copy: Copy) -> Said:
    return Said(*_with_entry(copy, crc32=1), r"^\d+\.tar sample must have crc32")


def wrong_width(copy: Copy) -> Said:
    return Said(*_with_entry(copy, width=64), r"^records/\d+\.json must give the sample 64x64 pixels, got 128x64;")


def wrong_height(copy: Copy) -> Said:
    return Said(*_with_entry(copy, height=-1), r"^records/\d+\.json must give the sample 64x64 pixels, got 64x63;")


def wrong_sha256(copy: Copy) -> Said:
    record = copy.shard()
    copy.put_record(replace(record, tar_sha256="0" * 64))
    words = rf"^\d+\.tar must have sha256 0+, got {record.tar_sha256}, although each of its samples is intact;"
    return Said(record.name, "", words)


def wrong_size(copy: Copy) -> Said:
    record = copy.shard()
    copy.put_record(replace(record, tar_bytes=record.tar_bytes + 1))
    return Said(record.name, "", rf"^\d+\.tar must have {record.tar_bytes + 1} bytes, got {record.tar_bytes};")


def tar_of_another_name(copy: Copy) -> Said:
    record = copy.shard()
    copy.put_record(replace(record, tar="../dataset.json"))
    return Said(
        record.name, "", r"^records/\d+\.json must name the tar of its \d samples as the shard, got '../dataset.json';"
    )


def record_bound_to_another(copy: Copy) -> Said:
    record = copy.shard()
    copy.put_record(replace(record, base_sha256="0" * 64))
    return Said(record.name, "", r"^records/\d+\.json must be bound to the record below it, got another base_sha256;")


def record_of_no_threads(copy: Copy) -> Said:
    record = copy.shard()
    copy.put_record(replace(record, numerics=replace(record.numerics, threads_per_worker=0)))
    return Said(record.name, "", r"^records/\d+\.json numerics\.threads_per_worker must be 1 to 4096, got 0;")


def record_in_an_unknown_dtype(copy: Copy) -> Said:
    record = copy.shard()
    dtypes = {**record.numerics.dtypes, "color": "float7"}
    copy.put_record(replace(record, numerics=replace(record.numerics, dtypes=dtypes)))
    return Said(record.name, "", r"^records/\d+\.json numerics\.dtypes\.color must be none, got 'float7';")


def tar_of_a_shard_without_samples(copy: Copy) -> Said:
    shutil.copyfile(copy.path / "shards/0000000.tar", copy.path / "shards/0000003.tar")
    return Said("0000003", "", r"^\d+\.tar must not be there, since its record rejects every row; remove it$")
