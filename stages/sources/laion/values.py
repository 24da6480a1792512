"""The values of a column in one form, however the file stores them; what cannot be read counts as missing.

strings, bytes, dictionaries of them         ──text_values──> strings, null where missing
floats, integers, decimals, texts of these   ──number_values──> float64, NaN where missing
hashes: integers, floats, texts              ──hash_identities──> identities, and which rows have none
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from stages.sources.arrow_texts import is_text
from stages.sources.index.identities import Flags, Identities, digest_identities, sha256_digests

Floats = npt.NDArray[np.float64]

OTHER_SPACES = r"\t-\r\x1c-\x1f\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
"""What str.split takes for white space, but for the space itself, in RE2's syntax."""
NUMBER = r"^[+-]?([0-9]{1,30}(\.[0-9]{0,30})?|\.[0-9]{1,30})([eE][+-]?[0-9]{1,2})?$"
"""A decimal number with as many digits as a score or a size may have."""

SIGNED, LARGE, FRACTION = (np.uint64(kind) for kind in (1, 2, 3))
"""The second word of a number's identity says how to read the first."""


def text_values(values: pa.Array) -> pa.Array:
    """Return strings; null for null and for bytes that are no UTF-8."""
    content = _plain(values).cast(pa.binary())
    try:
        return content.cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([_decoded(each) for each in content.to_pylist()], pa.string())


def _decoded(content: bytes | None) -> str | None:
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def tidy(captions: pa.Array) -> pa.Array:
    """Collapse white space in strings, as stages.captions.clean_captions does."""
    untidy = pc.match_substring_regex(captions, f"[{OTHER_SPACES}]|^ |  | $")
    if not pc.any(untidy).as_py():
        return captions
    collapsed = pc.replace_substring_regex(captions.filter(untidy), f"[ {OTHER_SPACES}]+", " ")
    return pc.replace_with_mask(captions, untidy, pc.utf8_trim(collapsed, " "))


def number_values(values: pa.Array) -> Floats:
    """Return float64; NaN for null, for infinities and for texts that are no decimal number."""
    values = _plain(values)
    if pa.types.is_decimal(values.type):
        values = values.cast(pa.string())  # Arrow's own way from decimal to double rounds wrongly: 0.9901000000000001
    if is_text(values.type):
        texts = pc.utf8_trim_whitespace(text_values(values))
        texts = pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None)
        values = pc.utf8_ltrim(texts, "+")
    floats: Floats = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(floats), floats, np.nan)


def hash_identities(values: pa.Array) -> tuple[Identities, Flags]:
    """Return the identities of hashes, (rows, 2), and True for each row that has one.

    Numbers are equal by value, texts by their bytes, and a number never equals a text; null, NaN and an empty text are
    no hash.
    """
    values = _plain(values)
    there = values.is_valid().to_numpy(zero_copy_only=False)
    if is_text(values.type) or pa.types.is_null(values.type):
        texts = values.cast(pa.binary())
        there &= pc.fill_null(pc.greater(pc.binary_length(texts), 0), False).to_numpy(zero_copy_only=False)
        identities = np.zeros((len(values), 2), np.uint64)
        identities[there] = digest_identities(sha256_digests(texts.filter(pa.array(there))))
    elif pa.types.is_floating(values.type):
        floats = number_values(values)
        there &= ~np.isnan(floats)
        whole = there & (floats == np.floor(floats)) & (np.abs(floats) < 2.0**63)
        numbers = floats.view(np.uint64).copy()
        numbers[whole] = floats[whole].astype(np.int64).view(np.uint64)
        identities = np.stack([numbers, np.where(whole, SIGNED, FRACTION)], axis=1)
    else:
        unsigned = pa.types.is_unsigned_integer(values.type)
        whole_type = pa.uint64() if unsigned else pa.int64()
        numbers = pc.fill_null(values.cast(whole_type), 0).to_numpy().view(np.uint64)
        kinds = np.where(unsigned & (numbers >> np.uint64(63) == 1), LARGE, SIGNED)
        identities = np.stack([numbers, kinds], axis=1)
    return identities, there


def _plain(values: pa.Array) -> pa.Array:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
