"""What the suite checks of each call is checked: types, shapes, and shapes against each other."""

import dataclasses
import functools
from collections.abc import Iterator

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from beartype import beartype
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, Int

from memgen_jax import geometry
from tests.checked_calls import _checked

checked = functools.partial(_checked, typechecker=beartype)  # as the import hook asks for it


def outer(add):
    @checked
    def inner(
        x: Float[np.ndarray, "row dim"], /, y: Float[np.ndarray, " dim"], *, scale: float = 1.0
    ) -> Float[np.ndarray, " row"]:
        return (x * y * scale).sum(1)[: len(x) + add]

    return inner


def test_arguments_results_and_their_sizes_are_checked_in_each_closure_of_one_code():
    x, y = np.ones((3, 2)), np.ones(2)
    sound, short = outer(0), outer(-1)
    assert (sound(x, y, scale=2) == 4).all()
    for given in ((x, np.ones(3)), (y, y), (x, 3), (x.astype(int), y)):
        with pytest.raises(BeartypeCallHintViolation):
            sound(*given)
    with pytest.raises(BeartypeCallHintViolation):
        sound(x, y, scale="2")
    with pytest.raises(BeartypeCallHintViolation, match="return"):
        short(x, y)
    with pytest.raises(TypeError, match="positional"):
        sound(x=x, y=y)


def test_sizes_of_one_call_are_no_others():
    @checked
    def first_of(x: Float[np.ndarray, " n"], count: int) -> Int[np.ndarray, " m"]:
        inner = np.arange(count)
        return first_of(x[:-1], count + 1) if len(x) > 1 else inner

    assert len(first_of(np.ones(3), 2)) == 4


def test_other_forms_of_parameters_and_results_are_checked():
    @checked
    def several(*rows: Float[np.ndarray, " dim"], **named: int) -> Iterator[int]:
        yield from range(len(rows) + len(named))

    @checked
    def sized(count: int) -> Float[np.ndarray, " {count}"]:
        return np.ones(3)

    assert list(several(np.ones(2), np.ones(2), n=1)) == [0, 1, 2]
    for rows, named in (((np.ones(2), 3), {}), ((), {"n": "1"})):
        with pytest.raises(BeartypeCallHintViolation):
            several(*rows, **named)
    assert len(sized(3)) == 3
    with pytest.raises(jaxtyping.TypeCheckError):
        sized(4)


def test_an_annotation_that_is_made_anew_is_the_one_that_is_checked():
    def made(kind):
        @checked
        def inner(x: kind) -> kind:
            return x

        return inner

    assert made(int)(3) == 3 and made(str)("3") == "3"
    with pytest.raises(BeartypeCallHintViolation):
        made(str)(3)


def test_a_name_in_quotes_for_type_checkers_alone_is_left_out():
    @checked
    def named(x: "NotThere", n: "int") -> "NotThere":  # noqa: F821
        return x

    assert named("x", 1) == "x"
    with pytest.raises(BeartypeCallHintViolation):
        named("x", "1")


def test_fields_of_a_dataclass_are_checked():
    @checked
    @dataclasses.dataclass(frozen=True)
    class Settings:
        count: int
        names: tuple[str, ...] = ()
        values: list = dataclasses.field(default_factory=list)

    assert Settings(3).values == []
    for given in ({"count": "3"}, {"count": 3, "names": (3,)}):
        with pytest.raises(BeartypeCallHintViolation):
            Settings(**given)


def test_functions_of_the_package_are_checked():
    with pytest.raises(BeartypeCallHintViolation):
        geometry.basins.holds(jnp.ones(3, int))
