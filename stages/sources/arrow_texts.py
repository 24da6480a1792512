"""Texts in Arrow's columns, without those that are too long to be a caption or a name.

Lengths are in the offsets: a text of hundreds of megabytes is left out before it is made into one of Python's.
"""

import pyarrow as pa
import pyarrow.compute as pc

from stages.sources.caption_text import MOST_CAPTION_BYTES, MOST_CAPTIONS


def without_long_texts(values: pa.Array, most_bytes: int = MOST_CAPTION_BYTES) -> pa.Array:
    """Put null in the place of each text of over `most_bytes`, and of a list with one or of over `MOST_CAPTIONS`.

    Other types stay as they are. Dictionaries stay dictionaries, so that a text that many rows share is looked at once.
    """
    if pa.types.is_dictionary(values.type):
        dictionary = without_long_texts(values.dictionary, most_bytes)
        return values if dictionary is values.dictionary else pa.DictionaryArray.from_arrays(values.indices, dictionary)
    lengths = _lengths(values)
    if lengths is None:
        return values
    long = pc.fill_null(pc.greater(lengths, most_bytes), False)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        long = pc.or_(long, pc.fill_null(pc.greater(pc.list_value_length(values), MOST_CAPTIONS), False))
    if not pc.any(long).as_py():
        return values
    kept = values.filter(pc.invert(long))
    places = pc.if_else(long, None, pc.subtract(pc.cumulative_sum(pc.cast(pc.invert(long), pa.int64())), 1))
    return kept.take(places)


def _lengths(values: pa.Array) -> pa.Array | None:
    """The bytes of each text, or of the longest text of each list; None if these are no texts."""
    kind = values.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = _lengths(values.flatten())
        if inner is None or not len(inner):
            return None
        parents = pc.list_parent_indices(values)
        found = pa.table({"row": parents, "length": inner}).group_by("row").aggregate([("length", "max")])
        places = pc.index_in(pa.array(range(len(values)), parents.type), found.column("row").combine_chunks())
        return found.column("length_max").combine_chunks().take(places)
    return byte_lengths(values) if is_text(kind) else None


def byte_lengths(values: pa.Array) -> pa.Array:
    """The bytes of each text of an array of texts; null where there is none."""
    kind = values.type
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        values = values.cast(pa.large_string() if pa.types.is_string_view(kind) else pa.large_binary())
    return pc.cast(pc.binary_length(values), pa.int64())


def is_text(found: pa.DataType) -> bool:
    """Whether a type is a string or bytes."""
    kinds = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(kind(found) for kind in kinds)
