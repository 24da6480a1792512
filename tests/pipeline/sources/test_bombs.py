"""A file that would take gigabytes takes no more memory than one that is good, and what it is gets said."""

from collections import Counter
from pathlib import Path

import pytest

from pipeline.bench.measure import fresh
from pipeline.config import PrepareConfig, check_config
from pipeline.dataset.index import read_rows
from pipeline.dataset.listing import write_index
from pipeline.dataset.storage import Directory
from pipeline.execution.origins import loading_of
from stages.errors import SourceError
from stages.load import load_samples
from stages.records import Rejection
from tests.pipeline.sources.bombs import BOMBS, good

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux: peaks are read from /proc")

MOST_BYTES = 300_000_000
OUTCOMES = {
    "large_file": "too_large 1",
    "large_sidecar": "no_caption 1",
    "large_member": "too_large 1",
    "large_json_member": "missing_file 1",
    "large_extended_header": "truncated 2",
    "wide_webp": "too_many_pixels 1",
    "wide_png": "too_many_pixels 1",
    "wide_gif": "too_many_pixels 1",
    "png_with_a_text_of_200_megabytes": "",
    "wide_label_map": "bad_labels 1",
    "large_line_of_json": "line 1 must have at most 1048576 characters",
    "large_field_of_csv": "line 2 must have at most 1048576 characters",
    "large_caption_of_coco": "no text of over 1048576",
    "large_list_of_categories": "must have at most 1048576 bytes, got more",
    "shared_long_captions": "its filters dropped all rows: 66000 missing_caption",
    "shared_captions_just_short_enough": "",
}
"""What becomes of it, by the name of the bomb: counts of rejections, or a part of an error."""


def _memory(name: str) -> int:
    """Read a line of proc_pid_status(5) in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def _use(root: Path, source: dict[str, object]) -> str:
    """List a source and load its first samples; say what became of them."""
    tables = {"name": "x", "source": source, "image": {"size_pixels": 64}, "annotators": []}
    config, directory = check_config(tables, "test", PrepareConfig), Directory(str(root / "out"))
    try:
        _ = config.source.labels
        index = write_index(directory, config.source, 0)
        if config.source.kind == "laion":
            return ""
        loaded = load_samples(read_rows(directory, index, 0, min(index.rows, 10)), loading_of(config))
    except SourceError as error:
        return str(error)
    reasons = Counter(str(each.reason) for each in loaded if isinstance(each, Rejection))
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items()))


def measure(root: Path) -> dict[str, tuple[str, int]]:
    """Use each bomb in this process; returns what became of it, and by how much the memory grew at its highest."""
    assert _use(root / "good", good(root / "good/data")) == ""
    found = {}
    for make in BOMBS:
        place = root / make.__name__
        place.mkdir()
        source = make(place / "data")
        Path("/proc/self/clear_refs").write_text("5")  # the highest is counted anew
        before = _memory("VmRSS")
        outcome = _use(place, source)
        found[make.__name__] = (outcome, _memory("VmHWM") - before)
    return found


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[str, int]]:
    return fresh(measure, tmp_path_factory.mktemp("bombs"))


@pytest.mark.slow
@pytest.mark.parametrize("name", [make.__name__ for make in BOMBS])
def test_a_bomb_takes_little_memory_and_is_named(measured: dict[str, tuple[str, int]], name: str) -> None:
    outcome, grown_bytes = measured[name]
    assert OUTCOMES[name] in outcome
    assert outcome or not OUTCOMES[name]
    assert grown_bytes < MOST_BYTES
