"""Without an extra's libraries everything else works, and what needs them says what to type."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stages.errors import ConfigError
from stages.extras import EXTRAS, needs, require
from tests.module_graph import PACKAGES, ROOT, modules
from tests.site_packages import link_all_but

WITHOUT_EXTRAS = """
from stages.annotators.keypose.annotator import KeyposeConfig
from stages.errors import ConfigError
from stages.locations import file_system
from stages.reference.mmpose_networks import build_estimator
from stages.weights.store import WeightsFile
from pathlib import Path
from train.fidelity.networks.distribution import FrechetDistance, InceptionFeatures
import torch

for attempt in (
    lambda: KeyposeConfig().resolved_dtype("cpu"),
    lambda: build_estimator("rtmo/body7/rtmo-s_8xb32-600e_body7-640x640"),
    lambda: InceptionFeatures(WeightsFile(Path("weights.pth"), "")),
    lambda: FrechetDistance(torch.nn.Identity(), "cpu"),
    lambda: file_system("s3://bucket/data"),
):
    try:
        attempt()
    except ConfigError as error:
        print(error)
print(KeyposeConfig(from_="annotations").resolved_dtype("cpu"))
"""


def test_each_missing_library_is_one_line_that_says_what_to_type(tmp_path: Path) -> None:
    link_all_but(frozenset(library for extra in EXTRAS.values() for library in extra.libraries), tmp_path)
    # Without -S the environment's own site-packages would be found, too.
    result = subprocess.run(
        [sys.executable, "-S", "-c", WITHOUT_EXTRAS],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path)])},
    )
    keypose = 'pip install "condset[keypose]" && pip install --no-deps mmpose mmengine mmcv-lite'
    assert result.stdout.splitlines() == [
        f"the networks of keypose must have the library mmpose, got none installed; {keypose}",
        f"the networks of keypose must have the library mmpose, got none installed; {keypose}",
        'FID must have the library torch_fidelity, got none installed; pip install "condset[eval]"',
        'FID must have the library torchmetrics, got none installed; pip install "condset[eval]"',
        's3:// locations must have the library s3fs, got none installed; pip install "condset[s3]"',
        "none",
    ]


def imported_on_loading(node: ast.AST) -> set[str]:
    """The libraries that a module imports outside of its functions."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return set()
    names = {alias.name for alias in node.names} if isinstance(node, ast.Import) else set()
    if isinstance(node, ast.ImportFrom):
        names = {node.module or ""}
    inner = [imported_on_loading(each) for each in ast.iter_child_nodes(node)]
    return {name.partition(".")[0] for name in names}.union(*inner)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_an_extras_library_when_it_is_loaded(package: str) -> None:
    optional = {library for extra in EXTRAS.values() for library in extra.libraries}
    for path in modules(package):
        assert not imported_on_loading(ast.parse(path.read_text())) & optional, path


@pytest.mark.parametrize("name", EXTRAS)
def test_with_the_extras_nothing_is_missing(name: str) -> None:
    require(name)  # type: ignore[arg-type]  # pytest hands it on as any text


def test_a_library_that_an_extras_library_needs_is_named_itself() -> None:
    with (
        pytest.raises(ConfigError, match="FID must have the library no_such_library, got none installed"),
        needs("eval"),
    ):
        import no_such_library  # type: ignore[import-not-found]  # noqa: F401
