"""The table of defects: every way of damaging a data set that verify must name, in order from the outside in."""

from collections.abc import Callable
from types import ModuleType
from typing import TypeAlias

from tests.pipeline.verify import (
    defects_in_conditions,
    defects_in_data_set,
    defects_in_members,
    defects_in_samples,
    defects_in_shards,
)
from tests.pipeline.verify.damage import Copy, Said

Defect: TypeAlias = Callable[[Copy], Said]


def _of(module: ModuleType) -> list[Defect]:
    """The public functions that a module defines, in its order."""
    return [
        function
        for name, function in vars(module).items()
        if callable(function) and not name.startswith("_") and getattr(function, "__module__", "") == module.__name__
    ]


DEFECTS = [
    *_of(defects_in_data_set),
    *_of(defects_in_shards),
    *_of(defects_in_samples),
    *_of(defects_in_members),
]
"""What verify must find without computing anything again."""

DEEP_DEFECTS = _of(defects_in_conditions)
"""What only --deep can find: every file is sound, and pixels or numbers do not follow from the stored image."""
