"""`condset eval`, as it is typed."""

import json
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.console import condset
from tests.train.conftest import prepare_scenes
from tests.train.tiny_runs import write_tiny_run

if TYPE_CHECKING:
    from train.base.stable_diffusion import StableDiffusion

OPTIONS = (
    "--samples",
    2,
    "--steps",
    1,
    "--guidance",
    1,
    "--device",
    "cpu",
    "--dtype",
    "float32",
    "--executor",
    "inline",
)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of 64 x 64 pixels with color and canny."""
    source = {"kind": "synthetic", "count": 3, "width_pixels": 64, "height_pixels": 64}
    annotators = [{"kind": "color"}, {"kind": "canny"}]
    return prepare_scenes(tmp_path_factory.mktemp("scenes") / "data", source=source, annotators=annotators)


@pytest.fixture(scope="module")
def run(tiny_base: "StableDiffusion", tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    write_tiny_run(folder, tiny_base)
    return folder


def test_an_adapter_is_evaluated_and_the_table_printed(run: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("eval", run, "--data", scenes, "--out", out, *OPTIONS)
    status, printed, _ = condset(*arguments)
    assert status == 0
    lines = printed.splitlines()
    assert lines[0].split("  ")[0] == "measure"
    assert [lines[0].find(column) for column in ("real", "with adapter", "shuffled", "without", "samples")] == sorted(
        lines[0].find(column) for column in ("real", "with adapter", "shuffled", "without", "samples")
    )
    figure = json.loads((out / "eval.json").read_text())["figures"][0]
    means = (figure["means"][variant] for variant in ("real", "with", "shuffled", "without"))
    cells = [f"{each['mean']:.3f} [{each['low']:.3f}, {each['high']:.3f}]" for each in means]
    assert [cell.strip() for cell in lines[1].split("  ") if cell] == ["CIEDE2000 (0 is best)", *cells, "2"]
    assert lines[3].split() == ["with", "adapter", "minus", "without", "shuffled"]
    minus = figure["differences"]["shuffled"]
    assert lines[4].endswith(f"{minus['mean']:+.3f} [{minus['low']:+.3f}, {minus['high']:+.3f}]")
    assert lines[-1] == f"{out} is complete: {out / 'eval.json'}, {out / 'sheet.png'}"
    again = condset(*arguments)
    assert again == (0, printed.replace("is complete:", "is complete already:"), "")
    status, printed, said = condset(*arguments, "--json")
    assert (status, printed) == (0, (out / "eval.json").read_text())
    assert said == f"{out} is complete already: {out / 'eval.json'}, {out / 'sheet.png'}\n"
    described = json.loads((out / "eval.json").read_text())
    assert described["runs"] == {"color": str(run)}
    assert described["drawn_on"]["dtype"] == "float32"


def test_the_data_sets_are_read_by_verify_and_inspect(run: Path, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert condset("eval", run, "--data", scenes, "--out", out, *OPTIONS)[0] == 0
    for variant in ("real", "with", "shuffled", "without"):
        status, printed, _ = condset("verify", out / variant, "--deep", "--device", "cpu")
        assert status == 0
        assert printed.startswith(f"{out / variant} is sound: 2 samples in 1 shards")
    status, printed, _ = condset("inspect", out / "with")
    assert status == 0
    assert "scenes-with" in printed


def test_an_interrupt_keeps_what_is_drawn_and_says_what_to_type(
    run: Path, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM, as a batch system sends it, in the middle of the first picture that is drawn."""

    def interrupted(*arguments: object) -> None:
        signal.raise_signal(signal.SIGTERM)

    out = tmp_path / "out"
    arguments = ("eval", run, "--data", scenes, "--out", out, *OPTIONS)
    with monkeypatch.context() as context:
        context.setattr("diffusers.DDIMScheduler.step", interrupted)
        status, printed, said = condset(*arguments)
    assert (status, printed) == (130, "")
    again = shlex.join(["condset", *map(str, arguments)])
    assert said.splitlines()[-1] == f"interrupted; committed shards of pictures stay. Go on with: {again}"
    assert [list((out / "pictures" / folder).iterdir()) for folder in ("shards", "records")] == [[], []]
    assert not json.loads((out / "eval.json").read_text())["complete"]
    assert condset(*arguments)[0] == 0


def test_what_cannot_be_evaluated_is_one_line(run: Path, scenes: Path, tmp_path: Path) -> None:
    status, printed, said = condset("eval", tmp_path, "--data", scenes, "--out", tmp_path / "out", *OPTIONS)
    assert (status, printed) == (2, "")
    assert said == (
        f"condset: {tmp_path / 'run.json'} must be a run's description, got none; `condset train` makes one\n"
    )
    status, _, said = condset("eval", run, "--data", scenes / "absent", "--out", tmp_path / "out", *OPTIONS)
    assert status == 2
    assert said.count("\n") == 1
    assert "condset prepare" in said


def test_a_condition_that_the_data_lack_is_one_line(tiny_base: "StableDiffusion", scenes: Path, tmp_path: Path) -> None:
    write_tiny_run(tmp_path / "run", tiny_base, "depth")
    status, _, said = condset("eval", tmp_path / "run", "--data", scenes, "--out", tmp_path / "out", *OPTIONS)
    assert status == 2
    assert said == (
        f"condset: --data {scenes} must have the condition depth, got canny, color; `condset prepare CONFIG --onto "
        f"{scenes}` adds it\n"
    )


def test_two_runs_are_composed_by_their_weights(
    tiny_base: "StableDiffusion", run: Path, scenes: Path, tmp_path: Path
) -> None:
    write_tiny_run(tmp_path / "canny", tiny_base, "canny")
    arguments = (run, tmp_path / "canny", "--weight", 0.5, "--weight", 2, "--data", scenes, "--out", tmp_path / "out")
    status, printed, _ = condset("eval", *arguments, *OPTIONS)
    assert status == 0
    described = json.loads((tmp_path / "out" / "eval.json").read_text())
    assert [described["inputs"][f"weight.{name}"] for name in ("color", "canny")] == [0.5, 2]
    assert [figure["condition"] for figure in described["figures"]] == ["color", "canny"]
    assert [line.split()[0] for line in printed.splitlines() if "alone" in line] == ["color", "with", "canny", "with"]


def test_an_address_of_ray_goes_with_ray(run: Path, scenes: Path, tmp_path: Path) -> None:
    arguments = ("--data", scenes, "--out", tmp_path / "out", "--ray-address", "auto")
    status, _, said = condset("eval", run, *arguments, *OPTIONS)
    assert status == 2
    assert said == "condset: --ray-address must go with --executor ray, got 'auto' with inline; leave it out\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [("--samples", 1), ("--steps", 0), ("--steps", 1000), ("--guidance", 0.5), ("--active-share", 1.5), ("--seed", -1)],
)
def test_options_out_of_their_range_are_refused(option: str, value: object, tmp_path: Path) -> None:
    status, _, said = condset("eval", tmp_path, "--data", tmp_path, "--out", tmp_path / "out", option, value)
    assert status == 2
    assert option in said
    assert "Traceback" not in said
