"""The examples in the help of public functions are true."""

import doctest
import importlib
import inspect

import jax
import pytest

import memgen_jax


def with_examples() -> dict[str, doctest.DocTest]:
    """Room.name → the examples in the help of what the room offers."""
    found = {}
    finder = doctest.DocTestFinder(recurse=False, exclude_empty=True)
    for room in memgen_jax._ROOMS:
        module = importlib.import_module(f"memgen_jax.{room}")
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if ">>>" in (inspect.getdoc(thing) or "") and not inspect.ismodule(thing):
                (found[f"{room}.{name}"],) = finder.find(thing, name, globs={})
    return found


EXAMPLES = with_examples()


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_as_it_stands(name):
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(EXAMPLES[name])
    assert result.attempted > 0 and result.failed == 0


def test_all_at_top_level_and_the_most_used_have_one():
    at_top = {f"{memgen_jax._ROOM_OF[name]}.{name}" for name in memgen_jax.__all__}
    assert at_top <= EXAMPLES.keys() and len(EXAMPLES) >= 50


def test_rooms_and_functions_are_found_by_name_and_others_are_not():
    assert memgen_jax.phases.NAMES and set(memgen_jax.__all__) <= set(dir(memgen_jax))
    with pytest.raises(AttributeError, match="no attribute 'phase'"):
        memgen_jax.phase  # noqa: B018
