"""Names that come with the data: keys from them, and the ones that no name may be.

A name is only ever a place below its root or in its tar. What climbs out of it, cannot be a file's name or cannot be
written into the index is refused, whoever wrote it: a source when it lists, and `stages.fetch` again when it reads. A
link that lies below the root is followed wherever it leads: whoever made the directory has put it there.
"""

import hashlib
import re

KEY_DIGITS = 20

_DRIVE = re.compile(r"[A-Za-z]:[/\\]")
_SEPARATOR = re.compile(r"[/\\]")


def hashed_key(name: str) -> str:
    """Make a key of a name: the first 20 hex digits of the sha256 of its UTF-8."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:KEY_DIGITS]


def normal_name(name: str) -> str | None:
    """Return a relative name with single slashes and without `.` parts; None if it must be refused.

    Refused are absolute names, those of Windows among them, `..` parts, bytes that are no UTF-8 (surrogates) and NUL. A
    backslash may be part of a file's name, and yet nothing that it would separate on Windows climbs out.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or name.startswith(("/", "\\")) or _DRIVE.match(name) or "\0" in name or not is_unicode(name):
        return None
    return None if ".." in _SEPARATOR.split(name) else "/".join(parts)


def written_name(name: str) -> str | None:
    """Read a name as `normal_name` does, out of a file that may come from Windows, where a backslash separates."""
    return normal_name(name.replace("\\", "/"))


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: it holds no lone surrogate, as undecodable bytes and JSON may give."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
