"""The base of every table of a configuration file: frozen, and a misspelt key is an error, not a default."""

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen table of settings; the string under each field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


AnySettings = TypeVar("AnySettings")


def plain(settings: object, leave_out: frozenset[str] = frozenset()) -> dict[str, Any]:
    """Turn a table of settings into plain values under the names that its TOML uses."""
    assert isinstance(settings, Settings), "every config class is a table of settings"
    return settings.model_dump(mode="json", by_alias=True, exclude=set(leave_out))


def changed(settings: AnySettings, **changes: object) -> AnySettings:
    """Return the same table with some settings changed, checked again."""
    return type(settings)(**plain(settings) | changes)
