import io

import numpy as np
import pytest

from stages.image.arrays import read_npy


def npy(values: object, **settings: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(values), **settings)  # type: ignore[arg-type]
    return file.getvalue()


def claiming(shape: tuple[int, ...], descr: str = "<f4") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + bytes(64)


@pytest.mark.parametrize("values", [np.arange(6, dtype=np.float32), np.zeros((2, 3), np.float16), np.float64(3), []])
def test_what_was_written_is_read(values: object) -> None:
    read = read_npy(npy(values))
    np.testing.assert_array_equal(read, np.asarray(values))
    assert read.dtype == np.asarray(values).dtype


@pytest.mark.parametrize(
    "content",
    [
        *(claiming(shape) for shape in [(10**13,), (10**30,), (17,), (-1,), (2**62, 4)]),
        claiming((1,), "|O"),
        npy({"a": 1}, allow_pickle=True),
        npy([1.0])[:-1],
        npy([1.0])[:40],
        b"\x93NUMPY\x01\x00\x10\x00" + b"(" * 16,
        b"no array",
        b"",
    ],
)
def test_what_is_no_array_or_claims_more_than_there_is_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"^array must be (a \.npy file|of numbers that are there), got "):
        read_npy(content)
