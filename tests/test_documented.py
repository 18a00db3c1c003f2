"""Everything public is documented: what a room offers, every setting of a config, every file and column written."""

import ast
import functools
import importlib
import inspect
import itertools
import pathlib

import pytest

import memgen_jax

ROOMS = [room for room in memgen_jax._ROOMS if room != "programs"]  # programs are used by their commands
PACKAGE = pathlib.Path(memgen_jax.__file__).parent


@functools.cache
def described_assignments(room: str) -> frozenset[str]:
    """Names at the top of a room's modules that have a string literal below their assignment."""
    found = set()
    for file in (PACKAGE / room).rglob("*.py"):
        body = ast.parse(file.read_text()).body
        for node, after in itertools.pairwise(body):
            is_text = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
            if (
                is_text
                and isinstance(after.value.value, str)
                and isinstance(node, ast.Assign | ast.AnnAssign)
            ):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {
                    name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)
                }
    return frozenset(found)


def own_text(thing) -> str:
    """Its docstring, unless it is one that Python makes up."""
    text = (thing.__dict__.get("__doc__") if inspect.isclass(thing) else thing.__doc__) or ""
    return "" if inspect.isclass(thing) and text.startswith(f"{thing.__name__}(") else text


def undocumented(room: str) -> list[str]:
    module = importlib.import_module(f"memgen_jax.{room}")
    bare = [] if own_text(module) else [room]
    for name in module.__all__:
        thing = getattr(module, name)
        if not (inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing)):
            bare += [] if name in described_assignments(room) else [name]
            continue
        bare += [] if own_text(thing) else [name]
        for part, value in vars(thing).items() if inspect.isclass(thing) else ():
            function = value.fget if isinstance(value, property) else getattr(value, "__func__", value)
            if part.startswith("_") or not inspect.isfunction(function):
                continue
            if function.__module__.startswith("memgen_jax") and not inspect.getdoc(
                getattr(thing, part, None)
            ):
                bare.append(f"{name}.{part}")
    return bare


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_of_a_room_has_its_words(room):
    assert undocumented(room) == []


def test_a_name_without_words_is_found(monkeypatch):
    from memgen_jax import phases

    def bare():
        pass

    monkeypatch.setattr(phases, "bare", bare, raising=False)
    monkeypatch.setattr(phases, "NUMBER", 3, raising=False)
    monkeypatch.setattr(phases, "__all__", [*phases.__all__, "bare", "NUMBER"])
    assert undocumented("phases") == ["bare", "NUMBER"]
