"""LAION: images that others publish, by their URLs, with captions and scores, as parquet files.

    root/*.parquet ──filters──> ──first of each URL, of each hash──> ──sample──> rows in the order of the files

Listing reads the metadata only, and of that a few batches at a time, so files of any size will do. What stays in memory
is by what duplicates are known: 23 to 46 bytes for each URL, and as much for each hash, of the rows that pass the
filters. Every row that is passed over is counted under the filter that drops it (see stages.sources.index.dropped).
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Annotated, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pydantic import Field

from stages.settings import Mark, Settings
from stages.sources.index.dropped import with_dropped
from stages.sources.index.identities import Flags, IdentitySet, digest_identities
from stages.sources.laion.columns import SCORES, LaionColumns
from stages.sources.laion.files import LaionFile, find_files, read_ahead, read_batches
from stages.sources.laion.filters import LaionFilters, drop, sift, with_tidy_captions
from stages.sources.laion.rows import LISTED, digests, to_index, with_digests
from stages.sources.laion.sample import RandomRows, rank

Files: TypeAlias = tuple[LaionFile, ...]
Counted: TypeAlias = tuple[pa.RecordBatch, Counter[str]]
"""Rows, and how many were dropped by which filter since the rows before."""


class LaionSource(Settings):
    """A subset of LAION, or any other table of URLs and captions."""

    kind: Literal["laion"] = "laion"
    root: Annotated[str, Mark.PLACE]
    """The directory that holds the parquet files, local or any fsspec URL."""
    files: str | tuple[str, ...] = "**/*.parquet"
    """The files below root: one name or several, which may be glob patterns."""
    split: str = "train"
    """The split that these images are."""
    columns: LaionColumns = LaionColumns()
    """The names of the columns, where they are not those of the published sets."""
    filters: LaionFilters = LaionFilters()
    """Which rows are wanted."""
    deduplicate: tuple[Literal["url", "hash"], ...] = ("url",)
    """What makes a row a duplicate of an earlier one; of those that pass the filters the first is taken."""
    sample: int = Field(default=0, ge=0)
    """Take this many of the rows that are left, chosen at random; 0 takes all."""
    seed: int = 0
    """Seed of the random sample."""

    @property
    def base_uri(self) -> str:
        return ""

    @property
    def label_base_uri(self) -> str:
        return self.base_uri

    @property
    def label_offset(self) -> int:
        return 0

    @property
    def lacks_keypoints(self) -> str:
        return f"source.kind = {self.kind}, which has none"

    @property
    def labels(self) -> Mapping[int, str]:
        return {}

    def batches(self) -> Iterator[pa.RecordBatch]:
        needed = {"url": "", "caption": ""} | self.filters.needed()
        if "hash" in self.deduplicate:
            needed["hash"] = "source.deduplicate"
        patterns = (self.files,) if isinstance(self.files, str) else self.files
        files = find_files(self.root, patterns, self.columns, needed)
        scores = [name for name in SCORES if any(name in file.columns for file in files)]
        listed = tuple(dict.fromkeys((*LISTED, *scores)))
        if self.sample:
            found = self._sampled(files, tuple(needed), listed)
        else:
            found = self._distinct(files, tuple(dict.fromkeys((*listed, *needed))))
        with closing(found):
            for rows, counts in found:
                yield with_dropped(to_index(rows, scores), counts)

    def _sampled(self, files: Files, needed: Sequence[str], listed: Sequence[str]) -> Generator[Counted, None, None]:
        """Read all rows to choose those of the sample, then read these."""
        sample, counts = RandomRows(self.sample), Counter[str]()
        with closing(self._distinct(files, needed)) as distinct:
            for rows, dropped in distinct:
                counts.update(dropped)
                counts["not_sampled"] += rows.num_rows
                sample.add(rank(digests(rows), self.seed), rows.column("number").to_numpy())
        chosen = sample.numbers()
        counts["not_sampled"] -= len(chosen)
        with closing(read_ahead(read_batches(files, listed, chosen))) as batches:
            for rows in batches:
                yield with_digests(with_tidy_captions(rows)), counts
                counts = Counter()

    def _distinct(self, files: Files, meanings: Sequence[str]) -> Generator[Counted, None, None]:
        """Read the rows that pass the filters and are no duplicates, with what was dropped."""
        urls, hashes = IdentitySet(), IdentitySet()
        with closing(read_ahead(self._passing(files, meanings))) as passing:
            for rows, counts in passing:
                rows = with_digests(rows)
                if "url" in self.deduplicate:
                    again = urls.add(digest_identities(digests(rows)))
                    rows = drop(rows, [("duplicate_url", again)], counts)
                if "hash" in self.deduplicate:
                    rows = drop(rows, [("duplicate_hash", _add_hashes(rows, hashes))], counts)
                yield rows, counts

    def _passing(self, files: Files, meanings: Sequence[str]) -> Generator[Counted, None, None]:
        for rows in read_batches(files, meanings):
            counts = Counter[str]()
            yield sift(rows, self.filters, counts), counts


def _add_hashes(rows: pa.RecordBatch, hashes: IdentitySet) -> Flags:
    """True for each row whose hash came before; a row without a hash is no duplicate."""
    again: Flags = rows.column("has_hash").to_numpy(zero_copy_only=False).copy()
    identities = np.stack([rows.column("hash_high").to_numpy(), rows.column("hash_low").to_numpy()], axis=1)
    again[again] = hashes.add(identities[again])
    return again
