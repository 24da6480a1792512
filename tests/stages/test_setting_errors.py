"""Every kind of error that has a sentence of ours is one that pydantic still gives."""

from typing import Annotated

import pytest
from pydantic import AfterValidator, ValidationError

from stages.setting_errors import describe_errors
from stages.settings import Settings
from tests.stages.library_changes import taken_from


def _even(value: int) -> int:
    if value % 2:
        raise ValueError(f"must be even, got {value}; add 1")
    return value


class Inner(Settings):
    count: Annotated[int, AfterValidator(_even)]


class Outer(Settings):
    inner: Inner
    name: str = ""


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"inner": {"count": 2}, "nam": "x"}, "nam is not a setting; compare its spelling with the settings beside it"),
        ({"inner": {}}, "inner.count is missing"),
        ({"inner": {"count": 3}}, "inner.count: must be even, got 3; add 1"),
        ({"inner": {"count": 2.5}}, "inner.count: must be a whole number, got '2.5'"),
        ({"inner": {"count": 3}, "name": 1, "other": 1}, "inner.count: must be even, got 3; add 1; name: "),
    ],
)
def test_a_wrong_setting_is_told_by_the_kind_of_the_error(tables: dict[str, object], said: str) -> None:
    with taken_from("pydantic", by="stages/setting_errors.py"):
        with pytest.raises(ValidationError) as caught:
            Outer.model_validate(tables)
        assert describe_errors(caught.value).startswith(said)


def test_a_kind_without_a_sentence_of_ours_says_what_was_got() -> None:
    with pytest.raises(ValidationError) as caught:
        Outer.model_validate({"inner": {"count": "many"}})
    assert describe_errors(caught.value).startswith("inner.count: ")
    assert describe_errors(caught.value).endswith(", got 'many'")
