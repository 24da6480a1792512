"""What `condset inspect` shows on a terminal: the inspection as a few tables."""

from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table

from pipeline.inspect.dataset import Contents, Inspection
from pipeline.inspect.distribution import Distribution
from pipeline.inspect.statistics import (
    ColorStatistics,
    ConditionStatistics,
    DepthStatistics,
    EdgeStatistics,
    KeyposeStatistics,
    LatentsStatistics,
    SegmentationStatistics,
)
from pipeline.tables import terminal_table
from stages.annotators.edges import EDGE_LEVEL

MOST_LABELS = 20


def render_inspection(inspection: Inspection) -> Group:
    """Lay an inspection out for rich."""
    parts: list[RenderableType] = [_overview(inspection)]
    if inspection.licenses:
        parts.append(_counts("licence of the photograph", inspection.licenses))
    if inspection.rejections:
        parts.append(_rejections(inspection))
    if inspection.contents:
        parts += _contents(inspection.contents, inspection.samples)
    return Group(*(part for each in parts for part in (each, "")))


def _overview(inspection: Inspection) -> Table:
    state = "complete" if inspection.complete else "incomplete: run `condset prepare` again to go on"
    accounted = inspection.samples + inspection.rejected
    pending = "" if accounted == inspection.rows else f", {inspection.rows - accounted} to come"
    per_sample = f", {inspection.tar_bytes / inspection.samples / 1e3:.1f} kB a sample" if inspection.samples else ""
    sizes = ", ".join(f"{size} ({count})" for size, count in inspection.image_sizes.items())
    layers = ", ".join(
        f"{layer.name} ({'complete' if layer.complete else 'incomplete'})" for layer in inspection.layers
    )
    table = Table.grid(padding=(0, 2))
    for name, value in (
        ("data set", f"{inspection.name}, split {inspection.split}"),
        ("state", state),
        ("fingerprint", inspection.fingerprint),
        ("shards", f"{inspection.shards} of {inspection.shards_planned}"),
        ("rows", f"{inspection.rows} = {inspection.samples} samples + {inspection.rejected} rejected{pending}"),
        ("size", f"{inspection.tar_bytes / 1e6:.1f} MB{per_sample}"),
        ("images", sizes or "none"),
        ("layers", layers or "none"),
    ):
        table.add_row(name, escape(value))
    return table


def _rejections(inspection: Inspection) -> Table:
    rows = [
        (each.reason, str(each.count), "\n".join(f"{key}: {detail}" for key, detail in each.examples))
        for each in inspection.rejections
    ]
    return terminal_table(("rejected", _numbers("count"), Column("for example", overflow="fold")), rows)


def _contents(contents: Contents, samples: int) -> Iterator[RenderableType]:
    some = f"{contents.samples} of {samples} samples, evenly spread"
    of = f"all {samples} samples" if contents.samples == samples else some
    captions = contents.captions
    spreads = {
        "original width, pixels": contents.original_width_pixels,
        "original height, pixels": contents.original_height_pixels,
        "captions a sample": captions.per_sample,
        "characters a caption": captions.characters,
    }
    spreads |= {f"{extension}, bytes": sizes for extension, sizes in contents.member_bytes.items()}
    for name, statistics in contents.conditions.items():
        spreads |= {f"{name}: {what}": spread for what, spread in _distributions(statistics)}
    columns = [Column(f"over {of}"), *map(_numbers, ("minimum", "median", "mean", "maximum"))]
    yield terminal_table(columns, [(what, *_figures(spread)) for what, spread in spreads.items()])
    yield f"captions with characters outside of ASCII: {captions.non_ascii_share:.1%}"
    yield _counts("characters of a caption", captions.captions_by_characters)
    for statistics in contents.conditions.values():
        yield from _histograms(statistics)


def _distributions(statistics: ConditionStatistics) -> Iterator[tuple[str, Distribution]]:
    match statistics:
        case EdgeStatistics():
            yield f"share over {EDGE_LEVEL}", statistics.density
            yield "mean level", statistics.level
        case DepthStatistics():
            yield "lowest level", statistics.minimum
            yield "highest level", statistics.maximum
            yield "mean level", statistics.mean
        case KeyposeStatistics():
            yield "persons an image", statistics.persons
            if statistics.visible_keypoints:
                yield "visible keypoints a person", statistics.visible_keypoints
        case ColorStatistics():
            yield "distinct colours", statistics.distinct_colors
        case SegmentationStatistics():
            yield "share unlabelled", statistics.unlabelled
        case LatentsStatistics():
            yield "mean", statistics.mean
            yield "deviation", statistics.deviation


def _histograms(statistics: ConditionStatistics) -> Iterator[RenderableType]:
    match statistics:
        case EdgeStatistics() if any(statistics.images_below.values()):
            below = {f"{share:g}": images for share, images in statistics.images_below.items()}
            yield _counts("images that min_edges would reject", below)
        case DepthStatistics() if statistics.constant_images:
            yield f"images without any depth, which min_range would reject: {statistics.constant_images}"
        case KeyposeStatistics():
            yield _counts("persons in an image", {str(n): count for n, count in statistics.images_by_persons.items()})
        case SegmentationStatistics() if statistics.labels:
            more = len(statistics.labels) - MOST_LABELS
            title = f"label (the first {MOST_LABELS}, {more} more)" if more > 0 else "label"
            rows = [
                (label.name, str(label.id), f"{label.pixel_share:.2%}", str(label.images))
                for label in statistics.labels[:MOST_LABELS]
            ]
            yield terminal_table((title, *map(_numbers, ("id", "share of pixels", "images"))), rows)


def _counts(what: str, counts: Mapping[str, int]) -> Table:
    rows = [(name or "not stated", str(count)) for name, count in counts.items()]
    return terminal_table((Column(what, overflow="fold"), _numbers("count")), rows)


def _numbers(heading: str) -> Column:
    return Column(heading, justify="right")


def _figures(spread: Distribution) -> list[str]:
    numbers = (spread.minimum, spread.median, spread.mean, spread.maximum)
    return [f"{number:.4g}" if abs(number) < 1e4 else f"{number:.0f}" for number in numbers]
