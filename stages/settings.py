"""The base of every table of a configuration file: frozen, and a misspelt key is an error, not a default."""

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """A frozen table of settings; the string under each field is its description."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
