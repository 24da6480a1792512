"""Warnings are silent inside, and the process's filters are untouched outside, whatever the threads do."""

import io
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from stages.hardware.warning_filters import Ignored, warnings_ignored
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


def test_a_warning_is_told_by_its_text_and_category() -> None:
    with warnings_ignored(Ignored("old .* name", FutureWarning)):
        warnings.warn("old but good name", FutureWarning, stacklevel=1)
        with pytest.raises(FutureWarning, match="another"):
            warnings.warn("another", FutureWarning, stacklevel=1)
        with pytest.raises(UserWarning, match="old but good name"):
            warnings.warn("old but good name", stacklevel=1)


def test_all_warnings_are_ignored_if_nothing_is_said_of_them() -> None:
    with warnings_ignored(Ignored()):
        warnings.warn("anything", FutureWarning, stacklevel=1)


def test_what_one_thread_ignores_is_ignored_until_its_own_end_whatever_others_leave() -> None:
    """A network is run while another thread decodes images: each filter outlives the other's block."""
    decoding, running = threading.Event(), threading.Event()

    def decode() -> None:
        with pillow_warnings_ignored():
            decoding.set()
            assert running.wait(300)

    before = list(warnings.filters)
    with ThreadPoolExecutor(1) as decoder:
        ended = decoder.submit(decode)
        assert decoding.wait(300)
        with warnings_ignored(Ignored(category=FutureWarning)):
            running.set()
            ended.result()
            warnings.warn("of the network", FutureWarning, stacklevel=1)
    assert warnings.filters == before


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
    with pytest.raises(ZeroDivisionError), warnings_ignored(Ignored()):
        1 / 0  # noqa: B018
    assert warnings.filters == before
