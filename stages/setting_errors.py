"""What pydantic found wrong with a table of settings, in one line: told by the kind of each error, never by its words.

The kinds are those that pydantic documents (`type` of its errors, pydantic 2.11 to 2.14). The words of the kinds that
have no sentence of ours here are handed on to the reader as they are.
"""

from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


def describe_errors(error: ValidationError) -> str:
    """Name every wrong setting and what is wrong with it."""
    return "; ".join(_describe(problem) for problem in error.errors())


def setting_name(problem: "ErrorDetails") -> str:
    """Write where a setting is: optimizer.lr, annotators.0.dtype."""
    return ".".join(map(str, problem["loc"])) or "(top level)"


def _describe(problem: "ErrorDetails") -> str:
    name, got = setting_name(problem), repr(str(problem["input"])[:80])
    match problem["type"]:
        case "extra_forbidden":
            return f"{name} is not a setting; compare its spelling with the settings beside it"
        case "missing":
            return f"{name} is missing"
        case "value_error":  # raised by a validator of ours, which says what it got
            return f"{name}: {problem['ctx']['error']}"
        case "int_from_float":
            return f"{name}: must be a whole number, got {got}"
        case _:
            return f"{name}: {problem['msg']}, got {got}"
