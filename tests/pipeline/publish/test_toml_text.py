"""Tables written as TOML come back as they were."""

import tomllib

import pytest

from pipeline.publish.toml_text import Value, to_toml


@pytest.mark.parametrize(
    "value",
    [
        'quotes " and \\ and \n and \t and \x7f',
        "雪 \U0001f600",
        1e-5,
        1.0,
        -3,
        True,
        [],
        [512, 512],
        ["a", "b"],
        [[1], [2.5]],
        {"inner": {"deeper": 1}},
        [{"kind": "a", "table": {"x": 1}}, {"kind": "b"}],
    ],
)
def test_a_value_comes_back(value: Value) -> None:
    table = {"first": 1, "value": value, "last": "end"}
    assert tomllib.loads(to_toml(table)) == table


def test_what_is_not_set_is_left_out() -> None:
    assert to_toml({"a": 1, "b": None}) == "a = 1\n"


def test_a_tuple_is_a_list() -> None:
    assert to_toml({"a": (1, 2)}) == "a = [1, 2]\n"
