"""Pillow's warnings are silent inside, and the process's filters are untouched outside, whatever the threads do."""

import io
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from stages.image.pillow_warnings import pillow_warnings_ignored


def _file_with_corrupt_exif() -> bytes:
    file = io.BytesIO()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x02\x01\x12\0\x03\0\0\0\x09\xff\xff\xff\xff"
    Image.new("RGB", (8, 8)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def _read_exif(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.getexif()


def test_pillow_warns_of_corrupt_exif_data() -> None:
    with pytest.warns(UserWarning, match="Truncated|Corrupt|larger than"):
        _read_exif(_file_with_corrupt_exif())


def test_its_warnings_are_ignored_inside_though_they_would_be_errors() -> None:
    with pillow_warnings_ignored():
        _read_exif(_file_with_corrupt_exif())


def test_other_warnings_pass() -> None:
    with pillow_warnings_ignored(), pytest.raises(UserWarning, match="not Pillow's"):
        warnings.warn("not Pillow's", stacklevel=1)


def test_threads_leave_the_filters_as_they_were() -> None:
    data = _file_with_corrupt_exif()
    before = list(warnings.filters)

    def read_quietly(_: int) -> None:
        with pillow_warnings_ignored():
            _read_exif(data)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(read_quietly, range(200)))
    assert warnings.filters == before


def test_an_exception_leaves_the_filters_as_they_were() -> None:
    before = list(warnings.filters)
    with pytest.raises(ZeroDivisionError), pillow_warnings_ignored():
        1 / 0  # noqa: B018
    assert warnings.filters == before
