"""The libraries that are installed, held against what condset's own metadata asks for and against its extras."""

from collections.abc import Iterator
from importlib import metadata

from pipeline.doctor.finding import Finding, Level
from stages.extras import EXTRAS, Extra

SHOWN = (
    "torch",
    "torchvision",
    "numpy",
    "pillow",
    "opencv-python-headless",
    "ray",
    "datasets",
    "webdataset",
    "huggingface-hub",
    "timm",
    "controlnet-aux",
)
"""The libraries that decide what works; of condset's other requirements only those at fault are shown."""

ALTERNATIVES = {
    "opencv-python-headless": ("opencv-python", "opencv-contrib-python", "opencv-contrib-python-headless"),
    "mmcv-lite": ("mmcv",),
}
"""Distributions that bring the same module: any one of them will do, two overwrite each other's files."""


def examine_libraries() -> Iterator[Finding]:
    """Compare what is installed with what condset's own metadata requires."""
    from packaging.requirements import Requirement

    try:
        requirements = [Requirement(line) for line in metadata.requires("condset") or []]
    except metadata.PackageNotFoundError:
        yield Finding("condset", Level.PROBLEM, "not installed", "run it with `uv run condset`, or `pip install .`")
        return
    yield Finding("condset", Level.OK, metadata.version("condset"))
    for requirement in sorted(requirements, key=lambda requirement: requirement.name):
        if requirement.marker is None or requirement.marker.evaluate():
            finding = _library(requirement.name, str(requirement.specifier))
            if finding.level is not Level.OK or requirement.name in SHOWN:
                yield finding
    for name, extra in EXTRAS.items():
        yield _extra(f"extra {name}", extra)


def _extra(subject: str, extra: Extra) -> Finding:
    """Judge the libraries of an extra as one; without them only what needs them fails."""
    findings = [_library(distribution, "") for distribution in extra.libraries.values()]
    missing = [each.subject for each in findings if each.level is Level.PROBLEM]
    if missing:
        return Finding(subject, Level.WARNING, f"no {', '.join(missing)}", f"for {extra.purpose}: {extra.install}")
    advice = next((each.advice for each in findings if each.advice), "")
    level = Level.WARNING if advice else Level.OK
    return Finding(subject, level, ", ".join(each.found for each in findings), advice)


def _library(name: str, specifier: str) -> Finding:
    """Judge one requirement by the distributions that could meet it."""
    from packaging.specifiers import SpecifierSet

    names = (name, *ALTERNATIVES.get(name, ()))
    installed = {each: version for each in names if (version := _version(each))}
    if not installed:
        return Finding(name, Level.PROBLEM, "not installed", f"install '{name}{specifier}'")
    found = ", ".join(f"{distribution} {version}" for distribution, version in installed.items())
    if len(installed) > 1:
        advice = "uninstall all but one and reinstall that one: they hold the same files"
        return Finding(name, Level.WARNING, found, advice)
    distribution, version = next(iter(installed.items()))
    if not SpecifierSet(specifier).contains(version, prereleases=True):
        return Finding(name, Level.WARNING, found, f"install '{distribution}{specifier}'")
    return Finding(name, Level.OK, found)


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None
