"""metadata.jsonl, .csv and .parquet: captions for the images of a folder, as Hugging Face's imagefolder has them.

    {"file_name": "cats/1.png", "text": "a cat"}        file_name is relative to the metadata's own directory

An image may stand on several lines, each with a caption more. A line that has too many fields or too few is an error: a
comma without quotes would lose the rest of a caption.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from contextlib import closing

import pyarrow as pa
import pyarrow.parquet as pq

from stages.errors import SourceError
from stages.locations import file_system, open_file
from stages.sources.arrow_texts import without_long_texts
from stages.sources.caption_text import captions_of_value
from stages.sources.text_lines import read_lines

METADATA_FILES = ("metadata.jsonl", "metadata.csv", "metadata.parquet")
FILE_COLUMN = "file_name"
CAPTION_COLUMNS = ("text", "caption")


def read_metadata(root: str, name: str, caption_column: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (file_name, captions) for each line of a file below root, in order; captions may be empty.

    The caption is `caption_column`'s, or, if that is empty, the first of `CAPTION_COLUMNS` that the line has: a text
    or, in JSON and parquet, a list of them. Raises SourceError, naming the line, if it is not of that layout.
    """
    where = f"{root.rstrip('/')}/{name}"
    columns = (caption_column,) if caption_column else CAPTION_COLUMNS
    if name.endswith(".csv"):
        lines = _csv_lines(read_lines(root, name, ""), where)
    elif name.endswith(".parquet"):
        lines = _rows(root, name, where, columns)
    else:
        lines = _json_lines(read_lines(root, name, "\n"), where)
    for number, line in lines:
        file_name = line.get(FILE_COLUMN)
        if not isinstance(file_name, str) or not file_name:
            got = str(line)[:120]
            raise SourceError(f"{where} line {number} must have a {FILE_COLUMN}, got {got}; fix the line")
        present = [column for column in columns if column in line]
        if not present:
            raise SourceError(
                f"{where} line {number} must have a column {' or '.join(columns)}, got {', '.join(map(repr, line))}; "
                "set source.caption_column"
            )
        yield file_name, captions_of_value(line[present[0]])


def _json_lines(lines: Iterator[str], where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where} line {number} must be JSON, got {error}; fix the line") from None
        if not isinstance(fields, dict):
            raise SourceError(f"{where} line {number} must be a JSON object, got {line.strip()[:120]}; fix the line")
        yield number, fields


def _csv_lines(lines: Iterator[str], where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    table = csv.reader(lines, strict=True)
    header: list[str] | None = None
    last = 0
    try:
        for fields in table:
            number, last = last + 1, table.line_num
            if not fields:
                continue
            if header is None:
                header = fields
                if len({*header}) < len(header):
                    raise SourceError(f"{where} line {number} must name each column once, got {header}; rename one")
            elif len(fields) != len(header):
                raise SourceError(
                    f"{where} line {number} must have {len(header)} fields as its header has, got {len(fields)}; put "
                    "quotes around a field that has a comma, a quote or a line break"
                )
            else:
                yield number, dict(zip(header, fields, strict=True))
    except csv.Error as error:
        raise SourceError(f"{where} after line {last} must be CSV, got {error}; fix it") from None


def _rows(root: str, name: str, where: str, columns: tuple[str, ...]) -> Iterator[tuple[int, Mapping[str, object]]]:
    files, path = file_system(root)
    try:
        with closing(open_file(files, f"{path}/{name}")) as file, pq.ParquetFile(file) as parquet:
            wanted = [each for each in parquet.schema_arrow.names if each in (FILE_COLUMN, *columns)]
            number = 0
            for batch in parquet.iter_batches(4096, columns=wanted, use_threads=False):
                texts = [without_long_texts(batch.column(each)) for each in wanted]
                for row in pa.RecordBatch.from_arrays(texts, wanted).to_pylist():
                    number += 1
                    yield number, row
    except (OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise SourceError(f"{where} must be a readable parquet file, got {reason}; write it again") from None
