"""How a command tells whoever waits; nothing heavy is imported, because `condset --help` loads this file."""

import typer


def say(sentence: str) -> None:
    """Print at once on standard error: standard output is for results alone."""
    typer.echo(sentence, err=True)
