from PIL import Image

from stages.sources.image_suffixes import IMAGE_SUFFIXES

NO_PICTURES = {".bufr", ".grib", ".h5", ".hdf", ".iim", ".mpg", ".mpeg", ".wmf", ".emf"}
"""Pillow knows these formats by name only, or on Windows only."""


def test_every_suffix_that_pillow_opens_is_listed() -> None:
    Image.init()
    opened = {suffix for suffix, name in Image.registered_extensions().items() if name in Image.OPEN}
    assert opened - NO_PICTURES <= IMAGE_SUFFIXES
