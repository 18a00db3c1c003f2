"""The private names of JAX and Orbax that `runs.private_api` takes, against the installed versions."""

import ast
import importlib.metadata
import pathlib

import pytest

import memgen_jax
from memgen_jax.runs import private_api


def test_the_installed_versions_have_every_private_name():
    versions = {name: importlib.metadata.version(name) for name in ("jax", "orbax-checkpoint")}
    assert not list(private_api.missing()), f"gone in {versions}: adapt memgen_jax/runs/private_api.py"


def test_a_name_that_is_gone_is_told_with_what_to_do(monkeypatch):
    monkeypatch.setitem(private_api.NEEDED, "jax._src.clusters", ("no_such_name",))
    assert list(private_api.missing()) == ["jax._src.clusters.no_such_name"]
    with pytest.raises(private_api.PrivateNameGone, match=r"this version of jax has no .*requirements.txt"):
        private_api._take("jax._src.clusters", "no_such_name")


def test_no_other_module_touches_private_names_of_jax_or_orbax():
    root = pathlib.Path(memgen_jax.__file__).parent
    touching = set()
    for file in root.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.Attribute):
                names = [ast.unparse(node)]
            else:
                continue
            if any(n.startswith(("jax.", "orbax.", "ocp.")) and "._" in n for n in names):
                touching.add(str(file.relative_to(root)))
    assert touching == set()  # private_api takes them by their names, as text


def test_orbax_is_told_that_a_process_is_alone():
    """In a process of its own, for the change lasts as long as the process."""
    import subprocess
    import sys

    code = (
        "from memgen_jax.runs import private_api; private_api.hide_other_processes_from_orbax()\n"
        "from orbax.checkpoint import multihost\n"
        "from orbax.checkpoint._src.multihost import multihost as inner\n"
        "print(inner.process_index(), inner.process_count(), inner.is_jax_distributed_client_initialized())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "0 1 False\n", done.stderr
