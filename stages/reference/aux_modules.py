"""Load one submodule of controlnet_aux without running the `__init__` of the packages above it.

    controlnet_aux/            __init__: imports every detector, warns about mediapipe and timm    not run
      pidi/                    __init__: the detector and its download code                        not run
        model.py               the network's class                                                 run, like any module

The packages above the submodule are entered in `sys.modules` as namespace packages: same folders, no `__init__`. They
have a name of their own, so the module's relative imports find their neighbours and a later `import controlnet_aux`
still finds nothing loaded and gives the real package. Invariant: the name `controlnet_aux` in `sys.modules` is only
read here, never set.
"""

import importlib
import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

PACKAGE = "controlnet_aux"
BARE_PACKAGE = "controlnet_aux_without_inits"


def controlnet_aux_module(name: str) -> ModuleType:
    """Return the submodule `name`, such as "pidi.model", of huggingface/controlnet_aux (written against 0.0.10).

    The real package's own submodule is returned if the process has already imported that package. Raises
    ModuleNotFoundError if controlnet_aux is not installed or has no such submodule.
    """
    if PACKAGE in sys.modules:
        return importlib.import_module(f"{PACKAGE}.{name}")
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(
            f"package {PACKAGE} must be installed, got no such package; run uv sync", name=PACKAGE
        )
    bare_name, folders = BARE_PACKAGE, list(spec.submodule_search_locations)
    _enter_bare_package(bare_name, folders)
    for part in name.split(".")[:-1]:
        bare_name, folders = f"{bare_name}.{part}", [str(Path(folder) / part) for folder in folders]
        _enter_bare_package(bare_name, folders)
    return importlib.import_module(f"{BARE_PACKAGE}.{name}")


def _enter_bare_package(bare_name: str, folders: list[str]) -> None:
    """Make modules in `folders` importable below `bare_name`; a spec without a loader is a namespace package."""
    if bare_name not in sys.modules:
        spec = ModuleSpec(bare_name, loader=None, is_package=True)
        spec.submodule_search_locations = folders
        sys.modules[bare_name] = importlib.util.module_from_spec(spec)
