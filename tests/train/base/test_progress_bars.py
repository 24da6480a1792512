"""Progress bars are hidden while networks are loaded, and shown again as before."""

import pytest
from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars  # type: ignore[attr-defined]  # its stubs hide what it documents
from transformers.utils import logging

from train.base.progress_bars import progress_bars_hidden


def shown() -> tuple[bool, bool]:
    """Whether transformers and the hub's client show them."""
    return logging.is_progress_bar_enabled(), not are_progress_bars_disabled()


@pytest.mark.parametrize("of_hub", [False, True])
def test_they_are_as_before_after_the_block_and_after_an_error_in_it(of_hub: bool) -> None:
    logging.enable_progress_bar()
    if not of_hub:
        disable_progress_bars()
    with progress_bars_hidden():
        assert shown() == (False, False)
    assert shown() == (True, of_hub)
    with pytest.raises(ZeroDivisionError), progress_bars_hidden():
        1 / 0  # noqa: B018
    assert shown() == (True, of_hub)
    enable_progress_bars()


def test_who_has_hidden_them_keeps_them_hidden() -> None:
    logging.disable_progress_bar()
    with progress_bars_hidden():
        assert shown() == (False, False)
    assert shown() == (False, False)
    logging.enable_progress_bar()
