"""The paired losses, and that training makes the adapter follow the condition."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.train.conftest import open_reader, prepare_scenes
from tests.train.training_runs import run_alone, small_config, small_job
from train.base.caption_cache import CaptionCache
from train.data.batch import stack
from train.exchange.read import read_adapter
from train.loop.preparation import prepare_run
from train.loop.step import losses_of
from train.loop.validation import PairedLosses, paired_losses
from train.runs.metrics import read_metrics

HELD_OUT = 128


def test_the_three_losses_differ_in_nothing_but_the_condition(color_data: Path) -> None:
    prepared = prepare_run(small_config(), (str(color_data),), None)
    read, captions = open_reader([color_data]), CaptionCache(prepared.base, 8)
    paired = paired_losses(prepared.base, prepared.adapter, captions, read, 5, batch_size=1)
    together = paired_losses(prepared.base, prepared.adapter, captions, read, 5, batch_size=2)
    for one, other in ((paired.right, together.right), (paired.shuffled, together.shuffled)):
        # Other kernels for other batches: measured up to 1.3e-5 apart.
        torch.testing.assert_close(one, other, rtol=0, atol=1e-4)
    for number in range(5):
        batch = stack([read(number)], pin=False)
        with torch.no_grad():
            own = losses_of(prepared.base, prepared.adapter, captions, batch)
            alone = losses_of(prepared.base, None, captions, batch)
        assert float(paired.right[number]) == pytest.approx(float(own), abs=1e-6)
        assert float(paired.without[number]) == pytest.approx(float(alone), abs=1e-6)
        assert float(paired.shuffled[number]) != float(paired.right[number])


def test_a_margin_is_the_mean_difference_with_its_standard_error() -> None:
    paired = PairedLosses(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 5.0]), torch.zeros(3))
    mean, error = paired.margin(paired.shuffled)
    assert mean == pytest.approx(1.0)
    assert error == pytest.approx(1.0 / 3**0.5)
    assert paired.means() == {"validation/loss": 2, "validation/loss_shuffled": 3, "validation/loss_without": 0}


@pytest.mark.slow
def test_an_adapter_learns_to_use_its_condition(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    """On held-out scenes the right condition beats another scene's, and the base alone, by more than 3 errors."""
    drawn = {"kind": "synthetic", "width_pixels": 128, "height_pixels": 128}
    image, color = {"size_pixels": 128, "format": "png"}, [{"kind": "color"}]
    data = prepare_scenes(tmp_path / "data", source={**drawn, "count": 400}, image=image, annotators=color)
    others = {**drawn, "count": HELD_OUT, "first": 100_000}
    held_out = prepare_scenes(tmp_path / "held_out", source=others, image=image, annotators=color)
    job = small_job(
        data,
        tmp_path / "run",
        held_out,
        adapter={"kind": "full"},
        loop={"max_steps": 200, "batch_size": 8, "log_every": 10},
        validation={"every": 200, "samples": HELD_OUT},
    )
    run_alone(job)

    prepared = prepare_run(job.config, job.data, job.validation)
    assert prepared.held_out is not None
    captions = CaptionCache(prepared.base, HELD_OUT)
    paired = paired_losses(
        prepared.base, read_adapter(job.run).module, captions, prepared.held_out, HELD_OUT, batch_size=8
    )
    for name, loss in paired.means().items():
        record_property(name, f"{loss:.4f}")
    for name, other in (("shuffled", paired.shuffled), ("without", paired.without)):
        mean, error = paired.margin(other)
        record_property(f"margin to {name}", f"{mean:.4f} +- {error:.4f}")
        assert mean > 3 * error
    assert read_metrics(job.run)[-1]["validation/loss"] == pytest.approx(paired.means()["validation/loss"], abs=1e-4)
