"""Archives from another place than their publisher's: a mirror has them by their names, perhaps with sums of its own.

Whoever mirrors the published archives needs no sums: the published ones hold. A mirror of something smaller, such as a
hundred photographs for a course, gives a file as `sha256sum *.zip` writes it.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from stages.collections.catalogue import Archive
from stages.errors import ConfigError

_LINE = re.compile(r"([0-9a-f]{64}) [ *](?:.*/)?([^/]+)")


def from_mirror(archive: Archive, base_url: str) -> Archive:
    """Return the same archive at `base_url`/<its name>; ConfigError if that is no http or https URL."""
    if not base_url.startswith(("http://", "https://")):
        raise ConfigError(
            f"--mirror must be an http or https URL below which the archives lie, got {base_url!r}; archives on this"
            " machine go into --out as they are"
        )
    return replace(archive, url=f"{base_url.rstrip('/')}/{archive.name}")


def with_sums(archive: Archive, sums: Mapping[str, str]) -> Archive:
    """Return the archive as somebody's own, if `sums` names it: held to that sum, and to nothing that is published."""
    if archive.name not in sums:
        return archive
    folders = tuple(replace(folder, files=None) for folder in archive.folders)
    return replace(archive, sha256=sums[archive.name], is_exact=False, folders=folders)


def read_sums(path: Path) -> dict[str, str]:
    """Read `<sha256>  <file>` lines: file name to sum. ConfigError if there is no such file or it has other lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--sums must be a file that sha256sum wrote, got {error}; correct the path") from None
    sums = {}
    for line in filter(None, map(str.strip, lines)):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ConfigError(f"{path} lines must be `<sha256>  <file>`, got {line!r}; write it with sha256sum")
        sums[match[2]] = match[1]
    return sums
