"""What `import condset` hands on: all is there, nothing heavy comes along, type checkers see the same names."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import condset
from tests.test_house import HEAVY

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", condset.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(condset, name) is not None
    assert name in dir(condset)


def test_importing_condset_imports_nothing_heavy() -> None:
    program = f"import sys, condset; print([name for name in {HEAVY!r} if name in sys.modules])"
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert result.stdout.strip() == "[]"


def test_type_checkers_see_the_names_that_are_handed_on() -> None:
    tree = ast.parse((ROOT / "condset/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert {"__version__", *seen} == set(condset.__all__)


def test_a_name_that_is_not_there_is_an_attribute_error_that_names_the_others() -> None:
    with pytest.raises(AttributeError, match=r"has no attribute 'open_data'; it has .*open_dataset"):
        _ = condset.open_data
