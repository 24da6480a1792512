"""A setting says itself whether it is a place, or only a manner of computing."""

from typing import Annotated, Literal

from pydantic import Field

from stages.annotators.keypose.annotator import KeyposeConfig
from stages.annotators.sketch.annotator import SketchConfig
from stages.settings import Mark, Settings, marks, plain


class Disk(Settings):
    """A table of settings below others."""

    path: Annotated[str, Mark.PLACE] = "/here"
    threads: Annotated[int, Mark.MANNER] = Field(default=1, ge=1)
    depth: int = 3


class Collection(Settings):
    """A table with tables in it."""

    kind: Literal["collection"] = "collection"
    from_: Annotated[str, Mark.PLACE] = Field(default="", validation_alias="from", serialization_alias="from")
    root: Annotated[str, Mark.PLACE] = Field(default="", alias="base-dir")
    disk: Disk = Disk()
    disks: tuple[Disk, ...] = ()
    cache: Annotated[Disk, Mark.MANNER] = Disk()
    nothing: Disk | None = None


def test_marked_settings_are_found_in_tables_and_lists_of_tables_by_the_names_that_toml_uses() -> None:
    assert marks(Collection(disks=(Disk(), Disk()))) == {
        "from": Mark.PLACE,
        "base-dir": Mark.PLACE,
        "disk.path": Mark.PLACE,
        "disk.threads": Mark.MANNER,
        "disks.0.path": Mark.PLACE,
        "disks.0.threads": Mark.MANNER,
        "disks.1.path": Mark.PLACE,
        "disks.1.threads": Mark.MANNER,
        "cache": Mark.MANNER,
    }


def test_a_mark_on_a_whole_table_stands_for_all_of_it() -> None:
    assert [name for name in marks(Collection()) if name.startswith("cache")] == ["cache"]


def test_names_can_be_given_what_they_lie_below() -> None:
    assert marks(Disk(), "source") == {"source.path": Mark.PLACE, "source.threads": Mark.MANNER}


def test_every_marked_name_is_one_of_the_plain_table() -> None:
    tables = {"top": plain(Collection())}
    assert all(name.split(".")[0] in tables["top"] for name in marks(Collection()))
    assert plain(KeyposeConfig()).keys() >= marks(KeyposeConfig()).keys()


def test_what_has_no_marked_settings_has_no_marks() -> None:
    assert marks(()) == {}
    assert marks("text") == {}


def test_the_annotators_say_which_of_their_settings_are_places_and_manners() -> None:
    assert marks((SketchConfig(), KeyposeConfig()), "annotators") == {
        "annotators.0.dtype": Mark.MANNER,
        "annotators.0.weights": Mark.PLACE,
        "annotators.0.compile": Mark.MANNER,
        "annotators.1.weights": Mark.PLACE,
        "annotators.1.detector_weights": Mark.PLACE,
        "annotators.1.dtype": Mark.MANNER,
    }
