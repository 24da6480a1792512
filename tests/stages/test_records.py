from stages.records import Reason, Rejection


def detail(text: str) -> str:
    return Rejection("key", Reason.MISSING_FILE, text).detail


def test_a_detail_is_one_short_line_that_says_where_it_was_cut() -> None:
    assert detail("a file of 5 bytes, gr\u00fcn") == "a file of 5 bytes, gr\u00fcn"
    assert detail("x" * 200) == "x" * 200
    picture = "must be a file, got data:image/png;base64," + "iVBOR" * 100_000 + "; fix it"
    assert len(detail(picture)) == 200
    assert detail(picture).startswith("must be a file, got data:image/png;base64,iVBOR")
    assert " ... (500050 characters, cut) ... " in detail(picture)
    assert detail(picture).endswith("; fix it")


def test_a_detail_can_be_printed_and_written() -> None:
    assert detail("a\nb\x1b[2J\ud800") == r"a\nb\x1b[2J\ud800"
    assert len(detail("\x1b" * 150)) == 200
