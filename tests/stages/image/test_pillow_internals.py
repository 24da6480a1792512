"""What Pillow does not document is still as it was."""

import io

import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from stages.image.pillow_internals import format_by_signature, ran_out_of_data, scan_start
from tests.stages.library_changes import taken_from

BY = "stages/image/pillow_internals.py"


def encoded(format_name: str) -> bytes:
    file = io.BytesIO()
    Image.effect_noise((64, 48), 50).convert("RGB").save(file, format_name)
    return file.getvalue()


@pytest.mark.parametrize("format_name", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP"])
def test_a_format_is_known_by_its_signature(format_name: str) -> None:
    with taken_from("pillow", by=BY):
        assert format_by_signature(encoded(format_name)) == format_name


@pytest.mark.parametrize("data", [b"", b"\0", b"<!DOCTYPE html>"])
def test_other_data_has_no_signature(data: bytes) -> None:
    with taken_from("pillow", by=BY):
        assert format_by_signature(data) == ""


@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize(("format_name", "opener"), [("JPEG", JpegImageFile), ("PNG", PngImageFile)])
def test_the_error_of_a_file_that_was_cut_off_says_so(
    format_name: str, opener: type[JpegImageFile | PngImageFile], share: float
) -> None:
    data = encoded(format_name)
    with taken_from("pillow", by=BY):
        with pytest.raises(OSError) as caught:  # noqa: PT011  its words are what is tested
            opener(io.BytesIO(data[: int(len(data) * share)])).load()
        assert ran_out_of_data(caught.value)


def test_the_error_of_a_damaged_file_says_something_else() -> None:
    damaged = bytearray(encoded("PNG"))
    damaged[damaged.index(b"IDAT") + 30] ^= 0xFF
    with pytest.raises(OSError) as caught:  # noqa: PT011  its words are what is tested
        PngImageFile(io.BytesIO(damaged)).load()
    assert not ran_out_of_data(caught.value)


def test_an_opened_jpeg_stands_at_its_first_scan() -> None:
    data = encoded("JPEG")
    with taken_from("pillow", by=BY):
        start = scan_start(JpegImageFile(io.BytesIO(data)))
        header = data.index(b"\xff\xda")
        assert start == header + 2 + int.from_bytes(data[header + 2 : header + 4])
        assert scan_start(PngImageFile(io.BytesIO(encoded("PNG")))) == 0
