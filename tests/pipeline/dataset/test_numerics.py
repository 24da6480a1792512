from dataclasses import replace

import pytest

from pipeline.dataset.numerics import Numerics, numerics_of
from stages.annotators.color import ColorConfig

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
