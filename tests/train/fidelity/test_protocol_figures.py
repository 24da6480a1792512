"""The figures of a protocol, of the pictures that an evaluation has drawn; here they are planted."""

from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.dataset.ledger import make_folders
from pipeline.dataset.numerics import Numerics
from pipeline.dataset.plan import plan_shards
from pipeline.dataset.shards import commit_shard
from stages.image.decode import decode_stored
from stages.image.encode import encode_png
from stages.records import Condition, EncodedSample
from tests.train.fidelity.tiny_networks import TinyFeatures, tiny_clip
from train.base.config import TinyDiffusionConfig
from train.fidelity.drawing import Drawing
from train.fidelity.held_out import HeldOut, HeldOutConfig
from train.fidelity.pictures import PICTURES_PER_SHARD, Pictures
from train.fidelity.protocol_figures import judge
from train.fidelity.protocols import PROTOCOLS, FigureName, Judged, Networks, figures
from train.fidelity.report import EvalReport, read_report, report_table, write_report
from train.fidelity.variants import variants_of
from train.sampling.settings import SamplerSettings

ALL_FIGURES = replace(PROTOCOLS["t2i-adapter"], figures=tuple(FigureName), size_pixels=(64, 64), pictures_per_caption=2)


@pytest.fixture(scope="module")
def networks() -> Networks:
    return Networks("cpu", TinyFeatures(), tiny_clip())


@pytest.fixture(scope="module")
def held_out(color_data: Path) -> HeldOut:
    return HeldOutConfig(str(color_data), (Condition.COLOR,), 5, pictures_per_caption=2).open()


@pytest.fixture(scope="module")
def pictures(held_out: HeldOut, color_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    """Real pictures: under "with" each sample's own, under "shuffled" another's, under "without" the next but one."""
    drawing = Drawing(
        held_out=HeldOutConfig(str(color_data), (Condition.COLOR,), 5, pictures_per_caption=2),
        adapters=(),
        diffusion=TinyDiffusionConfig(),
        base="",
        variants=variants_of([Condition.COLOR], [1.0]),
        sampler=SamplerSettings(1, 1.0, seed=3),
        dtype="float32",
    )
    made = Pictures(tmp_path_factory.mktemp("judged"), drawing, "planted")
    make_folders(made.home)
    for plan in plan_shards(held_out.pictures, PICTURES_PER_SHARD):
        samples = [_planted(held_out, number) for number in range(plan.start, plan.stop)]
        commit_shard(made.home, plan, made.fingerprint, Numerics("cpu", {}, 1, 1, {}), samples)
    return made


def _planted(held_out: HeldOut, number: int) -> EncodedSample:
    sample, back = held_out.sample_of(number), {"real": 0, "with": 0, "shuffled": 1, "without": 2}
    shown = {name: held_out.members((sample - each) % held_out.samples)["png"] for name, each in back.items()}
    members = {f"{name}.png": encode_png(decode_stored(content)) for name, content in shown.items()}
    members["txt"] = held_out.members(sample)["txt"]
    return EncodedSample(held_out.picture_key(number), tuple(sorted(members.items())), 64, 64)


def test_every_variant_is_judged_beside_the_real_pictures_and_the_captions_of_its_samples(
    pictures: Pictures, held_out: HeldOut, networks: Networks
) -> None:
    found = judge(ALL_FIGURES, networks, pictures, held_out)
    assert list(found) == ["real", "with", "shuffled", "without"]
    assert found["real"] == found["with"]
    assert found["with"]["CLIP-I"].value == pytest.approx(1)
    assert (found["shuffled"]["CLIP-I"].value or 0) < (found["with"]["CLIP-I"].value or 0)
    expected = []
    for number in range(held_out.pictures):
        sample = held_out.sample_of(number)
        truth, other = held_out.members(sample), held_out.members((sample - 1) % held_out.samples)
        drawn_hwc, real_hwc = decode_stored(other["png"]).copy(), decode_stored(truth["png"]).copy()
        expected.append(Judged(drawn_hwc, real_hwc, truth["txt"].decode()))
    assert found["shuffled"] == figures(ALL_FIGURES, networks, expected, seed=3)


def test_the_figures_are_kept_in_the_report_and_have_a_block_of_the_table(
    pictures: Pictures, held_out: HeldOut, networks: Networks, tmp_path: Path
) -> None:
    found = judge(ALL_FIGURES, networks, pictures, held_out)
    titles = {variant.name: variant.title for variant in pictures.drawing.variants}
    report = EvalReport(
        inputs={"protocol": "t2i-adapter"},
        runs={},
        data="",
        base="",
        held_out=True,
        variants=titles,
        of_protocol=found,
    )
    write_report(tmp_path, report)
    assert read_report(tmp_path) == report
    lines = report_table(report).splitlines()
    assert [cell.strip() for cell in lines[0].split("  ") if cell] == ["t2i-adapter", *titles.values(), "pictures"]
    distances = [f"{found[name]['FID'].value:.3f}" for name in titles]
    assert lines[1].split() == ["FID", *distances, "10"]
    figure = found["shuffled"]["CLIP-T"]
    assert f"{figure.value:.3f} [{figure.low:.3f}, {figure.high:.3f}]" in lines[2]
