"""Index arithmetic of scatter, against itertools.product."""

from itertools import product
from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diracx_tasks.core.errors import InvalidCwl
from diracx_tasks.cwl import scatter

FLAT = "flat_crossproduct"
CROSS = st.sampled_from([FLAT, scatter.NESTED])
DIMS = st.lists(st.integers(0, 4), min_size=1, max_size=4)


def nested(dims: list[int], above: tuple[int, ...] = ()) -> Any:
    """The places of an array of arrays, each as the tuple that leads to it."""
    if not dims:
        return above
    return [nested(dims[1:], (*above, index)) for index in range(dims[0])]


@given(CROSS, DIMS)
def test_a_crossproduct_takes_all_combinations_in_order(method: str, dims: list[int]) -> None:
    expected = [list(one) for one in product(*map(range, dims))]
    assert scatter.size(method, dims) == len(expected) == prod(dims)
    assert [scatter.indices(method, dims, slot) for slot in range(len(expected))] == expected


@given(st.integers(0, 20), st.integers(1, 4))
def test_a_dotproduct_takes_the_arrays_side_by_side(length: int, arrays: int) -> None:
    dims = [length] * arrays
    assert scatter.size(scatter.DOT, dims) == length
    assert all(scatter.indices(scatter.DOT, dims, slot) == [slot] * arrays for slot in range(length))


@given(DIMS)
def test_a_nested_crossproduct_is_an_array_of_arrays(dims: list[int]) -> None:
    flat = list(product(*map(range, dims)))
    assert scatter.shaped(scatter.NESTED, dims, flat) == nested(dims)


@given(DIMS, st.sampled_from([FLAT, scatter.DOT]))
def test_other_results_stay_flat(dims: list[int], method: str) -> None:
    values = list(range(7))
    assert scatter.shaped(method, dims, values) == values


@given(DIMS.filter(lambda dims: len(set(dims)) > 1))
def test_a_dotproduct_of_different_lengths_is_refused(dims: list[int]) -> None:
    with pytest.raises(InvalidCwl, match="arrays of one length, these have"):
        scatter.size(scatter.DOT, dims)


def test_a_wide_scatter_is_not_held_in_memory() -> None:
    dims = [10**6, 10**6, 10**6]
    assert scatter.indices(FLAT, dims, 10**18 - 1) == [10**6 - 1] * 3


def test_a_scatter_makes_at_most_ten_million_jobs() -> None:
    assert scatter.size(FLAT, [1000, 10_000]) == 10**7
    with pytest.raises(InvalidCwl, match="10000000 are the most"):
        scatter.size(FLAT, [1001, 10_000])
