"""Folders of installed libraries, some of them only: an environment without the others, made of links in a moment."""

import re
from collections.abc import Iterable
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement


def link_all_but(modules: frozenset[str], folder: Path) -> None:
    """Link what is installed here into an empty folder, but for the distributions that bring one of `modules`."""
    _link((each for each in distributions() if not modules & _entries(each).keys()), folder)


def link_required(requirements: Iterable[str], folder: Path) -> set[str]:
    """Link what requirements ask for, and what that asks for, as pip installs it; returns the distributions' names.

    Raises PackageNotFoundError if one of them is not installed here.
    """
    found: dict[str, Distribution] = {}
    seen: set[str] = set()
    wanted = [(Requirement(each), "") for each in requirements]
    while wanted:
        requirement, extra = wanted.pop()
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        installed = found.setdefault(_normal(requirement.name), distribution(requirement.name))
        for asked in ("", *requirement.extras):
            if f"{installed.name}[{asked}]" not in seen:
                seen.add(f"{installed.name}[{asked}]")
                wanted += [(Requirement(each), asked) for each in installed.requires or []]
    _link(found.values(), folder)
    return set(found)


def _link(chosen: Iterable[Distribution], folder: Path) -> None:
    for each in chosen:
        for name, path in _entries(each).items():
            if not (folder / name).exists():  # several distributions share a namespace, such as nvidia
                (folder / name).symlink_to(path)


def _entries(installed: Distribution) -> dict[str, Path]:
    """The files and folders that a distribution has directly in site-packages; its commands lie elsewhere."""
    names = {Path(file).parts[0] for file in installed.files or []} - {"..", "__pycache__"}
    return {name: Path(str(installed.locate_file(name))) for name in names}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
