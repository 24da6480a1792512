"""The shape of the code, held by a test: who may import whom, and how large a file may grow."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("stages", "pipeline", "train")
MAY_IMPORT = {"stages": set(), "pipeline": {"stages"}, "train": {"stages", "pipeline"}}  # type: dict[str, set[str]]
RAY_MODULES = {"pipeline/execution/ray.py", "train/loop/ray.py"}
HEAVY = ("torch", "ray", "cv2", "numpy", "pydantic", "pyarrow", "PIL", "transformers", "datasets")


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    forbidden = set(PACKAGES) - MAY_IMPORT[package] - {package}
    for path in modules(package):
        assert not imported(path) & forbidden, path


def test_ray_is_imported_in_one_place_of_each_package() -> None:
    users = {
        str(path.relative_to(ROOT)) for package in PACKAGES for path in modules(package) if "ray" in imported(path)
    }
    assert users == RAY_MODULES


def test_files_stay_under_300_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for package in (*PACKAGES, "tests")
        for path in modules(package)
        if (lines := len(path.read_text().splitlines())) > 300
    }
    assert not long


def test_there_are_no_drawers() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for package in PACKAGES for path in modules(package) if path.stem in drawers]


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "sys.argv = ['condset', '--help']\n"
        "from train.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as exit:\n    assert not exit.code, exit.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    environment = os.environ | {"COLUMNS": "100"}
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
    )
    assert "prepare" in result.stdout
    assert result.stdout.splitlines()[-1] == "[]"
