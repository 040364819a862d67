"""Tables of JSON and TOML as fields of dataclasses: what fits passes, all else is named."""

from dataclasses import dataclass
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_fastsam3d.model.checked_table import checked


@dataclass(frozen=True)
class Inner:
    size: int


@dataclass(frozen=True)
class Table:
    whole: int = 0
    number: float = 0.0
    text: str = ""
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    pair: tuple[int, int] = (0, 0)
    several: tuple[float | None, ...] = ()
    shares: dict[str, float] | None = None
    inner: Inner | None = None


NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
FITTING = {
    "whole": st.integers(),
    "number": st.integers(-(2**60), 2**60) | NUMBERS,
    "text": st.text(),
    "flag": st.booleans(),
    "kind": st.sampled_from("ab"),
    "pair": st.lists(st.integers(), min_size=2, max_size=2),
    "several": st.lists(st.none() | NUMBERS),
    "shares": st.none() | st.dictionaries(st.text(), NUMBERS),
    "inner": st.none() | st.builds(Inner, st.integers()),
}
NOT_FITTING = {
    "whole": [1.0, "1", True, None, [1]],
    "number": ["1", True, None, float("nan"), float("inf"), [1.0]],
    "text": [1, None, ["a"], b"a"],
    "flag": [0, 1, "true", None],
    "kind": ["c", "A", None, 0, ["a"]],
    "pair": [[1], [1, 2, 3], [1, 2.0], [1, True], "12", 3, {"a": 1}],
    "several": [["a"], [True], 3, "abc", {}],
    "shares": [{"a": "b"}, {"a": None}, {"a": float("nan")}, [], 3],
    "inner": [{"size": 1}, 3, [], "inner"],
}


@settings(max_examples=25)
@given(st.fixed_dictionaries({}, optional=FITTING))
def test_what_fits_passes_and_lists_become_tuples(table):
    found = checked(Table, table)
    wanted = {key: tuple(v) if isinstance(v, list) else v for key, v in table.items()}
    assert found == wanted
    assert Table(**found) == Table(**wanted)


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, of in NOT_FITTING.items() for value in of]
)
def test_what_does_not_fit_is_named_with_its_value(field, value):
    told = repr(tuple(value) if isinstance(value, list) else value)
    with pytest.raises(TypeError) as error:
        checked(Table, {"text": "fine", field: value})
    assert str(error.value) == f"{field} can't be {told}"


def test_a_key_that_is_no_field_is_named():
    with pytest.raises(TypeError, match="there is no colour"):
        checked(Table, {"colour": "red"})


def test_a_whole_number_of_any_length_is_one():
    assert checked(Table, {"whole": 10**400}) == {"whole": 10**400}
