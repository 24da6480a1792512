"""Can a stranger find things? Behaviours, and the file that each is expected in by its name alone.

Whoever sees nothing but the names of the tree is asked for each of these, and finds at least 14 of the 15:

 1. an address on a private network is refused before a connection is made
 2. bytes of a JPEG or PNG become upright RGB pixels, whatever palette, alpha channel or orientation they have
 3. keypoints and label maps are cut by the same box as the image
 4. limbs of a person are drawn in T2I-Adapter's colours
 5. rows of LAION metadata are kept or dropped by their aesthetic score
 6. the published sha256 and the licence of each network's weights
 7. what dtype "auto" becomes on a machine
 8. a tar and then its record appear under their names, whole or not at all
 9. how many workers there are, and how many CPUs and GPUs each of them gets
10. the work of a Ray worker that died is given to another one
11. the data card of a data set is written
12. time step, noise and caption of one visit are drawn at random
13. a checkpoint is written whole, and an unfinished one is not taken for one
14. edge F1 within two pixels, by which a picture is compared with its sketch
15. parameters are renamed to those of the T2I-Adapter authors' released files

And the rules of the house: who may import whom, and how large a file or a folder may grow.
"""

import os
import re
import statistics
import subprocess
import sys
from collections import Counter

import pytest

from tests.foreign_internals import (
    mentioned,
    own_private_names,
    private_names_of_libraries,
    words_of_errors,
)
from tests.module_graph import PACKAGES, ROOT, imported, module_graph, modules
from tests.patched_names import patched_names

MAY_IMPORT: dict[str, set[str]] = {
    "stages": set(),
    "pipeline": {"stages"},
    "train": {"stages", "pipeline"},
    "condset": {"stages", "pipeline", "train"},
}
RAY_MODULES = {"pipeline/execution/ray.py", "pipeline/execution/ray_cluster.py", "train/loop/ray.py"}
HEAVY = ("torch", "ray", "cv2", "numpy", "pydantic", "pyarrow", "PIL", "transformers", "datasets")
MOUNTS = {"cli", "registry"}
"""Modules of a package that put its parts together: a part that imported one would import all the others."""

PILLOWS_WORDS = "stages/image/pillow_internals.py"

UNDOCUMENTED = {
    "Image.OPEN": "stages/image/pillow_internals.py",
    "image.fp.tell": "stages/image/pillow_internals.py",
    "tar.members": "stages/sources/webdataset/tar_members.py",
    ".mim": "stages/reference/mmpose_networks.py",
    "midas.midas.dpt_depth": "stages/reference/dpt_layers.py",
    "timm.layers.std_conv.StdConv2dSame": "stages/reference/dpt_layers.py",
    "huggingface_hub.errors.HTTPError": "stages/weights/hub.py",
}
"""Names and places that a library may change without a word; the test of the one module says so when it does."""
CHANGE_OF_THE_PROCESS = re.compile(
    r"set_num_threads\(|setNumThreads\(|set_float32_matmul_precision\(|fp32_precision = |mallopt\(|signal\.signal\("
    r"|os\.environ(\.(update|setdefault|pop)\(|\[[^]]*\] = )|chdir\(|filterwarnings\(|simplefilter\(|logging\.disable\("
)
"""Of its threads, precision, allocator, signals, environment, directory, warnings or log."""
MAY_CHANGE_THE_PROCESS = {
    "pipeline/bench/keypose.py",  # the log, which mmpose's inferencer fills
    "pipeline/bench/limit.py",  # the precision of a GPU's matrix products
    "pipeline/commands/interruption.py",
    "pipeline/doctor/torch_report.py",  # in a process that ends with it
    "pipeline/execution/ray_cluster.py",
    "stages/hardware/allocator.py",  # for good: nobody tells what it was
    "stages/hardware/float32_products.py",
    "stages/hardware/process.py",
    "stages/hardware/waiting.py",
    "stages/hardware/warning_filters.py",
    "train/loop/interruption.py",
}
"""Modules with a context manager that changes it for the time of a block, with a test that it is as before."""

EXPECTED = (
    "stages/web/addresses.py",
    "stages/image/decode.py",
    "stages/image/crop.py",
    "stages/annotators/keypose/skeleton.py",
    "stages/sources/laion/filters.py",
    "stages/weights/catalogue.py",
    "stages/hardware/precision.py",
    "pipeline/dataset/shards.py",
    "pipeline/execution/resources.py",
    "pipeline/execution/ray.py",
    "pipeline/publish/card.py",
    "train/data/draws.py",
    "train/runs/checkpoint.py",
    "train/fidelity/measures/edges.py",
    "train/exchange/t2i_layout.py",
)
"""The file of each behaviour above, in order."""


def test_every_behaviour_lies_where_a_stranger_expects_it() -> None:
    assert not [name for name in EXPECTED if not (ROOT / name).is_file()]


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_one_way(package: str) -> None:
    forbidden = set(PACKAGES) - MAY_IMPORT[package] - {package}
    for path in modules(package):
        assert not {name.split(".")[0] for name in imported(path)} & forbidden, path


def test_there_is_no_circle_between_files() -> None:
    assert not module_graph().circle()


def test_there_is_no_circle_between_the_folders_of_a_folder() -> None:
    graph = module_graph()
    folders = {name.rpartition(".")[0] for name in graph.edges} - {""}
    for parent in folders:
        siblings = [folder for folder in folders if folder.rpartition(".")[0] == parent]
        assert not graph.between(siblings).circle(), parent


def test_no_part_of_a_package_imports_what_puts_the_parts_together() -> None:
    graph = module_graph()
    for name, targets in graph.edges.items():
        parents = {name.rsplit(".", depth)[0] for depth in range(2, name.count(".") + 1)}
        mounts = {f"{parent}.{mount}" for parent in parents for mount in MOUNTS}
        assert not targets & mounts, name


def test_ray_is_imported_in_one_place_of_each_package() -> None:
    users = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        if "ray" in {name.split(".")[0] for name in imported(path)}
    }
    assert users == RAY_MODULES


def test_a_process_is_changed_only_where_a_context_manager_restores_it() -> None:
    changing = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in modules(package)
        if CHANGE_OF_THE_PROCESS.search(path.read_text())
    }
    assert changing == MAY_CHANGE_THE_PROCESS


def test_files_stay_under_300_lines_and_most_under_100() -> None:
    lines = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for package in (*PACKAGES, "tests")
        for path in modules(package)
    }
    assert not {name: count for name, count in lines.items() if count > 300}
    code = [count for name, count in lines.items() if not name.startswith("tests/") and "__init__" not in name]
    assert statistics.median(code) <= 100


def test_no_folder_holds_more_than_15_modules() -> None:
    files = [path for package in (*PACKAGES, "tests") for path in modules(package)]
    folders = Counter(path.parent for path in files if path.stem != "__init__")
    assert not {str(folder): count for folder, count in folders.items() if count > 15}


def test_every_folder_says_what_it_answers() -> None:
    for package in PACKAGES:
        for path in modules(package):
            if path.stem == "__init__":
                assert path.read_text().startswith('"""'), path


def test_the_readme_shows_every_folder_and_names_only_what_is_there() -> None:
    readme = (ROOT / "README.md").read_text()
    tree = readme.partition("## How it is built")[2].split("```")[1]
    shown: dict[str, set[str]] = {}
    for line in tree.splitlines():
        name = line.strip().partition("/")[0]
        if line.startswith(" "):
            shown[list(shown)[-1]].add(name)
        else:
            shown[name] = set()
    for package in PACKAGES:
        assert shown[package] == {each.parent.name for each in (ROOT / package).glob("*/__init__.py")}, package
    named = set(re.findall(r"`((?:stages|pipeline|train|configs|docs|tests)/[\w./]*)`", readme))
    assert not [path for path in named if not (ROOT / path).exists()]


def test_there_are_no_drawers() -> None:
    drawers = {"utils", "util", "helpers", "helper", "common", "misc"}
    assert not [path for package in PACKAGES for path in modules(package) if path.stem in drawers]


def test_no_test_patches_our_own_modules() -> None:
    patches = {str(path.relative_to(ROOT)): patched_names(path.read_text()) for path in modules("tests")}
    assert not {name: found for name, found in patches.items() if found}


def test_nothing_private_of_a_library_is_used() -> None:
    sources = {str(path.relative_to(ROOT)): path.read_text() for each in (*PACKAGES, "tests") for path in modules(each)}
    own = own_private_names(sources.values())
    used = {name: private_names_of_libraries(source, own) for name, source in sources.items()}
    assert not {name: found for name, found in used.items() if found}


def test_errors_are_told_apart_by_their_words_in_one_module_only() -> None:
    paths = [path for package in PACKAGES for path in modules(package)]
    assert {str(path.relative_to(ROOT)) for path in paths if words_of_errors(path.read_text())} == {PILLOWS_WORDS}


@pytest.mark.parametrize(("name", "home"), UNDOCUMENTED.items())
def test_what_a_library_does_not_document_is_used_in_one_module(name: str, home: str) -> None:
    paths = [path for package in PACKAGES for path in modules(package)]
    assert [str(path.relative_to(ROOT)) for path in paths if name in mentioned(path.read_text())] == [home]


def test_one_class_name_means_one_thing() -> None:
    defined = Counter(
        line.split()[1].rstrip(":").partition("(")[0]
        for package in PACKAGES
        for path in modules(package)
        for line in path.read_text().splitlines()
        if line.startswith("class ")
    )
    assert not {name for name, count in defined.items() if count > 1 and not name.startswith("_")}


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
