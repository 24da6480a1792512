"""What a source is: a frozen table of settings that knows how to list itself, without reading a pixel."""

from collections.abc import Iterator, Mapping
from typing import Protocol

import pyarrow as pa


class Source(Protocol):
    """The `[source]` table of a configuration."""

    @property
    def kind(self) -> str: ...

    @property
    def split(self) -> str:
        """The split that the data set's directory holds: train, val2017, ..."""
        ...

    @property
    def base_uri(self) -> str:
        """What the image URIs of the index are relative to; empty if they are absolute."""
        ...

    @property
    def label_base_uri(self) -> str:
        """What the label URIs of the index are relative to."""
        ...

    @property
    def label_offset(self) -> int:
        """What to add to the pixels of a label map, modulo 256, to get category ids (0 = unlabelled)."""
        ...

    @property
    def lacks_keypoints(self) -> str:
        """Why its rows have no annotated persons, and what to do about it; empty if they have."""
        ...

    @property
    def labels(self) -> Mapping[int, str]:
        """Category id to name of the label maps; empty if the source has none."""
        ...

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the candidates in batches of stages.sources.index.schema.SCHEMA.

        The same rows in the same order every time. Raises SourceError, naming the file, if the collection cannot be
        listed; a candidate that cannot be used is listed with its rejection. A batch's schema metadata may count the
        rows that were passed over since the batch before (`stages.sources.index.dropped`).
        """
        ...
