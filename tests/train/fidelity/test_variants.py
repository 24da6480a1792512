"""What is drawn with which adapters."""

from stages.records import Condition
from train.fidelity.variants import controls_of, variants_of


def test_one_adapter_is_shown_its_own_condition_anothers_or_nothing() -> None:
    variants = variants_of([Condition.COLOR], [0.5])
    assert [(each.name, each.title, each.weights, each.samples_back) for each in variants] == [
        ("real", "real", (), 0),
        ("with", "with adapter", (0.5,), 0),
        ("shuffled", "shuffled", (0.5,), 1),
        ("without", "without", (), 0),
    ]
    assert [each.name for each in controls_of(variants)] == ["without", "shuffled"]


def test_each_of_several_adapters_is_drawn_alone_by_its_own_weight() -> None:
    variants = variants_of([Condition.CANNY, Condition.COLOR, Condition.DEPTH], [1.0, 0.5, 2.0])
    assert {each.name: each.weights for each in variants} == {
        "real": (),
        "with": (1.0, 0.5, 2.0),
        "shuffled": (1.0, 0.5, 2.0),
        "without": (),
        "only-canny": (1.0, 0.0, 0.0),
        "only-color": (0.0, 0.5, 0.0),
        "only-depth": (0.0, 0.0, 2.0),
    }
    assert [each.name for each in controls_of(variants)] == [
        "without",
        "shuffled",
        "only-canny",
        "only-color",
        "only-depth",
    ]
