"""Paths of training, which lie on this machine: a run is written in many small steps, an adapter is read at once.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

import re
from pathlib import Path

import typer

URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/+(?P<rest>.*)")
"""As a `Path` has it: with one slash where there were two."""


def local(parameter: typer.CallbackParam, value: Path | list[Path] | None) -> Path | list[Path] | None:
    """Take the value of an option or argument; ConfigError for a URL, which would become a directory of that name."""
    from stages.errors import ConfigError

    for path in value if isinstance(value, list) else [value]:
        if path is not None and (found := URL.fullmatch(str(path))):
            name = parameter.opts[0] if parameter.param_type_name == "option" else str(parameter.name).upper()
            raise ConfigError(
                f"{name} must be a path on this machine, got {found['scheme']}://{found['rest']}; give a local one, "
                "and copy what is there"
            )
    return value
