"""Conditions are written out whole: read back, they say all without their annotator's code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.conditions import ConditionEntry, ModelUse, Provenance, describe_condition
from stages.annotators.condition import ConditionSpec, Encoding, Exact, Member, Mirror, MirrorKind, Resize, Within
from stages.annotators.keypose.annotator import KeyposeConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.registry import ANNOTATORS
from stages.weights.catalogue import MODELS
from stages.weights.store import WeightsFile

PIDINET = ModelUse("pidinet", "table5_pidinet.pth", "a" * 64, "research only")
MADE_UP = ConditionSpec(
    name="left-and-right",
    title="what no annotator of condset makes",
    members=(
        Member("a.npy", Encoding.NPY, "float32", ("persons*17*3",), None, "of any size"),
        Member("b.png", Encoding.PNG_GREY, "uint16", ("height", "width"), (0.0, 1000.5), "of whole numbers"),
    ),
    shown="b.png",
    channels=1,
    mirror=Mirror(MirrorKind.SWAP_PAIRS, ((1, 2), (3, 4))),
    resize=Resize.NONE,
    tolerance=Within(levels=0.5, fraction=0.25),
    statistics="edges",
    measure="edges",
    variations=("one", "another"),
)


def through_json(entry: ConditionEntry) -> ConditionEntry:
    return ConditionEntry.from_fields(json.loads(json.dumps(entry.to_fields())))


def entry_of(spec: ConditionSpec, *models: ModelUse) -> ConditionEntry:
    return ConditionEntry(spec, "kind", 3, models, Provenance("a-plug-in", "1.2"))


SPECS = {kind: config().spec for kind, config in ANNOTATORS.items()}
SPECS |= {"keypose of annotations": KeyposeConfig(from_="annotations").spec, "made up": MADE_UP}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("models", [(), (PIDINET, ModelUse("own", "own.pth", "b" * 64, ""))])
def test_a_condition_survives_its_file(spec: ConditionSpec, models: tuple[ModelUse, ...]) -> None:
    entry = entry_of(spec, *models)
    read = through_json(entry)
    assert read == entry
    assert (type(read.spec.mirror.kind), type(read.spec.resize)) == (MirrorKind, Resize)
    assert [type(member.encoding) for member in read.spec.members] == [Encoding] * len(spec.members)
    assert read.to_fields() == entry.to_fields()


def test_its_fields_are_plain_and_say_of_which_kind_the_tolerance_is() -> None:
    assert entry_of(MADE_UP).to_fields()["tolerance"] == {"kind": "within", "levels": 0.5, "fraction": 0.25}
    assert entry_of(SPECS["color"]).to_fields()["tolerance"] == {"kind": "exact"}
    assert SPECS["color"].tolerance == Exact()


@pytest.mark.parametrize("kind", sorted(ANNOTATORS))
def test_a_built_in_condition_keeps_what_every_reader_relies_on(kind: str) -> None:
    spec = SPECS[kind]
    assert list(spec.extensions) == sorted(spec.extensions)
    assert spec.shown in ("", *spec.extensions)
    assert all(member.title and member.shape for member in spec.members)
    assert spec.name == kind


def test_an_annotator_is_described_with_the_weights_that_were_found() -> None:
    found = {"pidinet": WeightsFile(Path("/weights/pidinet/table5_pidinet.pth"), "a" * 64)}
    entry = describe_condition(SketchConfig(), found)
    assert entry.models == (ModelUse("pidinet", "table5_pidinet.pth", "a" * 64, MODELS["pidinet"].licence),)
    assert (entry.spec, entry.annotator, entry.name) == (SketchConfig().spec, "sketch", "sketch")
    assert entry.provenance.distribution == "condset"
    own = describe_condition(SketchConfig(weights="/home/me/mine.pth"), {"pidinet": WeightsFile(Path("mine.pth"), "b")})
    assert own.models == (ModelUse("pidinet", "mine.pth", "b", "the user's own file"),)


def without(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda fields: fields.pop(name)


@pytest.mark.parametrize(
    "damage",
    [
        *(without(name) for name in ("name", "members", "mirror", "tolerance", "models", "provenance", "annotator")),
        lambda fields: fields.update(extensions=["b.png"]),
        lambda fields: fields.update(channels="1"),
        lambda fields: fields["members"][0].update(colour="red"),
        lambda fields: fields.update(resize="cubic"),
        lambda fields: fields["tolerance"].update(kind="about"),
        lambda fields: fields["tolerance"].update(sigma=1),
        lambda fields: fields["members"][0].update(encoding="gif"),
        lambda fields: fields["mirror"].update(kind="upside_down"),
        lambda fields: fields["provenance"].pop("version"),
        lambda fields: fields.update(models=[{"name": "pidinet"}]),
    ],
)
def test_what_is_no_condition_is_no_entry(damage: Callable[[dict[str, Any]], object]) -> None:
    fields = json.loads(json.dumps(entry_of(MADE_UP).to_fields()))
    damage(fields)
    with pytest.raises((KeyError, TypeError, ValueError)):
        ConditionEntry.from_fields(fields)


def test_a_field_that_is_not_one_of_a_conditions_is_named() -> None:
    fields = entry_of(MADE_UP).to_fields() | {"extensions": ["b.png"]}
    with pytest.raises(ValueError, match=r"^a condition's extensions must be None, got \['b\.png'\]$"):
        ConditionEntry.from_fields(fields)
