"""The names of label maps' categories, as a file of `<category id>: <name>` lines: COCO-Stuff's labels.txt is one."""

import re

from stages.errors import SourceError
from stages.locations import file_system, read_bytes
from stages.sources.caption_text import MOST_TEXT_BYTES

HIGHEST_ID = 255


def read_label_names(location: str, advice: str) -> dict[int, str]:
    """Read category id to name from a local file or any fsspec URL; `advice` is where another one comes from.

    Raises SourceError if the file is not there, is not UTF-8 or has a line that is none of `<id>: <name>`.
    """
    files, path = file_system(location)
    try:
        content = read_bytes(files, path, None, MOST_TEXT_BYTES + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise SourceError(f"{location} must list the categories, got no file; {advice}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{location} must be readable text in UTF-8, got {error}; {advice}") from None
    if len(content) > MOST_TEXT_BYTES:
        raise SourceError(f"{location} must have at most {MOST_TEXT_BYTES} bytes, got more; {advice}")
    labels: dict[int, str] = {}
    for line in filter(None, map(str.strip, lines)):
        match = re.fullmatch(r"(\d{1,3}): (.+)", line)
        if match is None or int(match[1]) > HIGHEST_ID:
            raise SourceError(f"{location} lines must be `<category id>: <name>`, got {line[:120]!r}; {advice}")
        if int(match[1]) in labels:
            raise SourceError(f"{location} lines must each have an id of their own, got {match[1]} twice; {advice}")
        labels[int(match[1])] = match[2]
    return labels
