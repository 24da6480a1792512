import math

import pytest

from stages.sources.caption_text import caption_of_file, captions_of_value
from stages.sources.values import identity, pixels_of_value, text_of_value


@pytest.mark.parametrize("value", [139, 139.0, "139", "000000000139", b"139"])
def test_one_id_is_one_id(value: object) -> None:
    assert identity(value) == 139


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *[("a1", "a1"), ("²", "²"), ("-1", "-1"), (-1, -1), (True, None), (None, None), ("", None), (1.5, None)],
        *[(math.nan, None), (math.inf, None), ([1], None), ("\ud800", None), ("9" * 30, "9" * 30)],
    ],
)
def test_other_ids_are_texts_or_none(value: object, expected: object) -> None:
    assert identity(value) == expected


@pytest.mark.parametrize(
    ("value", "captions"),
    [
        (" a  cat\n", ("a cat",)),
        (b"a cat", ("a cat",)),
        ("é".encode(), ("é",)),
        (b"\xff", ()),
        (["a", b"b", None, 3, "", "\ud800"], ("a", "b")),
        (("a", "b"), ("a", "b")),
        ([["a"]], ()),
        ("x" * 9_000, ()),
        (["x" * 40_000, "a"], ("a",)),
        (None, ()),
        (math.nan, ()),
        (5, ()),
        ({"raw": "a"}, ()),
        (["a"] * 1000, ("a",) * 1000),
        (["a"] * 1001, ()),
        (["x" * 5_900] * 12, ()),
    ],
)
def test_captions_are_read_in_one_way(value: object, captions: tuple[str, ...]) -> None:
    assert captions_of_value(value) == captions
    if isinstance(value, bytes):
        assert caption_of_file(value) == captions


def test_texts_and_sizes() -> None:
    texts = ["CC", b"CC", 4, 2.5, None, True, math.nan, [], "\ud800"]
    assert [text_of_value(value) for value in texts] == ["CC", "CC", "4", "2.5", "", "", "", "", ""]
    sizes = [640, "640", 640.0, 0, -1, "x", None, math.nan, 2**31, True]
    assert [pixels_of_value(value) for value in sizes] == [640, 640, 640, 0, 0, 0, 0, 0, 0, 0]
