"""Which rows of a LAION table are wanted: filters in a fixed order, each counting what it drops.

    rows ──url──> ──scores, size──> ──caption──> rows that pass

A row is counted once, under the first filter that it does not pass; one that lacks the value an active filter asks for
is counted as `missing_<value>`. Every active filter has a count, be it 0.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import AfterValidator, Field

from stages.settings import Settings
from stages.sources.index.identities import Flags
from stages.sources.laion.values import tidy

WEB_SCHEMES = ("http://", "https://")


def _pattern(pattern: str) -> str:
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        raise ValueError(f"must be a regular expression of RE2, got {pattern!r} ({error})") from None
    return pattern


Limit = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class LaionFilters(Settings):
    """The `[source.filters]` table; a filter that is not set drops nothing. Limits themselves pass."""

    min_aesthetic: Limit | None = None
    """The lowest aesthetic score."""
    max_aesthetic: Limit | None = None
    """The highest aesthetic score."""
    max_watermark: Limit | None = None
    """The highest probability of a watermark."""
    max_unsafe: Limit | None = None
    """The highest probability that the image is not safe for work."""
    min_similarity: Limit | None = None
    """The lowest CLIP similarity of image and text."""
    min_width_pixels: Count | None = None
    """The lowest width of the original, as the metadata states it."""
    min_height_pixels: Count | None = None
    """The lowest height of the original, as the metadata states it."""
    max_aspect_ratio: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """The highest ratio of the original's long side to its short one."""
    min_caption_characters: Count | None = None
    """The shortest caption, after white space is collapsed."""
    max_caption_characters: Count | None = None
    """The longest caption, after white space is collapsed."""
    caption_pattern: Pattern | None = None
    """A regular expression (RE2) that must match somewhere in the caption; (?i) at its start ignores case."""
    caption_exclude_pattern: Pattern | None = None
    """A regular expression (RE2) that must match nowhere in the caption."""

    def needed(self) -> dict[str, str]:
        """Which values the active filters ask for, each with the setting that asks first."""
        asks = {
            "min_aesthetic": ("aesthetic",),
            "max_aesthetic": ("aesthetic",),
            "max_watermark": ("watermark",),
            "max_unsafe": ("unsafe",),
            "min_similarity": ("similarity",),
            "min_width_pixels": ("width",),
            "min_height_pixels": ("height",),
            "max_aspect_ratio": ("width", "height"),
        }
        needed: dict[str, str] = {}
        for setting, values in asks.items():
            for value in values:
                if getattr(self, setting) is not None:
                    needed.setdefault(value, f"source.filters.{setting}")
        return needed


def sift(rows: pa.RecordBatch, filters: LaionFilters, counts: Counter[str]) -> pa.RecordBatch:
    """Return the rows that pass, their captions tidy, and count the others."""
    for dropping in (_drop_by_url, _drop_by_number):
        rows = drop(rows, dropping(rows, filters), counts)
    rows = with_tidy_captions(rows)
    return drop(rows, _drop_by_caption(rows, filters), counts)


def with_tidy_captions(rows: pa.RecordBatch) -> pa.RecordBatch:
    """Collapse the white space in the captions."""
    return rows.set_column(rows.schema.get_field_index("caption"), "caption", tidy(rows.column("caption")))


def drop(rows: pa.RecordBatch, drops: Iterable[tuple[str, Flags]], counts: Counter[str]) -> pa.RecordBatch:
    """Leave out every row that one of `drops` (filter's name, True for a row to leave out) marks, and count it once."""
    kept = np.ones(rows.num_rows, np.bool_)
    for name, dropped in drops:
        counts[name] += int(np.count_nonzero(kept & dropped))
        kept &= ~dropped
    return rows if kept.all() else rows.filter(pa.array(kept))


def _drop_by_url(rows: pa.RecordBatch, filters: LaionFilters) -> Iterator[tuple[str, Flags]]:
    urls = pc.fill_null(rows.column("url"), "")
    yield "missing_url", _flags(pc.equal(urls, ""))
    # Anything else would be fetched from this machine's files.
    on_the_web = [pc.starts_with(urls, scheme, ignore_case=True) for scheme in WEB_SCHEMES]
    yield "no_web_url", ~_flags(pc.or_(*on_the_web))


def _drop_by_number(rows: pa.RecordBatch, filters: LaionFilters) -> Iterator[tuple[str, Flags]]:
    limits = {
        "aesthetic": (filters.min_aesthetic, filters.max_aesthetic),
        "watermark": (None, filters.max_watermark),
        "unsafe": (None, filters.max_unsafe),
        "similarity": (filters.min_similarity, None),
        "width": (filters.min_width_pixels, None),
        "height": (filters.min_height_pixels, None),
    }
    needed = filters.needed()
    for name, (lowest, highest) in limits.items():
        if name not in needed:
            continue
        values = rows.column(name).to_numpy()
        yield f"missing_{name}", np.isnan(values)
        if lowest is not None or highest is not None:
            outside = np.zeros(len(values), np.bool_)
            outside |= values < (-np.inf if lowest is None else lowest)
            outside |= values > (np.inf if highest is None else highest)
            yield name, outside
    if filters.max_aspect_ratio is not None:
        width, height = rows.column("width").to_numpy(), rows.column("height").to_numpy()
        yield "aspect_ratio", np.maximum(width, height) > filters.max_aspect_ratio * np.minimum(width, height)


def _drop_by_caption(rows: pa.RecordBatch, filters: LaionFilters) -> Iterator[tuple[str, Flags]]:
    captions = pc.fill_null(rows.column("caption"), "")
    yield "missing_caption", _flags(pc.equal(captions, ""))
    shortest, longest = filters.min_caption_characters, filters.max_caption_characters
    if shortest is not None or longest is not None:
        characters = pc.utf8_length(captions).to_numpy()
        too_long = np.False_ if longest is None else characters > longest
        yield "caption_length", (characters < (shortest or 0)) | too_long
    if filters.caption_pattern is not None:
        yield "caption_pattern", ~_flags(pc.match_substring_regex(captions, filters.caption_pattern))
    if filters.caption_exclude_pattern is not None:
        yield "caption_exclude_pattern", _flags(pc.match_substring_regex(captions, filters.caption_exclude_pattern))


def _flags(flags: pa.Array) -> Flags:
    found: Flags = flags.to_numpy(zero_copy_only=False)
    return found
