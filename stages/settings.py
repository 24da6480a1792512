"""The base of every table of a configuration file: frozen, and a misspelt key is an error, not a default.

A field says itself if its value is no part of what is made: `root: Annotated[str, Mark.PLACE]`.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, model_validator

from stages.locations import with_home


class Settings(BaseModel):
    """A frozen table of settings; the string under each field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _places_in_the_home(cls, table: object) -> object:
        """Expand `~` in places."""
        if not isinstance(table, dict):
            return table
        places = {name for name, field in cls.model_fields.items() if Mark.PLACE in field.metadata}
        return table | {
            name: with_home(value) for name, value in table.items() if name in places and isinstance(value, str)
        }


class Mark(StrEnum):
    """Why a setting is no part of what is made; written into the field's annotation."""

    PLACE = "place"
    """Where something lies: a path, a hub id. What lies there counts, by its hash."""
    MANNER = "manner"
    """How it is computed, watched or kept: dtype, device, threads, workers, how often something is logged."""


AnySettings = TypeVar("AnySettings")


def plain(settings: object) -> dict[str, Any]:
    """Turn a table of settings into plain values under the names that its TOML uses."""
    assert isinstance(settings, Settings), "every config class is a table of settings"
    return settings.model_dump(mode="json", by_alias=True)


def marks(settings: object, name: str = "") -> dict[str, Mark]:
    """Find the marked settings in a table and those below it: dotted name, as in TOML, to mark."""
    return dict(_marks(settings, f"{name}." if name else ""))


def _marks(value: object, prefix: str) -> Iterator[tuple[str, Mark]]:
    if isinstance(value, tuple):
        for position, each in enumerate(value):
            yield from _marks(each, f"{prefix}{position}.")
    if not isinstance(value, Settings):
        return
    for name, field in type(value).model_fields.items():
        key = prefix + (field.serialization_alias or name)
        mark = next((each for each in field.metadata if isinstance(each, Mark)), None)
        if mark:
            yield key, mark
        else:
            yield from _marks(getattr(value, name), f"{key}.")


def changed(settings: AnySettings, **changes: object) -> AnySettings:
    """Return the same table with some settings changed, checked again."""
    return type(settings)(**plain(settings) | changes)
