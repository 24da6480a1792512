import pytest

from tests.pipeline.bench.bench_command import assert_consistent, bench_for_machines


@pytest.mark.slow
def test_depth_is_measured_beside_controlnet_aux() -> None:
    table = bench_for_machines("depth", "--images-timed", "1")
    assert_consistent(table, "depth")
    assert table["rows"][0]["name"] == "controlnet_aux MidasDetector"
    assert {row["name"].split(",")[0] for row in table["rows"][1:]} == {"condset float32", "condset bfloat16"}
    assert table["title"].startswith("MiDaS dpt_hybrid at 64x64, ")
