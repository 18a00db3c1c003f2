"""The house: what may import what, read from the import statements of every file."""

import ast
import functools
import importlib
import pathlib
import pkgutil
import subprocess
import sys
import types

import pytest

import memgen_jax

ROOT = pathlib.Path(memgen_jax.__file__).parent

# From the ground up; an import goes down, or stays on its floor without going round.
FLOORS = (
    {"errors", "files", "mapped", "cores", "shapes", "user_code", "annotations", "arrays_in"},
    {"data", "models", "diffusion", "statistics", "neighbors"},
    {"metrics", "training", "memory", "phases", "onset"},
    {"report"},
    {"runs"},
    {"sweep", "geometry", "bridges", "audit"},
    {"configs"},
    {"programs"},
    {"cli", "__main__"},
)
LEVEL = {room: number for number, floor in enumerate(FLOORS) for room in floor}


def module_name(file: pathlib.Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def modules() -> dict[str, pathlib.Path]:
    return {module_name(file): file for file in ROOT.rglob("*.py")}


def room_of(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def imported_modules(text: str) -> set[str]:
    """Modules of ours that a file imports, wherever in it: `from memgen_jax import X` imports X, if it is one."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole module"
            below = {f"{node.module}.{alias.name}" for alias in node.names}
            inner = below & modules().keys()
            found |= inner
            if inner != below or node.module not in modules():
                found.add(str(node.module))
    return {name for name in found if name.partition(".")[0] in ("memgen_jax", "experiments", "configs")}


@functools.cache
def imports() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports; the package itself, and what imports it, left out."""
    return {
        name: imported_modules(file.read_text()) - {"memgen_jax", name}
        for name, file in modules().items()
        if name != "memgen_jax"
    }


def test_imports_are_read_wherever_they_stand():
    text = """
import memgen_jax.data
from memgen_jax import cli, __version__
from memgen_jax.data.subsets import permutation
def later():
    from memgen_jax import bridges
    import numpy
"""
    expected = {
        "memgen_jax.data",
        "memgen_jax",
        "memgen_jax.cli",
        "memgen_jax.data.subsets",
        "memgen_jax.bridges",
    }
    assert imported_modules(text) == expected


def test_every_room_has_its_floor():
    assert {room_of(name) for name in modules()} - {""} <= LEVEL.keys()


def test_no_room_imports_one_above_it():
    upward = [
        f"{name} imports {other}"
        for name, others in imports().items()
        for other in others
        if other.partition(".")[0] != "memgen_jax" or LEVEL[room_of(other)] > LEVEL[room_of(name)]
    ]
    assert not upward


def test_no_rooms_import_each_other_in_a_circle():
    """Rooms stand for all their files; programs are one room each."""

    def room(module: str) -> str:
        parts = module.split(".")
        return ".".join(parts[:3]) if parts[1] == "programs" else parts[1]

    graph: dict[str, set[str]] = {}
    for name, others in imports().items():
        graph.setdefault(room(name), set()).update(
            room(other) for other in others if room(other) != room(name)
        )
    assert not circle_in(graph)


def test_no_modules_import_each_other_in_a_circle():
    """A package's `__init__` gathers what its modules offer, so it is not counted as one of them."""
    graph = {
        name: {other for other in others if modules()[other].stem != "__init__"}
        for name, others in imports().items()
        if modules()[name].stem != "__init__"
    }
    assert not circle_in(graph)


def circle_in(graph: dict[str, set[str]]) -> list[str]:
    """One path that comes back to where it began; empty where there is none."""
    done: set[str] = set()

    def search(node: str, path: list[str]) -> list[str]:
        if node in path:
            return [*path[path.index(node) :], node]
        if node in done:
            return []
        for other in sorted(graph.get(node, ())):
            if found := search(other, [*path, node]):
                return found
        done.add(node)
        return []

    return next((found for node in sorted(graph) if (found := search(node, []))), [])


def test_a_circle_is_found():
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def all_modules() -> list[str]:
    found = pkgutil.walk_packages(memgen_jax.__path__, "memgen_jax.")
    return [m.name for m in found if ".bridges" not in m.name and not m.name.endswith("__main__")]


def test_importing_every_room_loads_no_torch_no_tensorflow_and_no_pyplot():
    code = f"""
import importlib, sys
for name in {all_modules()}:
    importlib.import_module(name)
heavy = ("torch", "tensorflow", "diffusers", "transformers", "matplotlib.pyplot")
print([m for m in heavy if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_function_hides_the_module_of_its_name():
    """`import memgen_jax.a.b as b` would give the function."""
    hidden = set()
    for name in all_modules():
        importlib.import_module(name)
        package, _, own = name.rpartition(".")
        if not isinstance(getattr(sys.modules[package], own), types.ModuleType):
            hidden.add(name)
    assert not hidden


@pytest.mark.parametrize("name", ["FLAGS", "argv"])
def test_nothing_below_the_launcher_reads_the_command_line(name):
    """`flags.FLAGS` nowhere, `sys.argv` only where a command begins."""
    begins = {"memgen_jax.cli", "memgen_jax.programs.launcher"} if name == "argv" else set()
    reading = {
        module
        for module, file in modules().items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr == name
        and ast.unparse(node.value) in ("sys", "flags", "absl.flags")
    }
    assert reading <= begins
