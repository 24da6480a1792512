"""What a run that makes a data set or a layer says in the end: its totals, or why it has no sample and what to change.

summary ──samples──> "DIR is complete: ..."
        └─none─────> error: every reason with its count, the first sample's detail, what to change, how to try again
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from stages.errors import SourceError
from stages.records import Reason

if TYPE_CHECKING:
    from pipeline.dataset.storage import Directory
    from pipeline.run import Summary

_NETWORK = "check that this machine reaches the servers"
_FILES = "check source.root and source.split, and that the files are readable here"
_IMAGES = "look at one of the files with an image viewer: they must be images"
ADVICE: Mapping[str, str] = {
    Reason.NO_CAPTION: "check where the source takes its captions from",
    Reason.DUPLICATE_KEY: "check that the source names its images apart",
    Reason.MISSING_FILE: _FILES,
    Reason.EMPTY_FILE: _FILES,
    Reason.NOT_AN_IMAGE: _IMAGES,
    Reason.UNSUPPORTED_FORMAT: _IMAGES,
    Reason.TRUNCATED: "copy or download the files again",
    Reason.TOO_MANY_PIXELS: "set a higher image.max_pixels",
    Reason.TOO_SMALL: "set a lower image.min_size_pixels",
    Reason.ASPECT_RATIO: "set a higher image.max_aspect_ratio, or 0 for none",
    Reason.ANNOTATION_SIZE_MISMATCH: "take the annotations of these very images",
    Reason.MISSING_LABELS: "check where the label maps are, which must bear the names of the images",
    Reason.BAD_LABELS: "take label maps whose pixels are the numbers of categories",
    Reason.NO_PERSON: "set a lower min_persons",
    Reason.NO_EDGES: "set a lower min_edges",
    Reason.FLAT_DEPTH: "set a lower min_range",
    Reason.INVALID_URL: "check the column of URLs",
    Reason.DNS: _NETWORK,
    Reason.CONNECT: _NETWORK,
    Reason.TIMEOUT: f"{_NETWORK}, or set a longer fetch.total_seconds",
    Reason.REFUSED_ADDRESS: "if you trust these hosts, list them in fetch.allow_private_hosts",
    Reason.TOO_MANY_REDIRECTS: "set a higher fetch.max_redirects",
    Reason.HTTP_404: "the links are dead: take a newer list",
    Reason.HTTP_410: "the links are dead: take a newer list",
    Reason.HTTP_429: "set a lower fetch.per_host",
    Reason.OPTED_OUT: "these sites refuse such use by robots.txt; take another source",
    Reason.TOO_LARGE: "set a higher fetch.max_bytes",
}
"""What to change for a reason, where there is something."""
RETRIED_AFTER_A_CHANGE = frozenset(
    {Reason.MISSING_FILE, Reason.EMPTY_FILE, Reason.TRUNCATED, Reason.MISSING_LABELS}
    | {Reason.DNS, Reason.CONNECT, Reason.TIMEOUT, Reason.REFUSED_ADDRESS, Reason.TOO_MANY_REDIRECTS}
    | {Reason.HTTP_404, Reason.HTTP_410, Reason.HTTP_429, Reason.HTTP_4XX, Reason.HTTP_5XX}
    | {Reason.BAD_RESPONSE, Reason.OPTED_OUT, Reason.TOO_LARGE}
)
"""What is changed outside of the fingerprint, so that the same directory may try again."""
_DETAIL_BYTES = 4096


def report(directory: "Directory", summary: "Summary") -> None:
    """Say what a run did; SourceError if the result has no sample, since nobody wants to find that out in training."""
    totals = summary.manifest.totals
    reasons = ", ".join(f"{count} {reason}" for reason, count in totals.rejected_by_reason.items())
    if not totals.samples:
        raise SourceError(
            f"{directory} must have samples, got {totals.rejected} candidates that were all rejected ({reasons})"
            f"{_first_rejection(directory)}; {advice(totals.rejected_by_reason)}"
        )
    rejected = f"{totals.rejected} rejected ({reasons})" if reasons else "none rejected"
    done = f"{totals.samples} samples in {totals.shards} shards, {rejected}"
    speed = f"; {summary.images_per_second:.1f} img/s" if summary.images_per_second else ""
    if summary.shards_made == 0:
        print(f"{directory} is complete already: {done}")
    else:
        print(f"{directory} is complete: {done}{speed}")


def advice(rejected_by_reason: Mapping[str, int]) -> str:
    """Say what to change for the reason that most were rejected for, and how to try again."""
    most = max(rejected_by_reason, key=lambda reason: rejected_by_reason[reason], default="")
    change = ADVICE.get(most, "look at its rejected.jsonl")
    if most in RETRIED_AFTER_A_CHANGE:
        return f"{change}, and run again with --retry-rejected {most}"
    return f"{change}, then remove this directory and run again"


def _first_rejection(directory: "Directory") -> str:
    from pipeline.dataset.manifest import REJECTED_FILE

    line = directory.read_range(REJECTED_FILE, 0, _DETAIL_BYTES).partition(b"\n")[0]
    try:
        first = json.loads(line)
    except ValueError:  # a detail longer than that: the counts must do
        return ""
    return f", the first, {first['key']}: {first['detail']}"
