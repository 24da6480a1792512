"""What was read from JSON into a dataclass: does each field hold what its annotation says?

JSON has no types of its own, so a damaged or hand-edited file can put text where a number belongs; that is to be said
in one line where the file is read, not to crash wherever the number is used.
"""

from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json


def mistyped(value: Any) -> str:
    """Name the first field of a dataclass that holds another type than its annotation, and what it holds.

    Looks into nested dataclasses, tuples and mappings. Nothing is converted: "5" and 5.0 are no integers, and text with
    half a surrogate pair, which JSON can write, is no text. Returns an empty string if all is well.
    """
    try:
        adapter = _adapter(type(value))  # type: ignore[arg-type]  # mypy takes a class for unhashable
        adapter.validate_json(to_json(value), strict=True)
    except PydanticSerializationError as error:
        return str(error)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        got = repr(first["input"])[:60]
        return f"{name} = {got}: {first['msg']}"
    return ""


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)
