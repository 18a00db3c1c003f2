"""The wheel: what is in it, and that it works alone, from an empty folder."""

import os
import pathlib
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import numpy as np
import pytest

import memgen_jax

ROOT = pathlib.Path(__file__).parent.parent
PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built as `make wheel` does, from a copy: a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    no_leftovers = shutil.ignore_patterns("__pycache__")
    for name in ("memgen_jax", "configs"):
        shutil.copytree(ROOT / name, source / name, ignore=no_leftovers)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    options = ["--no-build-isolation", "--no-deps", "--no-index", f"--wheel-dir={folder}"]
    done = subprocess.run([*PIP, "wheel", *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_holds_the_whole_package_its_configs_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    version = memgen_jax.__version__
    assert wheel.name == f"memgen_jax-{version}-py3-none-any.whl"
    inside = {name for name in names if not name.startswith(f"memgen_jax-{version}.dist-info/")}
    ours = {path for path in (ROOT / "memgen_jax").rglob("*") if path.is_file()}
    ours = {path.relative_to(ROOT) for path in ours if "__pycache__" not in path.parts}
    expected = {str(path) for path in ours if path.suffix != ".md"}
    expected |= {f"memgen_jax/configs/{path.name}" for path in (ROOT / "configs").glob("*.py")}
    assert inside == expected
    assert {"memgen_jax/py.typed", "memgen_jax/report/templates/base.html"} < inside


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A fresh environment: the wheel, and of everything else what these tests run with."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    options = ["--no-deps", "--no-index", "--python", str(python)]
    done = subprocess.run(
        [*PIP, *options[2:], "install", *options[:2], str(wheel)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    variables = {"base": str(folder), "platbase": str(folder)}
    packages = pathlib.Path(sysconfig.get_path("purelib", "venv", variables))
    assert {path.name.partition("-")[0] for path in packages.iterdir()} == {"memgen_jax"}
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def run(installed, folder, *arguments):
    return subprocess.run(
        [installed / "bin" / "memgen", *map(str, arguments)],
        cwd=folder,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_the_command_works_from_an_empty_folder(installed, tmp_path):
    version = run(installed, tmp_path, "--version")
    assert (version.returncode, version.stdout) == (0, f"memgen_jax {memgen_jax.__version__}\n"), (
        version.stderr
    )
    known = run(installed, tmp_path, "configs")
    assert known.returncode == 0 and "digits" in known.stdout and "cifar10" in known.stdout, known.stderr
    done = run(installed, tmp_path, "transition", "--config=digits:smoke", "--workdir=run")
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "run" / "report.html").read_text()
    assert "memgen transition --config=digits:smoke --workdir=run" in page

    images = np.load(tmp_path / "run" / "samples" / "num_train=000002.npz")["images"]
    np.savez(tmp_path / "own.npz", images=np.random.default_rng(0).integers(0, 256, images.shape, np.uint8))
    sets = ("--train=own.npz", "--samples=run/samples/num_train=000002.npz", "--out=audit")
    audited = run(installed, tmp_path, "audit", *sets, "--delta-m=1", "--delta-s=1")
    assert audited.returncode == 0, audited.stderr
    assert (tmp_path / "audit" / "labels.csv").exists()
