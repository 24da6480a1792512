"""The `[fetch]` table: how images are fetched from the web. Nothing in it is part of a data set's fingerprint.

What a server answers is a fact of the day, and samples that were lost to one policy may be retried under another
(`--retry-rejected too_large --set fetch.max_bytes=...`), so these settings do not tell one data set from another; the
last ones used are in dataset.json.
"""

import os
from collections.abc import Mapping

from pydantic import Field, field_validator

from stages.settings import Settings
from stages.web.addresses import parse_networks

PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class FetchConfig(Settings):
    """How images are fetched from the web."""

    concurrency: int = Field(default=64, ge=1, le=4096)
    """Connections of one load task at a time; the images in them, up to `max_bytes` each, are held in memory."""
    per_host: int = Field(default=6, ge=1)
    """At most this many of them to the same host."""
    connect_seconds: float = Field(default=10, gt=0)
    """Longest time to find a host's address, to connect and, with https, to agree on keys."""
    read_seconds: float = Field(default=15, gt=0)
    """Longest pause within an answer."""
    total_seconds: float = Field(default=60, gt=0)
    """Longest time for one attempt, from its beginning to the last byte, redirects included."""
    max_bytes: int = Field(default=20_000_000, ge=1)
    """A larger file is rejected, and no more of it than this is received."""
    max_file_bytes: int = Field(default=100_000_000, ge=1)
    """A larger file or label map, member of a tar or image of a row that lies in storage is rejected, and not read."""
    max_redirects: int = Field(default=5, ge=0)
    retries: int = Field(default=2, ge=0)
    """Number of further attempts after a broken connection, a timeout, 429 or 5xx."""
    first_pause_seconds: float = Field(default=1.0, ge=0)
    """Pause before the second attempt; it doubles with each further one, and up to half of it is left out at random."""
    longest_pause_seconds: float = Field(default=30.0, ge=0)
    """A server that asks with Retry-After for a longer pause than this is not asked again in this run."""
    respect_robots: bool = True
    """Reject what a server withholds by an X-Robots-Tag of noai, noimageai, noindex, noimageindex or none."""
    allow_private_hosts: tuple[str, ...] = ()
    """Addresses and networks that may be reached although they are not public: ["10.0.0.7", "fd00::/8"]."""
    proxy: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """A proxy that images are fetched through, such as http://proxy:3128: it looks the names up, so that refusing what
    is not public is up to it. The environment's http_proxy is not used."""
    contact: str = Field(default="", pattern=r"^[!-'*-~]*$")
    """A URL or mail address that every server is told in the user agent: whoever minds can ask you to stop."""

    @field_validator("allow_private_hosts")
    @classmethod
    def _are_networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        parse_networks(texts)
        return texts


def proxy_note(config: FetchConfig, source_is_on_the_web: bool, variables: Mapping[str, str] = os.environ) -> str:
    """Say what a proxy means for a run that fetches from the web; empty if there is none."""
    if not source_is_on_the_web:
        return ""
    if config.proxy:
        return (
            f"fetching through {config.proxy}: it looks up the names, so addresses that are not public are not refused "
            "here; let it refuse them"
        )
    for name in PROXY_VARIABLES:
        if variables.get(name):
            return f"{name} is set and not used, since no address could be refused here then; fetch.proxy sets one"
    return ""
