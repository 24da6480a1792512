from email.utils import formatdate

import pytest

from stages.web.headers import find_opt_out, parse_retry_after

NOW = 1_800_000_000.0


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ([], ""),
        (["noai"], "noai"),
        (["NoAI, NoImageAI"], "noai"),
        (["nofollow, noimageai"], "noimageai"),
        (["noindex"], "noindex"),
        (["noimageindex , nosnippet"], "noimageindex"),
        (["none"], "none"),
        (["all"], ""),
        (["nofollow", "noarchive", "noai"], "noai"),
        (["noaim, xnoai, no ai"], ""),
        (["condset: noai"], "noai"),
        (["CondSet:noimageai"], "noimageai"),
        (["*: noindex"], "noindex"),
        (["googlebot: noindex, noai"], ""),
        (["googlebot: noindex, condset: noai"], "noai"),
        (["googlebot: noindex", "noai"], "noai"),
        (["condset-images: noai"], ""),
        (["max-image-preview: none, max-snippet: 20"], ""),
        (["unavailable_after: 25 Jun 2030 15:00:00 PST, noai"], "noai"),
        (["unavailable_after: Saturday, 25-Jun-2030 15:00:00 PST, noai"], "noai"),
        ([": , :: noai", "", ","], ""),
    ],
)
def test_an_opt_out_is_found_where_it_is_meant_for_us(tags: list[str], found: str) -> None:
    assert find_opt_out(tags, "condset") == found


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("9" * 5000, 999_999_999_999.0),
        (formatdate(NOW + 90, usegmt=True), 90.0),
        (formatdate(NOW - 90, usegmt=True), 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),
        ("Fri, 31 Dec 9999999 23:59:59 GMT", None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("soon", None),
    ],
)
def test_a_wish_to_wait_is_read_in_seconds_and_as_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds
