from dataclasses import dataclass, replace
from typing import cast

import pytest

from pipeline.dataset.numerics import Numerics, numerics_of, settled
from stages.annotators.color import ColorConfig
from stages.annotators.protocol import AnnotatorConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.errors import ConfigError
from stages.hardware.precision import ResolvedDtype
from stages.records import Condition

HERE = Numerics("cpu", {"sketch": "float32"}, 2, 1, {"torch": "2.15.0"})


def test_equal_numerics_have_no_differences() -> None:
    assert HERE.differences(replace(HERE)) == []


def test_each_difference_is_named_with_both_values() -> None:
    there = Numerics("cuda", {"sketch": "bfloat16"}, 2, 16, {})
    assert there.differences(HERE) == [
        "batch_size 16 there, 1 here",
        "device cuda there, cpu here",
        "dtypes.sketch bfloat16 there, float32 here",
        "versions.torch absent there, 2.15.0 here",
    ]


@pytest.mark.parametrize(("device", "differences"), [("cpu", []), ("cuda", ["threads_per_worker 8 there, 2 here"])])
def test_on_a_cpu_the_number_of_threads_is_no_difference(device: str, differences: list[str]) -> None:
    here = replace(HERE, device=device)
    assert replace(here, threads_per_worker=8).differences(here) == differences


def test_the_numerics_of_a_run_name_the_libraries_and_nothing_of_the_host() -> None:
    numerics = numerics_of((ColorConfig(),), "cpu", 2, 1)
    assert numerics.dtypes == {"color": "none"}
    assert {"condset", "torch", "pillow", "opencv-python-headless"} <= numerics.versions.keys()


@dataclass(frozen=True)
class Stubborn:
    """An annotator from elsewhere that takes a dtype of its own, whatever is asked for."""

    condition = Condition.DEPTH

    def resolved_dtype(self, device: str) -> str:
        return "float32"


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_auto_became_elsewhere_is_what_is_built_here(dtype: ResolvedDtype) -> None:
    """Whatever this machine would have made of "auto": it is asked once, for all workers."""
    there = replace(HERE, dtypes={"sketch": dtype, "color": "none"})
    config = SketchConfig(binarize=0.5)
    assert settled(config, there) == SketchConfig(binarize=0.5, dtype=dtype)
    assert settled(ColorConfig(), there) == ColorConfig()


def test_a_dtype_that_this_machine_does_not_have_is_said() -> None:
    with pytest.raises(ConfigError, match=r"^dtype must be float32 or bfloat16 on a CPU, got 'float16'; use dtype ="):
        settled(SketchConfig(), replace(HERE, dtypes={"sketch": "float16"}))


def test_an_annotator_that_takes_another_dtype_than_the_record_names_is_refused() -> None:
    there = replace(HERE, dtypes={"depth": "bfloat16"})
    with pytest.raises(
        ConfigError,
        match=r"^depth must run in bfloat16 on every node, as its records say, got float32 on one; give its annotator "
        r"the dtype that all nodes have$",
    ):
        settled(cast(AnnotatorConfig, Stubborn()), there)
