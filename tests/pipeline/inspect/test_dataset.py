"""`condset inspect`: what it says of data sets whose contents are known."""

import json
import statistics
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from pipeline.commands.look.inspect import inspect
from pipeline.dataset.manifest import read_manifest, write_manifest
from pipeline.dataset.storage import Directory
from pipeline.inspect.dataset import Inspection, inspect_data_set
from pipeline.inspect.distribution import Distribution
from pipeline.inspect.statistics import ColorStatistics, SegmentationStatistics
from stages.errors import ManifestError, ShardCorrupt
from tests.pipeline.conftest import Make, Run
from tests.pipeline.small_coco import CAPTIONS, LICENSE_NAMES, SIZES, WRITTEN, write_coco

app = typer.Typer()
app.command()(inspect)


@pytest.fixture(scope="module")
def photographs(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight candidates of which four are samples, three to a shard."""
    root = tmp_path_factory.mktemp("inspect")
    write_coco(root / "coco")
    source = {"kind": "coco", "root": str(root / "coco"), "split": "val2017", "keypoints": False}
    run_inline(make_config(source=source, samples_per_shard=3, max_rejected_fraction=1.0), root / "data")
    return root / "data"


@pytest.fixture(scope="module")
def scenes(make_config: Make, run_inline: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve scenes with color and segmentation."""
    out = tmp_path_factory.mktemp("inspect") / "scenes"
    run_inline(make_config(annotators=[{"kind": "color"}, {"kind": "segmentation"}]), out)
    return out


def look(path: Path, examine: int = 0) -> Inspection:
    return inspect_data_set(Directory(str(path)), examine)


def stored(path: Path, ending: str) -> dict[str, bytes]:
    """The files of that ending in all tars, by key: read by tarfile, without records."""
    found = {}
    for file in sorted((path / "shards").glob("*.tar")):
        with tarfile.open(file) as tar:
            for member in tar:
                key, _, extension = member.name.partition(".")
                content = tar.extractfile(member)
                if extension == ending and content:
                    found[key] = content.read()
    return found


def pictures(path: Path, ending: str, scratch: Path) -> list[Image.Image]:
    images: list[Image.Image] = []
    for key, content in stored(path, ending).items():
        (scratch / key).write_bytes(content)
        images.append(Image.open(scratch / key))
    return images


def spread_of(values: list[float]) -> Distribution:
    return Distribution(min(values), statistics.median(values), statistics.fmean(values), max(values))


def test_counts_are_those_of_the_data_set(photographs: Path) -> None:
    found = look(photographs)
    assert (found.name, found.split, found.complete) == ("scenes", "val2017", True)
    assert (found.rows, found.samples, found.rejected) == (8, 4, 4)
    assert (found.shards, found.shards_planned) == (3, 3)
    assert found.image_sizes == {"64x64": 4}
    assert found.tar_bytes == sum(file.stat().st_size for file in (photographs / "shards").glob("*.tar"))
    assert tuple(stored(photographs, "txt")) == WRITTEN


def test_rejections_come_by_reason_with_examples(photographs: Path) -> None:
    found = {each.reason: (each.count, [key for key, _ in each.examples]) for each in look(photographs).rejections}
    assert found == {
        "duplicate_key": (1, ["000000000007"]),
        "missing_file": (1, ["000000000004"]),
        "no_caption": (1, ["000000000005"]),
        "truncated": (1, ["000000000006"]),
    }


def test_only_the_first_examples_of_a_reason_are_shown(make_config: Make, run_inline: Run, tmp_path: Path) -> None:
    write_coco(tmp_path / "coco")
    source = {"kind": "coco", "root": str(tmp_path / "coco"), "split": "val2017", "keypoints": False}
    image = {"size_pixels": 64, "min_size_pixels": 1000}
    run_inline(make_config(source=source, image=image, max_rejected_fraction=1.0), tmp_path / "data")
    found = look(tmp_path / "data")
    (too_small,) = [each for each in found.rejections if each.reason == "too_small"]
    assert (too_small.count, [key for key, _ in too_small.examples]) == (5, list(WRITTEN[:3]))
    assert found.contents is None


def test_licences_count_samples_and_not_rejected_candidates(photographs: Path) -> None:
    by, no_rights = LICENSE_NAMES
    assert look(photographs).licenses == {no_rights: 3, by: 1}


def test_originals_and_captions_are_summed_up(photographs: Path) -> None:
    contents = look(photographs).contents
    assert contents
    numbers = [int(key) for key in WRITTEN]
    captions = [caption.strip() for number in numbers for caption in CAPTIONS[number]]
    assert contents.original_width_pixels == spread_of([SIZES[number][0] for number in numbers])
    assert contents.original_height_pixels == spread_of([SIZES[number][1] for number in numbers])
    assert contents.captions.per_sample == spread_of([len(CAPTIONS[number]) for number in numbers])
    assert contents.captions.characters == spread_of([len(caption) for caption in captions])
    assert contents.captions.non_ascii_share == 2 / 8
    assert contents.captions.captions_by_characters == {"0 to 24": 6, "25 to 49": 1, "200 and more": 1}


def test_sizes_of_members_are_those_of_the_files(scenes: Path) -> None:
    contents = look(scenes).contents
    assert contents
    assert set(contents.member_bytes) == {"jpg", "txt", "json", "color.png", "segmentation.png"}
    for ending, sizes in contents.member_bytes.items():
        assert sizes == spread_of([len(content) for content in stored(scenes, ending).values()])


def test_conditions_are_what_a_count_of_every_pixel_gives(scenes: Path, tmp_path: Path) -> None:
    contents = look(scenes).contents
    assert contents
    color, segmentation = contents.conditions["color"], contents.conditions["segmentation"]
    assert isinstance(color, ColorStatistics)
    assert isinstance(segmentation, SegmentationStatistics)
    distinct = [len(set(image.get_flattened_data())) for image in pictures(scenes, "color.png", tmp_path)]
    assert color.distinct_colors == spread_of([float(each) for each in distinct])
    pixels: Counter[int] = Counter()
    images: Counter[int] = Counter()
    for image in pictures(scenes, "segmentation.png", tmp_path):
        counts = Counter(np.asarray(image).ravel().tolist())
        pixels.update(counts)
        images.update(counts.keys())
    names = read_manifest(Directory(str(scenes))).labels
    found = {each.id: (each.name, each.images, each.pixel_share) for each in segmentation.labels}
    expected = {each: (names[str(each)], images[each], pixels[each] / pixels.total()) for each in pixels if each}
    assert found == expected
    assert segmentation.unlabelled.mean == pixels[0] / pixels.total()


def test_some_samples_are_spread_evenly_and_the_report_says_how_many(scenes: Path) -> None:
    contents = look(scenes, examine=3).contents
    assert contents
    assert contents.samples == 3
    sizes = [len(content) for content in stored(scenes, "jpg").values()]
    assert contents.member_bytes["jpg"] == spread_of([sizes[0], sizes[4], sizes[8]])


def test_progress_is_told_of_every_sample(scenes: Path) -> None:
    told: list[tuple[int, int]] = []
    inspect_data_set(Directory(str(scenes)), 2, lambda done, of: told.append((done, of)))
    assert told == [(1, 2), (2, 2)]


def test_an_unfinished_data_set_is_described_as_far_as_it_goes(
    make_config: Make, run_inline: Run, tmp_path: Path
) -> None:
    run_inline(make_config(), tmp_path / "data")
    directory = Directory(str(tmp_path / "data"))
    for name in ("0000001.json", "shards.jsonl", "README.md"):
        next((tmp_path / "data").rglob(name)).unlink()
    manifest = read_manifest(directory)
    write_manifest(directory, replace(manifest, complete=False))
    found = look(tmp_path / "data")
    assert (found.complete, found.shards, found.shards_planned, found.samples) == (False, 2, 3, 7)
    assert found.licenses == {"CC0-1.0": 7}
    shown = CliRunner().invoke(app, [str(tmp_path / "data")]).stdout
    assert "incomplete: run `condset prepare` again to go on" in shown
    assert "12 = 7 samples + 0 rejected, 5 to come" in shown


def test_a_damaged_sample_is_an_error_that_names_it(data_set: Path) -> None:
    tar = data_set / "shards/0000001.tar"
    content = bytearray(tar.read_bytes())
    content[600] ^= 1
    tar.write_bytes(content)
    with pytest.raises(ShardCorrupt, match=r"0000001\.tar sample 000000005 must have crc32"):
        look(data_set)


def test_a_directory_without_a_data_set_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="must be a data set's manifest, got none"):
        look(tmp_path)


def test_json_is_the_whole_report(scenes: Path) -> None:
    shown = CliRunner().invoke(app, [str(scenes), "--json", "--samples", "5"])
    assert shown.exit_code == 0
    assert json.loads(shown.stdout) == json.loads(json.dumps(asdict(look(scenes, examine=5))))


def test_the_tables_show_the_same_numbers(photographs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    shown = CliRunner().invoke(app, [str(photographs)]).stdout
    rows = {tuple(cell.strip() for cell in line.strip("│").split("│")) for line in shown.splitlines() if "│" in line}
    assert ("No rights (https://b)", "3") in rows
    assert ("original width, pixels", "64", "95", "113.5", "200") in rows
    assert ("25 to 49", "1") in rows
    assert "over all 4 samples" in shown
    assert "over 2 of 4 samples, evenly spread" in CliRunner().invoke(app, [str(photographs), "--samples", "2"]).stdout


def test_the_sheet_is_written_beside_the_report(scenes: Path, tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, [str(scenes), "--sheet", str(tmp_path / "sheet.png"), "--rows", "2", "--json"])
    json.loads(shown.stdout)
    assert shown.stderr == f"wrote {tmp_path / 'sheet.png'}\n"
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.format == "PNG"


@pytest.mark.parametrize(
    "module", ["pipeline.commands.look.inspect", "pipeline.commands.exchange.push", "train.commands.push"]
)
def test_the_help_page_imports_nothing_heavy(module: str) -> None:
    heavy = ("torch", "numpy", "PIL", "huggingface_hub", "pyarrow", "pydantic", "rich.table")
    script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    finished = subprocess.run(
        [sys.executable, "-c", script], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "[]\n"
