"""controlnet_aux's submodules load alone, in silence, and leave the real package importable."""

import subprocess
import sys

import pytest

from stages.reference.aux_modules import controlnet_aux_module

LOAD_ALONE = """
import sys
from stages.reference.aux_modules import controlnet_aux_module
controlnet_aux_module({name!r})
assert "controlnet_aux" not in sys.modules
inits = ("annotator_ckpts_path", "MidasDetector", "PidiNetDetector")
bare = {{name: module for name, module in sys.modules.items() if name.startswith("controlnet_aux_without_inits")}}
assert not [name for name, module in bare.items() if any(hasattr(module, run) for run in inits)]
"""

LOAD_THE_REAL_PACKAGE_AFTERWARDS = """
from stages.reference.aux_modules import controlnet_aux_module
alone = controlnet_aux_module("pidi.model")
import controlnet_aux
assert controlnet_aux.PidiNetDetector.__module__ == "controlnet_aux.pidi"
real = controlnet_aux_module("pidi.model")
assert real is controlnet_aux.pidi.model
assert real is not alone
"""


def run_python(code: str, warnings: str) -> tuple[int, str, str]:
    """Run `code` in a fresh interpreter, since what has been imported decides what the function does."""
    command = [sys.executable, "-W", warnings, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def test_a_submodule_loads_without_a_word_and_without_the_detectors() -> None:
    assert run_python(LOAD_ALONE.format(name="pidi.model"), "always") == (0, "", "")


@pytest.mark.slow
def test_the_depth_network_loads_without_a_word_and_without_the_detectors() -> None:
    assert run_python(LOAD_ALONE.format(name="midas.midas.dpt_depth"), "always") == (0, "", "")


def test_relative_imports_inside_the_submodule_find_their_neighbours() -> None:
    depth = controlnet_aux_module("midas.midas.dpt_depth")
    base_model = controlnet_aux_module("midas.midas.base_model")
    assert issubclass(depth.DPTDepthModel, base_model.BaseModel)


def test_the_same_module_is_returned_twice() -> None:
    assert controlnet_aux_module("pidi.model") is controlnet_aux_module("pidi.model")


@pytest.mark.slow
def test_the_real_package_imports_afterwards_and_is_used_from_then_on() -> None:
    assert run_python(LOAD_THE_REAL_PACKAGE_AFTERWARDS, "ignore") == (0, "", "")


def test_an_unknown_submodule_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"controlnet_aux(_without_inits)?\.pidi\.sketch"):
        controlnet_aux_module("pidi.sketch")
