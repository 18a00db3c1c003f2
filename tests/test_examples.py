"""The examples in the help of the functions at top level are true."""

import doctest

import jax
import pytest

import memgen_jax


@pytest.mark.parametrize("name", memgen_jax.__all__)
def test_the_example_of_a_top_level_function_runs(name):
    function = getattr(memgen_jax, name)
    tests = doctest.DocTestFinder(recurse=False).find(function, name, globs={})
    assert tests and tests[0].examples, f"{name} has no example"
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(tests[0]).failed == 0


def test_rooms_and_functions_are_found_by_name_and_others_are_not():
    assert memgen_jax.phases.NAMES and set(memgen_jax.__all__) <= set(dir(memgen_jax))
    with pytest.raises(AttributeError, match="no attribute 'phase'"):
        memgen_jax.phase  # noqa: B018
