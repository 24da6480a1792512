"""Keeps the progress bars of libraries and plug-ins off the terminal, where condset shows its own or none.

Nearly all of them are tqdm's: those of huggingface_hub, transformers, diffusers, datasets and torch.hub as well. They
are told where they begin that they are not shown; what they wrap runs as ever.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def progress_bars_hidden() -> Iterator[None]:
    """Show no bar of tqdm's that begins while the block runs, in whatever thread; blocks may be nested."""
    from tqdm.std import tqdm  # type: ignore[import-untyped]

    begin = tqdm.__init__

    def begin_hidden(bar: Any, *arguments: Any, **options: Any) -> None:
        begin(bar, *arguments, **(options | {"disable": True}))

    tqdm.__init__ = begin_hidden
    try:
        yield
    finally:
        tqdm.__init__ = begin
