"""Keeps the progress bars of transformers off the terminal while it loads what is there."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def progress_bars_hidden() -> Iterator[None]:
    """Show no progress bar of transformers, nor of the hub's client, which it switches along, while the block runs."""
    from huggingface_hub.utils import (  # type: ignore[attr-defined]  # imported lazily, which mypy does not see
        are_progress_bars_disabled,
        disable_progress_bars,
    )
    from transformers.utils import logging

    shown, hub_shown = logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
            if not hub_shown:
                disable_progress_bars()
