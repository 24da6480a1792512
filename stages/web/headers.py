"""Two headers that ask something of us: X-Robots-Tag, not to use what was sent, and Retry-After, to come back later."""

import re
from collections.abc import Iterable
from email.utils import mktime_tz, parsedate_tz

OPT_OUTS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none"})
"""Directives that withhold an image from a data set; "none" is short for "noindex, nofollow"."""

VALUED = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives that are followed by a colon and a value, as only the name of a robot is otherwise."""

_ROBOT = re.compile(r"[a-z*][a-z0-9*/._-]*")


def find_opt_out(tags: Iterable[str], robot: str) -> str:
    """Return the first directive in X-Robots-Tag headers by which an image is withheld from `robot`; empty if none.

    A tag is a list of directives for everyone, "noai, noimageai", or for one robot, "condset: noai", which then holds
    to the end of the tag or the next robot's name. Letter case does not matter.
    """
    for tag in tags:
        is_for_us = True
        for part in tag.lower().split(","):
            name, colon, rest = (each.strip() for each in part.partition(":"))
            if colon and name not in VALUED and _ROBOT.fullmatch(name):
                is_for_us = name in (robot, "*")
                name = rest
            if is_for_us and name in OPT_OUTS:
                return name
    return ""


def parse_retry_after(value: str, now_seconds: float) -> float | None:
    """Return the seconds that a Retry-After header asks to wait, 0 or more; None if it says nothing that can be read.

    `value` is a whole number of seconds or a date (RFC 9110, 10.2.3); `now_seconds` is the time of the epoch.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:12])
    date = parsedate_tz(value)
    if date is None:
        return None
    try:
        return max(0.0, mktime_tz(date) - now_seconds)
    except (ValueError, OverflowError):
        return None
