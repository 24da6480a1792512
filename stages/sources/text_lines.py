"""The lines of a text file of a collection, one after the other, none of them without bound."""

import io
from collections.abc import Iterator
from contextlib import closing
from typing import cast

from stages.errors import SourceError
from stages.locations import file_system, open_file

MOST_LINE_CHARACTERS = 1 << 20


def read_lines(root: str, name: str, newline: str) -> Iterator[str]:
    """Yield the lines of a UTF-8 file below root with their ends, which are `newline`, or any if that is empty.

    A byte order mark is left out. Raises SourceError if the file cannot be read, is no UTF-8 or has a line of over a
    million characters.
    """
    where = f"{root.rstrip('/')}/{name}"
    files, path = file_system(root)
    try:
        with closing(open_file(files, f"{path}/{name}")) as file:
            text = io.TextIOWrapper(io.BufferedReader(cast(io.RawIOBase, file)), "utf-8-sig", newline=newline)
            number = 0
            while line := text.readline(MOST_LINE_CHARACTERS + 1):
                number += 1
                if len(line) > MOST_LINE_CHARACTERS:
                    raise SourceError(
                        f"{where} line {number} must have at most {MOST_LINE_CHARACTERS} characters, got more; fix it"
                    )
                yield line
    except UnicodeDecodeError as error:
        raise SourceError(f"{where} must be UTF-8, got {error}; write it again") from None
    except OSError as error:
        raise SourceError(f"{where} must be readable, got {error}; fix it and run again") from None
