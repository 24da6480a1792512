"""metadata.jsonl and metadata.csv: captions for the images of a folder, as Hugging Face's imagefolder has them.

    {"file_name": "cats/1.png", "text": "a cat"}        file_name is relative to the metadata's own directory

An image may stand on several lines, each with a caption more.
"""

import csv
import io
import json
from collections.abc import Iterator, Mapping

from stages.errors import SourceError
from stages.sources.caption_text import captions_of_value

METADATA_FILES = ("metadata.jsonl", "metadata.csv")
FILE_COLUMN = "file_name"
CAPTION_COLUMNS = ("text", "caption")


def read_metadata(content: bytes, where: str, caption_column: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (file_name, captions) for each line, in order; captions may be empty.

    The caption is `caption_column`'s, or, if that is empty, the first of `CAPTION_COLUMNS` that the line has: a string
    or, in JSON, a list of them. Raises SourceError, naming the line, if it is not UTF-8 text of that layout.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SourceError(f"{where} must be UTF-8, got {error}; write it again") from None
    lines = _csv_lines(text, where) if where.endswith(".csv") else _json_lines(text, where)
    columns = (caption_column,) if caption_column else CAPTION_COLUMNS
    for number, line in lines:
        name = line.get(FILE_COLUMN)
        if not isinstance(name, str) or not name:
            raise SourceError(f"{where} line {number} must have a {FILE_COLUMN}, got {str(line)[:120]}; fix the line")
        present = [column for column in columns if column in line]
        if not present:
            raise SourceError(
                f"{where} line {number} must have a column {' or '.join(columns)}, got {', '.join(map(repr, line))}; "
                "set source.caption_column"
            )
        yield name, captions_of_value(line[present[0]])


def _json_lines(text: str, where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{where} line {number} must be JSON, got {error}; fix the line") from None
        if not isinstance(fields, dict):
            raise SourceError(f"{where} line {number} must be a JSON object, got {line[:120]}; fix the line")
        yield number, fields


def _csv_lines(text: str, where: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    lines = csv.DictReader(io.StringIO(text, newline=""))
    try:
        for line in lines:
            yield lines.line_num, {str(name): value for name, value in line.items()}
    except csv.Error as error:
        raise SourceError(f"{where} after line {lines.line_num} must be CSV, got {error}; fix it") from None
