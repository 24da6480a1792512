"""Threads that say what they do, and one that asks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from stages.hardware.activity import activities, doing


def test_a_thread_does_what_it_says_within_the_block_and_before_it_what_it_did_before() -> None:
    me = threading.get_ident()
    assert me not in activities()
    with doing("annotating"):
        with doing("decoding"):
            assert activities()[me] == "decoding"
        assert activities()[me] == "annotating"
    assert me not in activities()


def test_an_error_ends_the_activity() -> None:
    with pytest.raises(ValueError, match="broken"), doing("decoding"):
        raise ValueError("broken")
    assert threading.get_ident() not in activities()


def test_a_function_can_be_an_activity_and_each_thread_has_its_own() -> None:
    @doing("decoding")
    def decode() -> dict[int, str]:
        return activities()

    with doing("annotating"), ThreadPoolExecutor(1) as pool:
        seen = pool.submit(decode).result()
    assert sorted(seen.values()) == ["annotating", "decoding"]
