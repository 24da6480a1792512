"""Says which library has changed what condset takes from it without a promise of its authors."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

import pytest


@contextmanager
def taken_from(*libraries: str, by: str) -> Iterator[None]:
    """Name the libraries with their versions, and the one module of ours to adapt, if the block fails."""
    try:
        yield
    except Exception as error:  # noqa: BLE001  whatever a changed library makes of it
        named = " or ".join(f"{library} {version(library)}" for library in libraries)
        pytest.fail(f"{named} has changed what {by} takes from it: {type(error).__name__}: {error}")
