"""A JSON file of a collection, read whole and yet within bounds.

Such a file may have hundreds of megabytes of many small entries, and a single text of that size would take several
times as much again: so the file is looked through first, in pieces, for a text that is too long to mean anything.
"""

import json
import re
from pathlib import Path

from stages.errors import SourceError
from stages.locations import open_regular

PIECE_BYTES = 1 << 20
MOST_BYTES = 2 << 30
"""COCO's largest file has 470 MB."""
_ESCAPED = re.compile(rb"\\.", re.DOTALL)


def read_json(path: Path, what: str, advice: str) -> object:
    """Read a JSON file in UTF-8, with or without a byte order mark.

    Raises SourceError if it is not there, is no JSON, or has a text (or a stretch without any) of over a megabyte.
    """
    try:
        with open_regular(path) as file:
            size = 0
            while piece := file.read(PIECE_BYTES):
                size += len(piece)
                is_whole = len(piece) == PIECE_BYTES
                if size > MOST_BYTES or (is_whole and b'"' not in _ESCAPED.sub(b"", piece)):
                    raise SourceError(
                        f"{path} must have at most {MOST_BYTES} bytes and no text of over {PIECE_BYTES}, got more by "
                        f"byte {size}; download it again"
                    )
            file.seek(0)
            return json.loads(file.read().decode("utf-8-sig"))
    except FileNotFoundError:
        raise SourceError(f"{path} must be {what}, got no file; {advice}") from None
    except OSError as error:
        raise SourceError(f"{path} must be readable, got {error}; fix its permissions or the storage") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} must be JSON, got {error}; download it again") from None
