"""What the laion source must do, said again in plain Python, one row at a time."""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeAlias

from stages.captions import clean_captions
from stages.randomness import random_for

NAMES = {
    "url": ["url", "image_url"],
    "caption": ["text", "caption", "txt"],
    "width": ["original_width", "width"],
    "height": ["original_height", "height"],
    "aesthetic": ["aesthetic_score", "aesthetic"],
    "watermark": ["pwatermark"],
    "unsafe": ["punsafe"],
    "similarity": ["similarity"],
    "hash": ["hash", "sha256", "md5", "sha256hash"],
    "license": ["license"],
}
SCORES = ["aesthetic", "similarity", "unsafe", "watermark"]
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Row: TypeAlias = Mapping[str, Any]
Filters: TypeAlias = Mapping[str, Any]


@dataclass
class Listing:
    """What the oracle lists, and what it drops."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)


def text(value: object) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def number(value: object) -> float:
    if isinstance(value, bytes | str):
        found = (text(value) or "").strip()
        value = float(found) if NUMBER.fullmatch(found) else math.nan
    if not isinstance(value, int | float | Decimal):
        return math.nan
    return float(value) if math.isfinite(value) else math.nan


def size(value: object) -> float:
    pixels = number(value)
    return pixels if 1 <= pixels <= 2**31 - 1 else math.nan


def hash_identity(value: object) -> object:
    """Whatever is equal for equal hashes; None if there is no hash."""
    if isinstance(value, bytes | str):
        content = value.encode() if isinstance(value, str) else value
        return ("text", content) if content else None
    return ("number", value) if isinstance(value, int | float) and math.isfinite(value) else None


def values(row: Row) -> dict[str, Any]:
    """What a row of a file says, by meaning; a column that is not there gives None."""
    lower = {name.lower(): value for name, value in row.items()}
    raw = {meaning: next((lower[name] for name in names if name in lower), None) for meaning, names in NAMES.items()}
    return {
        "url": text(raw["url"]) or "",
        "caption": "".join(clean_captions([text(raw["caption"]) or ""])),
        "license": text(raw["license"]) or "",
        "width": size(raw["width"]),
        "height": size(raw["height"]),
        "hash": hash_identity(raw["hash"]),
        **{score: number(raw[score]) for score in SCORES},
    }


def checks(filters: Filters) -> Iterable[tuple[str, Callable[[Row], bool]]]:
    """The filters in order: name, and whether a row is to be dropped."""
    yield "missing_url", lambda row: not row["url"]
    yield "no_web_url", lambda row: not row["url"].lower().startswith(("http://", "https://"))
    for meaning, low, high in [
        ("aesthetic", "min_aesthetic", "max_aesthetic"),
        ("watermark", "", "max_watermark"),
        ("unsafe", "", "max_unsafe"),
        ("similarity", "min_similarity", ""),
        ("width", "min_width_pixels", ""),
        ("height", "min_height_pixels", ""),
    ]:
        lowest, highest = filters.get(low), filters.get(high)
        active = lowest is not None or highest is not None
        if active or (meaning in ("width", "height") and "max_aspect_ratio" in filters):
            yield f"missing_{meaning}", lambda row, meaning=meaning: math.isnan(row[meaning])  # type: ignore[misc]
        if active:
            low_, high_ = lowest or -math.inf, math.inf if highest is None else highest
            yield meaning, lambda row, m=meaning, lo=low_, hi=high_: not lo <= row[m] <= hi  # type: ignore[misc]
    if "max_aspect_ratio" in filters:
        ratio = filters["max_aspect_ratio"]
        yield (
            "aspect_ratio",
            lambda row: max(row["width"], row["height"]) > ratio * min(row["width"], row["height"]),
        )
    yield "missing_caption", lambda row: not row["caption"]
    shortest, longest = filters.get("min_caption_characters"), filters.get("max_caption_characters")
    if shortest is not None or longest is not None:
        most = math.inf if longest is None else longest
        yield "caption_length", lambda row: not (shortest or 0) <= len(row["caption"]) <= most
    if "caption_pattern" in filters:
        yield "caption_pattern", lambda row: not re.search(filters["caption_pattern"], row["caption"])
    if "caption_exclude_pattern" in filters:
        yield (
            "caption_exclude_pattern",
            lambda row: bool(re.search(filters["caption_exclude_pattern"], row["caption"])),
        )


def list_rows(
    parsed: Iterable[Row], filters: Filters, deduplicate: Iterable[str] = ("url",), sample: int = 0, seed: int = 0
) -> Listing:
    """List rows as `values` gives them, those of all files one after the other."""
    listing, seen = Listing(), {"url": set[object](), "hash": set[object]()}
    steps = list(checks(filters))
    duplicates = [name for name in ("url", "hash") if name in deduplicate]
    listing.dropped = dict.fromkeys([*(name for name, _ in steps), *(f"duplicate_{name}" for name in duplicates)], 0)
    found = []
    for row in parsed:
        reason = next((name for name, is_dropped in steps if is_dropped(row)), "")
        for name in duplicates:
            if not reason and row[name] is not None and row[name] in seen[name]:
                reason = f"duplicate_{name}"
            if not reason:
                seen[name].add(row[name])
        if reason:
            listing.dropped[reason] += 1
        else:
            found.append(row)
    if sample:
        chosen = set(sorted(range(len(found)), key=lambda place: (rank(found[place]["url"], seed), place))[:sample])
        listing.dropped["not_sampled"] = len(found) - len(chosen)
        found = [row for place, row in enumerate(found) if place in chosen]
    listing.rows = [indexed(row) for row in found]
    return listing


def rank(url: str, seed: int) -> int:
    """SplitMix64's finalizer over the URL's hash and a word of the seed, in Python's integers."""
    word = int(random_for(seed, "sample", "").integers(0, 2**64, dtype="uint64"))
    mixed = int.from_bytes(hashlib.sha256(url.encode()).digest()[:8], "little") ^ word
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
    return mixed ^ mixed >> 31


def indexed(row: Row) -> dict[str, Any]:
    """The row of the index, as `comparable` writes it."""
    return {
        "key": hashlib.sha256(row["url"].encode()).hexdigest()[:20],
        "image_uri": row["url"],
        "captions": [row["caption"]],
        "source_url": row["url"],
        "license": "" if row["license"] == "?" else row["license"],
        "width": 0 if math.isnan(row["width"]) else int(row["width"]),
        "height": 0 if math.isnan(row["height"]) else int(row["height"]),
        "keypoints": [],
        "label_uri": "",
        "scores": [(name, row[name]) for name in SCORES],
        "texts": [],
        "numbers": [],
        "rejected_reason": "",
        "rejected_detail": "",
    }


def comparable(row: Row) -> str:
    """A row of the index as text: NaN equals NaN there, and 1.0 is not 1."""
    return repr(sorted(row.items()))
