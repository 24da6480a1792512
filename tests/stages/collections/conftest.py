"""A server with small archives of the published shape."""

from collections.abc import Iterator

import pytest

from tests.file_server import FileServer, serve_files
from tests.stages.collections.small_archives import ARCHIVES


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serve_files(dict(ARCHIVES)) as server:
        yield server
