"""`~` in what is typed: the shell expands it in `--out ~/data`, but neither in `--out=~/data` nor within quotes.

--out=~/data  ──> --out=/home/ann/data
"""

import re
from collections.abc import Sequence

from stages.locations import with_home

_PATH = re.compile(r"(?P<option>--[a-z-]+=)?(?P<path>~[^/\s]*(/.*)?)", re.DOTALL)


def expand_home(arguments: Sequence[str]) -> list[str]:
    """Expand `~` and `~user` at the beginning of arguments and of options' values; a sentence that has one stays."""
    return [_expanded(argument) for argument in arguments]


def _expanded(argument: str) -> str:
    match = _PATH.fullmatch(argument)
    return (match["option"] or "") + with_home(match["path"]) if match else argument
