"""Progress bars of other libraries are hidden within a block, and shown after it."""

from collections.abc import Callable, Iterable

import pytest
import tqdm as plain  # type: ignore[import-untyped]
import tqdm.auto  # type: ignore[import-untyped]
from huggingface_hub.utils import tqdm as of_hub  # type: ignore[attr-defined]  # its stubs hide what it documents
from transformers.utils import logging

from stages.hardware.progress_bars import progress_bars_hidden

BARS: dict[str, Callable[[Iterable[int]], Iterable[int]]] = {
    "tqdm": plain.tqdm,
    "tqdm told to show itself": lambda items: plain.tqdm(items, disable=False),
    "tqdm.auto": tqdm.auto.tqdm,
    "trange": lambda items: plain.trange(len(list(items))),
    "huggingface_hub": of_hub,
    "transformers": logging.tqdm,
}


@pytest.mark.parametrize("name", BARS)
def test_a_bar_is_hidden_within_the_block_and_shown_after_it(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    bar = BARS[name]
    with progress_bars_hidden():
        with pytest.raises(ZeroDivisionError), progress_bars_hidden():
            list(bar(range(1 // 0)))
        assert list(bar(range(3))) == [0, 1, 2]
    assert capfd.readouterr().err == ""
    assert list(bar(range(3))) == [0, 1, 2]
    assert "3/3" in capfd.readouterr().err
