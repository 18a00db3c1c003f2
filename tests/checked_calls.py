"""Checks what functions of the package take and give: types by beartype, shapes among one call's arrays by jaxtyping.

jaxtyping's import hook decorates every function, those that are made in each call of another too. Its own decorator
makes its checks anew for each of these and binds the arguments of each call: a fifth of a small audit. This one has
one check for all functions of the same code, and binds nothing.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import jaxtyping
from beartype import BeartypeConf, beartype

# An int counts as a float, as it does for type checkers.
_typed = beartype(conf=BeartypeConf(is_pep484_tower=True))
_whole = jaxtyping.jaxtyped
# By the identity of a function's code, which is kept: code of two places may be equal.
_checks: dict[int, tuple[FunctionType, Callable, Callable]] = {}


def install() -> None:
    """Before the package is imported."""
    jaxtyping.jaxtyped = _checked
    jaxtyping.install_import_hook(
        "memgen_jax", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
    )


def _checked(function=None, *, typechecker=None):
    """In place of `jaxtyping.jaxtyped`, which still checks sizes that name an argument, as "{size}" does."""
    if function is None:
        return functools.partial(_checked, typechecker=typechecker)
    if inspect.isclass(function) and dataclasses.is_dataclass(function):
        if "__init__" in vars(function) and not hasattr(function.__init__, "__wrapped__"):
            function.__init__ = _checked(function.__init__, typechecker=typechecker)
        return function
    if not isinstance(function, FunctionType) or any(
        "{" in str(of) for of in function.__annotations__.values()
    ):
        return _whole(function, typechecker=typechecker)
    if not function.__annotations__:
        return function

    @functools.wraps(function)
    def checked(*args, **kwargs):
        known = _checks.get(id(function.__code__))
        if known is None or known[0].__annotations__ != function.__annotations__:
            # When it is called first: most are not, in any one process. An annotation may name what differs each time.
            known = _checks[id(function.__code__)] = function, _takes(function), _gives(function)
        _, takes, gives = known
        with _whole("context"):  # of the names of sizes
            takes(*args, **kwargs)
            return gives(function(*args, **kwargs))

    return checked


def _hints(function: FunctionType) -> dict[str, Any]:
    """Annotations, without those in quotes that name what is imported for type checkers alone."""
    hints = function.__annotations__
    return {name: of for name, of in hints.items() if not isinstance(of, str) or _is_known(of, function)}


def _is_known(hint: str, function: FunctionType) -> bool:
    try:
        eval(hint, function.__globals__)
    except Exception:
        return False
    return True


def _takes(function: FunctionType) -> Callable:
    """A function of the same parameters that does nothing but check them."""
    parameters = [
        each.replace(annotation=each.empty, default=each.empty if each.default is each.empty else None)
        for each in inspect.signature(function).parameters.values()
    ]
    hints = {name: hint for name, hint in _hints(function).items() if name != "return"}
    return _stub(function, f"{inspect.Signature(parameters)}: pass", hints)


def _gives(function: FunctionType) -> Callable:
    """Gives back what it is given, once it is checked for what the function returns."""
    hints = {name: hint for name, hint in _hints(function).items() if name == "return"}
    return _stub(function, "(value): return value", hints)


def _stub(function: FunctionType, rest: str, hints: dict) -> Callable:
    made: dict = {}
    exec(f"def stub{rest}", function.__globals__, made)
    stub = made["stub"]
    stub.__annotations__ = hints
    stub.__name__, stub.__qualname__, stub.__module__ = (
        function.__name__,
        function.__qualname__,
        function.__module__,
    )
    return _typed(stub)
