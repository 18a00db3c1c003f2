import subprocess
import sys


def test_importing_every_room_loads_no_torch_and_no_tensorflow():
    code = """
import importlib, pkgutil, sys
import memgen_jax
for module in pkgutil.walk_packages(memgen_jax.__path__, "memgen_jax."):
    if ".bridges" not in module.name and not module.name.endswith("__main__"):
        importlib.import_module(module.name)
heavy = ("torch", "tensorflow", "diffusers", "transformers", "matplotlib.pyplot")
print([m for m in heavy if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_no_room_imports_one_above_it():
    """The order of memgen_jax/__init__.py, read from the import statements."""
    import ast
    import pathlib

    import memgen_jax

    floors = (
        {
            "data",
            "models",
            "diffusion",
            "memory",
            "neighbors",
            "phases",
            "metrics",
            "statistics",
            "training",
            "onset",
            "report",
            "files",
            "errors",
        },
        {"sweep", "runs", "geometry", "bridges", "audit"},
        {"programs"},
        {"cli", "__main__"},
    )
    level = {name: number for number, floor in enumerate(floors) for name in floor}
    root = pathlib.Path(memgen_jax.__file__).parent
    for file in root.rglob("*.py"):
        own = file.relative_to(root).parts[0].removesuffix(".py")
        if own == "__init__":
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for module in modules:
                assert not module.startswith(("experiments", "configs")), f"{file} imports {module}"
                parts = module.split(".")
                if parts[0] == "memgen_jax" and len(parts) > 1:
                    assert level[parts[1]] <= level[own], f"{file} imports {module}"
