"""The bar of a command that takes a while: on a terminal, on standard error, gone when it is done; elsewhere none.

Nothing heavy is imported at module level: `condset --help` loads this file.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress


def passing_bar() -> "Progress":
    """Make the bar, which is shown while it is entered."""
    from rich.console import Console
    from rich.progress import Progress

    errors = Console(stderr=True)
    return Progress(console=errors, transient=True, disable=not errors.is_terminal)
