"""The source of drawn scenes: which scenes it lists."""

from stages.sources.synthetic.composition import compose
from stages.sources.synthetic.source import SyntheticSource


def keys(source: SyntheticSource) -> list[str]:
    return [key for batch in source.batches() for key in batch.column("key").to_pylist()]


def test_it_lists_as_many_scenes_as_it_is_asked_for_from_the_first() -> None:
    assert keys(SyntheticSource(first=7, count=3)) == ["000000007", "000000008", "000000009"]


def test_without_people_it_lists_the_first_scenes_that_have_none_under_their_own_numbers() -> None:
    listed = keys(SyntheticSource(count=20, people=False))
    alone = [f"{number:09d}" for number in range(100) if not compose(0, number).figures]
    assert listed == alone[:20]
    assert listed != [f"{number:09d}" for number in range(20)]
